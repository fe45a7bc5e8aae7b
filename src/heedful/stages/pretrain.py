"""Train a tokenizer and a base model from text, or go on training a causal model."""

from __future__ import annotations

from collections.abc import Sequence

from accelerate import Accelerator

from heedful.algorithms.lm import lm_objective
from heedful.config import PretrainConfig
from heedful.data.chat import Chat, train_tokenizer
from heedful.data.lengths import cut
from heedful.data.sources import read_documents
from heedful.errors import InputError
from heedful.models.heads import Policy
from heedful.models.loading import load_policy, new_policy, save_policy
from heedful.records import Messages
from heedful.run import Run
from heedful.train.loop import FitSummary, fit, make_accelerator
from heedful.train.source import PackedSource, packed


def pretrain(config: PretrainConfig, run: Run) -> None:
    """Leaves model/. Every token of every page is a target; pages longer than the context are cut."""
    pages = read_documents(config.heldout) if config.heldout else []
    documents = _apart(read_documents(config.data), pages, config.data, run)
    accelerator = make_accelerator(config.training)
    policy, chat = _model(config, documents, run, accelerator)
    examples = list(cut((chat.document(document) for document in documents), policy.context))
    parameters = sum(parameter.numel() for parameter in policy.parameters())
    run.say(f"{len(documents):,} documents, {sum(len(e.ids) for e in examples):,} tokens, {parameters:,} parameters")
    heldout = packed(list(cut(map(chat.document, pages), policy.context)), config.training.tokens_per_batch)
    source = PackedSource(
        examples,
        run,
        tokens_per_step=config.tokens_per_step,
        training=config.training,
        share=(accelerator.process_index, accelerator.num_processes),
    )
    summary = fit(
        policy,
        source,
        lm_objective,
        optim={"": config.optim},
        training=config.training,
        run=run,
        accelerator=accelerator,
        heldout=lambda: heldout,
    )
    finish(policy, chat, summary, run, accelerator)
    run.summary |= {"documents": len(documents), "parameters": parameters}


def _apart(
    documents: Sequence[str | Messages], heldout: Sequence[str | Messages], path: str, run: Run
) -> list[str | Messages]:
    """The documents that are not held out."""
    kept_out = set(heldout)
    kept = [document for document in documents if document not in kept_out]
    if not kept:
        raise InputError(f"{path}: every document is held out: nothing is left to train on")
    same = len(documents) - len(kept)
    run.note(f"{same} documents left out of training: they are among the held-out ones" if same else "")
    return kept


def _model(
    config: PretrainConfig, documents: list[str | Messages], run: Run, accelerator: Accelerator
) -> tuple[Policy, Chat]:
    """The model to continue, or a new one with a tokenizer of its own."""
    if config.model:
        return load_policy(config.model, device=accelerator.device)
    chat = Chat(train_tokenizer(map(_text, documents), config.architecture.vocabulary))
    return new_policy(config.architecture, chat, run.seed_for("weights")), chat


def _text(document: str | Messages) -> str:
    """The words of a page, without the template's special tokens."""
    return document if isinstance(document, str) else "\n".join(message.content for message in document)


def finish(policy: Policy, chat: Chat, summary: FitSummary, run: Run, accelerator: Accelerator) -> None:
    """Save the policy and sum up its training; the other ranks wait for the files."""
    if run.main:
        save_policy(policy, chat, run.model)
        run.summary |= {
            "steps": summary.steps,
            "tokens": summary.tokens,
            "loss": summary.metrics["loss"],
            "tokens_per_second": round(summary.tokens_per_second),
            **summary.heldout,
        }
    accelerator.wait_for_everyone()
