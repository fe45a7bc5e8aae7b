"""Rankings as the course of a paired loss."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

from heedful.algorithms.direct.paired import paired_objective
from heedful.batches import PreferenceBatch
from heedful.config.direct import CDPOLoss, PairedLoss, RobustLoss, WPOLoss
from heedful.data.flips import flip_rate
from heedful.data.pairs import RankedExamples, apart, by_answers, fitting, pack_pairs, rank_examples, unread_margins
from heedful.data.sources import read_rankings
from heedful.errors import InputError
from heedful.models.heads import ConcentratedPolicy
from heedful.records import Ranking
from heedful.run import Run
from heedful.train.course import Course, Setting, in_batches
from heedful.train.preferences import Preferences


def paired_course(loss: PairedLoss, setting: Setting) -> Course:
    """Read rankings, and what the reference says of their answers."""
    config, run = setting.config, setting.run
    held_out = read_rankings(config.heldout)
    rankings, overlap = apart(read_rankings(config.data), held_out)
    run.note(overlap)
    loss = _with_rate(loss, rankings, run)
    training = _tokenised(rankings, config.data, loss, setting)
    heldout = _tokenised(held_out, config.heldout, loss, setting)
    if not training:
        raise InputError(
            f"{', '.join(config.data)}: no ranking prefers one answer to another: there is nothing to learn"
            + (f" ({overlap})" if overlap else "")
        )
    training = run.drawn(training, config.limit, "rankings")
    items = training + heldout
    preferences = Preferences(items, setting.reference([e for item in items for e in item.examples]), _pack)
    source = setting.walk(preferences, len(training))

    def batches(members: Sequence[int]) -> Iterable[PreferenceBatch]:
        return in_batches(preferences, members, config.training.tokens_per_batch)

    return Course(
        model=ConcentratedPolicy(setting.policy) if isinstance(loss, WPOLoss) else setting.policy,
        objective=paired_objective(loss),
        source=source,
        first=source.rankings_of(0),
        training=len(training),
        items=len(items),
        batches=batches,
        counted="pairs",
        count=sum(len(item.chosen) for item in items),
    )


def _with_rate(loss: PairedLoss, rankings: list[Ranking], run: Run) -> PairedLoss:
    """The loss with its share of flipped labels estimated, where that was asked for."""
    if not isinstance(loss, CDPOLoss | RobustLoss) or loss.epsilon:
        return loss
    found = flip_rate(rankings)
    run.summary["epsilon"] = found.rate
    run.say(
        f"{found.rate:.1%} of labels are taken to be flipped (standard error {found.error:.1%}): two judgements of one "
        f"pair disagree {found.disagreement:.1%} of the time ({found.pairs} pairs)"
    )
    return loss.model_copy(update={"epsilon": found.rate})


def _pack(ranked: list[RankedExamples], reference: Tensor) -> PreferenceBatch:
    return PreferenceBatch(pairs=pack_pairs(ranked), reference=reference)


def _tokenised(rankings: list[Ranking], paths: list[str], loss: PairedLoss, setting: Setting) -> list[RankedExamples]:
    """Rankings as tokens without ties, which these losses have no use for, and without answers too long to be read."""
    groups = by_answers(rankings)
    ranked = [rank_examples(setting.chat, group) for group in groups]
    fit_in, left_out = fitting(ranked, setting.policy.context, [group[0] for group in groups], paths)
    decided = [item for item in (item.without_ties() for item in fit_in) if item.chosen]
    pairs = sum(len(item.chosen) for item in decided)
    ties = sum(len(item.chosen) for item in fit_in) - pairs
    if ties:
        setting.run.say(
            f"{ties} ties dropped, which DPO can't learn from; {pairs} pairs of {len(decided)} rankings are left"
        )
    setting.run.note(left_out)
    if not loss.margins:
        setting.run.note(unread_margins((item.margin for item in decided), loss.type))
    return decided
