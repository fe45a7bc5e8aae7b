"""Answers labelled one by one, or rankings split into such labels, as the course of an unpaired loss."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import isnan

import torch

from heedful.algorithms.direct.unpaired import unpaired_objective
from heedful.batches import LabelBatch
from heedful.config.direct import BCOLoss, KTOLoss, UnpairedLoss
from heedful.data.labels import LabelledExamples, label_examples, mismatched, pack_labels, split, wanted_share
from heedful.data.lengths import fitting_groups
from heedful.data.pairs import apart, unread_margins
from heedful.data.sources import read_judgements
from heedful.errors import InputError
from heedful.records import Labelled, Prompt, Ranking
from heedful.train.baseline import Baseline, BaselineSource, drift, halfway
from heedful.train.course import Course, Setting, in_batches
from heedful.train.preferences import Preferences

FAIR = (1.0, 3 / 2)  # of λ_D n_D / (λ_U n_U) (Ethayarajh 2024, eq. 9)


def unpaired_course(loss: UnpairedLoss, setting: Setting) -> Course:
    """Read labels, and what the reference says of their answers."""
    config, run = setting.config, setting.run
    held_out = read_judgements(config.heldout)
    judgements, overlap = apart(read_judgements(config.data), held_out, "judgements")
    run.note(overlap)
    training = _tokenised(judgements, config.data, setting)
    heldout = _tokenised(held_out, config.heldout, setting)
    for paths, found, why in ((config.data, training, overlap), (config.heldout, heldout, "")):
        if paths and not found:
            raise InputError(
                f"{', '.join(paths)}: no ranking prefers one answer to another: there is nothing to learn"
                + (f" ({why})" if why else "")
            )
    training = run.drawn(training, config.limit, "prompts")
    wanted = wanted_share(training)
    items = training + heldout
    preferences = Preferences(items, setting.reference([e for item in items for e in item.examples]), pack_labels)
    baseline = _baseline(loss, preferences, setting)
    if isinstance(loss, KTOLoss):
        _check_balance(loss, wanted, setting)
    walk = setting.walk(preferences, len(training))

    def batches(members: Sequence[int]) -> Iterable[LabelBatch]:
        found = baseline(members)
        value = torch.tensor(0.0 if isnan(found) else found)
        for batch in in_batches(preferences, members, config.training.tokens_per_batch):
            yield replace(batch, baseline=value)

    return Course(
        model=setting.policy,
        objective=unpaired_objective(loss, wanted),
        source=BaselineSource(walk, baseline, decay=loss.decay if isinstance(loss, BCOLoss) else 0.0),
        first=walk.rankings_of(0),
        training=len(training),
        items=len(items),
        batches=batches,
        counted="labels",
        count=sum((a > 0) + (b > 0) for item in items for a, b in zip(item.desirable, item.undesirable, strict=True)),
    )


def _tokenised(judgements: list[Labelled | Ranking], paths: list[str], setting: Setting) -> list[LabelledExamples]:
    """Labels by prompt as tokens; rankings are split, said so with what is lost, and what doesn't fit the context is
    left out."""
    rankings = [item for item in judgements if isinstance(item, Ranking)]
    items = label_examples(setting.chat, split(judgements))
    asked = [Prompt(id="", messages=item.prompt) for item in items]
    examples = [item.examples for item in items]
    kept, left_out = fitting_groups(examples, setting.policy.context, "prompts", asked, paths)
    if rankings:
        setting.run.say(f"{len(rankings)} rankings split into single labels: what an answer won, and what it lost")
        _say_what_is_lost(rankings, setting)
    setting.run.note(left_out)
    return [items[i] for i in kept]


def _say_what_is_lost(rankings: list[Ranking], setting: Setting) -> None:
    """Of rankings that are split: ties, which nobody won, and margins, for which a single label has no place."""
    ties = sum(tie for ranking in rankings for _, _, tie in ranking.pairs())
    if ties:
        empty = sum(not ranking.labels() for ranking in rankings)
        setting.run.say(
            f"{ties} ties dropped, which give no labels"
            + (f"; {empty} of the {len(rankings)} rankings held nothing else" if empty else "")
        )
    setting.run.note(unread_margins((ranking.margins for ranking in rankings), setting.config.loss.type))


def _baseline(loss: UnpairedLoss, preferences: Preferences[LabelledExamples, LabelBatch], setting: Setting) -> Baseline:
    """What the loss measures rewards against."""
    tokens, items = setting.config.training.tokens_per_batch, preferences.items
    match loss.baseline:
        case "none":
            return lambda _: 0.0
        case "drift":
            order = [int(i) for i in setting.run.rng("mismatched").permutation(len(items))]
            pairs = mismatched(setting.chat, items, order, setting.policy.context)
            reference = setting.reference([example for examples in pairs for example in examples])
            return drift(setting.policy, pairs, reference, tokens=tokens, accelerator=setting.accelerator)
        case "halfway":
            return halfway(
                setting.policy,
                items,
                preferences.reference,
                beta=loss.beta,
                tokens=tokens,
                accelerator=setting.accelerator,
            )


def _check_balance(loss: KTOLoss, wanted: float, setting: Setting) -> None:
    """Say so where one kind of label outweighs the other by more than the paper found good."""
    ratio = loss.desirable * wanted / (loss.undesirable * (1 - wanted))
    low, high = FAIR
    if not low - 1e-6 <= ratio <= high + 1e-6:
        side = "desirable" if ratio < low else "undesirable"
        factor = low / ratio if ratio < low else ratio / high
        value = factor * (loss.desirable if ratio < low else loss.undesirable)
        setting.run.say(
            f"{wanted:.0%} of the labels want their answer, so wanted answers weigh {ratio:.2f} times as much as "
            f"unwanted ones; between 1 and 3/2 works best (Ethayarajh 2024): set loss.{side}={value:.3g}"
        )
