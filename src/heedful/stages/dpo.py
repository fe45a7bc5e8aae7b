"""Direct preference optimisation: from rankings to a policy without a reward model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from heedful.algorithms.direct.dpo import dpo_objective
from heedful.batches import PreferenceBatch
from heedful.config import DPOConfig
from heedful.data.chat import Chat
from heedful.data.packing import groups_by_tokens
from heedful.data.pairs import RankedExamples, by_answers, fitting, pack_pairs, rank_examples
from heedful.data.sources import read_rankings
from heedful.errors import InputError
from heedful.models.heads import Policy, context_of
from heedful.models.loading import load_policy, save_policy
from heedful.models.lora import add_lora
from heedful.run import Run, digest
from heedful.train import laws
from heedful.train.loop import fit, make_accelerator
from heedful.train.pair_source import PairSource
from heedful.train.reference import reference_logprobs

SHOWN_TRAINING = 256  # rankings that stand in for held-out ones where none are given


@dataclass(frozen=True, slots=True)
class Preferences:
    """Rankings as tokens, with the reference's log-probability of every answer."""

    ranked: list[RankedExamples]
    reference: tuple[Tensor, ...]  # for each ranking (G,)

    def batch(self, members: Sequence[int]) -> PreferenceBatch:
        """Some rankings as one batch."""
        return PreferenceBatch(
            pairs=pack_pairs([self.ranked[i] for i in members]),
            reference=torch.cat([self.reference[i] for i in members]),
        )

    @property
    def tokens(self) -> list[int]:
        return [item.tokens for item in self.ranked]


def dpo(config: DPOConfig, run: Run) -> None:
    """Read rankings, hold the policy to its own start, train, save, and say how it fares on held-out rankings."""
    accelerator = make_accelerator(config.training)
    policy, chat = load_policy(config.model, device=accelerator.device)
    run.note(add_lora(policy.lm, config.lora, config.model, run.seed_for("lora")))
    context = context_of(policy.lm)
    training, heldout = _read(config.data, chat, context, run), _read(config.heldout, chat, context, run)
    if not training:
        raise InputError(
            f"{', '.join(config.data)}: no ranking prefers one answer to another: there is nothing to learn"
        )
    training = run.drawn(training, config.limit, "rankings")
    preferences = _with_reference(training + heldout, policy, config, run, accelerator)
    source = PairSource(
        preferences.tokens[: len(training)],
        preferences.batch,
        run,
        prompts_per_step=config.prompts_per_step,
        tokens_per_batch=config.training.tokens_per_batch,
        epochs=config.training.epochs,
        share=(accelerator.process_index, accelerator.num_processes),
    )
    _check_start(policy, preferences, source, config, accelerator)
    fit(
        policy,
        source,
        dpo_objective(config.beta),
        optim={"": config.optim},
        training=config.training,
        run=run,
        accelerator=accelerator,
        heldout=_heldout_batches(preferences, len(training), config),
    )
    shown = range(len(training), len(preferences.ranked)) if heldout else range(min(len(training), SHOWN_TRAINING))
    _report(policy, preferences, list(shown), config, run, accelerator, held_out=bool(heldout))
    if run.main:
        save_policy(policy, chat, run.model)


def _heldout_batches(preferences: Preferences, first: int, config: DPOConfig) -> list[PreferenceBatch]:
    """What early stop looks at: the rankings from `first` on; without early stop nothing."""
    if not config.training.early_stop.metric:
        return []
    groups = groups_by_tokens(preferences.tokens[first:], config.training.tokens_per_batch)
    return [preferences.batch([first + place for place in group]) for group in groups]


def _read(paths: list[str], chat: Chat, context: int, run: Run) -> list[RankedExamples]:
    """Rankings as tokens without ties, which DPO has no use for, and without answers longer than the context."""
    whole = [rank_examples(chat, group) for group in by_answers(read_rankings(paths))] if paths else []
    fit_in, left_out = fitting(whole, context)
    decided = [item for item in (item.without_ties() for item in fit_in) if item.chosen]
    pairs = sum(len(item.chosen) for item in decided)
    ties = sum(len(item.chosen) for item in fit_in) - pairs
    if ties:
        run.say(f"{ties} ties dropped, which DPO can't learn from; {pairs} pairs of {len(decided)} rankings are left")
    if left_out:
        run.say(left_out)
    return decided


def _with_reference(
    ranked: list[RankedExamples], policy: Policy, config: DPOConfig, run: Run, accelerator: Accelerator
) -> Preferences:
    """The reference is the policy before its first update."""
    flat = reference_logprobs(
        policy,
        [example for item in ranked for example in item.examples],
        model=digest(Path(config.model)),
        training=config.training,
        run=run,
        accelerator=accelerator,
    )
    return Preferences(ranked, torch.split(flat, [len(item.examples) for item in ranked]))


@torch.no_grad()
def _measure(
    policy: Policy, preferences: Preferences, groups: list[list[int]], beta: float, accelerator: Accelerator
) -> dict[str, float]:
    """The objective and its metrics over groups of rankings, each ranking weighing 1."""
    objective, totals, count = dpo_objective(beta), dict[str, float](), 0.0
    for group in groups:
        with accelerator.autocast():
            output = objective(policy, preferences.batch(group).to(accelerator.device))
        count += float(output.count)
        for name, value in {"loss": output.loss, **output.metrics}.items():
            totals[name] = totals.get(name, 0.0) + float(value)
    return {name: total / count for name, total in totals.items()}


def _check_start(
    policy: Policy,
    preferences: Preferences,
    source: PairSource[PreferenceBatch],
    config: DPOConfig,
    accelerator: Accelerator,
) -> None:
    """Before any update the loss is ln 2."""
    start = _measure(policy, preferences, [source.rankings_of(0)], config.beta, accelerator)
    laws.first_dpo_loss_is_log_two(start["loss"], config.training.precision)


def _report(
    policy: Policy,
    preferences: Preferences,
    shown: list[int],
    config: DPOConfig,
    run: Run,
    accelerator: Accelerator,
    *,
    held_out: bool,
) -> None:
    """What the trained policy makes of rankings, into the summary; a sentence where chosen answers grew rarer."""
    tokens = [preferences.ranked[i].tokens for i in shown]
    groups = [[shown[place] for place in group] for group in groups_by_tokens(tokens, config.training.tokens_per_batch)]
    found = _measure(policy, preferences, groups, config.beta, accelerator)
    where = "held-out" if held_out else "training"
    run.summary |= {
        "pairs": sum(len(item.chosen) for item in preferences.ranked),
        "rankings": len(preferences.ranked),
        "shown": where,
        "loss": found["loss"],
        "accuracy": found["rewards/accuracy"],
        "margin": found["rewards/margin"],
        "chosen_drift": found["logps/chosen"],
        "rejected_drift": found["logps/rejected"],
    }
    run.say(f"{where} rankings: {found['rewards/accuracy']:.1%} of pairs right, margin {found['rewards/margin']:.2f}")
    if found["logps/chosen"] < 0:
        run.say(
            f"chosen answers became less likely by {-found['logps/chosen']:.1f} nats and rejected ones by "
            f"{-found['logps/rejected']:.1f} (likelihood displacement): usual for DPO, which sees only their "
            "difference; where the policy then says something worse than both, raise beta, lower optim.lr or use PPO"
        )
