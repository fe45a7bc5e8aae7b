"""Supervised fine-tuning: from predicting text to answering, by imitating demonstrations."""

from __future__ import annotations

from heedful.algorithms.lm import lm_objective
from heedful.config import SFTConfig
from heedful.data.lengths import drop_overlong
from heedful.data.sources import read_demonstrations
from heedful.errors import InputError
from heedful.models.loading import load_policy
from heedful.models.lora import add_lora
from heedful.run import Run
from heedful.stages.pretrain import finish
from heedful.train.loop import fit, make_accelerator
from heedful.train.source import PackedSource


def sft(config: SFTConfig, run: Run) -> None:
    """Leaves model/. The targets are the answers' tokens, the end of the turn among them."""
    demonstrations = read_demonstrations(config.data)
    if not demonstrations:
        raise InputError(f"{config.data}: holds no demonstrations")
    accelerator = make_accelerator(config.training)
    policy, chat = load_policy(config.model, device=accelerator.device)
    run.note(add_lora(policy.lm, config.lora, config.model, run.seed_for("lora")))
    examples = [chat.example(d.prompt.messages, d.completion) for d in demonstrations]
    kept, sentence = drop_overlong(examples, policy.context, "demonstrations")
    if sentence:
        run.say(f"{config.data}: {sentence}")
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
    )
    finish(policy, chat, summary, run, accelerator)
    run.summary |= {"demonstrations": len(kept), "dropped": len(examples) - len(kept)}
