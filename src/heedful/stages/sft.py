"""Supervised fine-tuning: from predicting text to answering, by imitating demonstrations."""

from __future__ import annotations

from collections.abc import Sequence

from heedful.algorithms.lm import lm_objective
from heedful.config import SFTConfig
from heedful.data.chat import Chat
from heedful.data.lengths import fitting_groups
from heedful.data.packing import Example
from heedful.data.pairs import apart
from heedful.data.sources import read_demonstrations
from heedful.models.heads import Policy
from heedful.models.loading import load_policy
from heedful.models.lora import add_lora
from heedful.records import Demonstration
from heedful.run import Run
from heedful.stages.pretrain import finish
from heedful.train.loop import fit, make_accelerator
from heedful.train.source import PackedSource, packed


def sft(config: SFTConfig, run: Run) -> None:
    """Leaves model/. The targets are the answers' tokens, the end of the turn among them."""
    accelerator = make_accelerator(config.training)
    policy, chat = load_policy(config.model, device=accelerator.device)
    run.note(add_lora(policy.lm, config.lora, config.model, run.seed_for("lora")))
    held_out = read_demonstrations(config.heldout) if config.heldout else []
    demonstrations, overlap = apart(read_demonstrations(config.data), held_out, "demonstrations")
    run.note(overlap)
    kept, dropped = _examples(config.data, demonstrations, policy, chat, run)
    heldout = packed(_examples(config.heldout, held_out, policy, chat, run)[0], config.training.tokens_per_batch)
    source = PackedSource(
        kept,
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
    run.summary |= {"demonstrations": len(kept), "dropped": dropped}


def _examples(
    path: str, demonstrations: Sequence[Demonstration], policy: Policy, chat: Chat, run: Run
) -> tuple[list[Example], int]:
    """A file's demonstrations as tokens without those that don't fit the context, and how many these are."""
    examples = [chat.example(d.prompt.messages, d.completion) for d in demonstrations]
    kept, left_out = fitting_groups([[e] for e in examples], policy.context, "demonstrations", demonstrations, [path])
    run.note(left_out)
    return [examples[i] for i in kept], len(examples) - len(kept)
