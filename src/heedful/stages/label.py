"""Rank the candidates of each prompt, by simulated raters, people or an AI judge: rankings.jsonl and heldout.jsonl."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from heedful.config import FlippedLabels, JudgeLabels, LabelConfig, PeopleLabels, SimulatedLabels
from heedful.data.candidates import Candidates, borrow, by_family, gather
from heedful.data.sources import read_completions
from heedful.errors import InputError
from heedful.evaluate.reward_report import judged_pairs, label_figures, with_truth
from heedful.judges.sentiment import NOISE, compound
from heedful.records import Prompt, Ranking, prompt_id
from heedful.run import Run, seed_of
from heedful.stages.asking import ask_people
from heedful.stages.grading import grade, of_kind, refuse_unfit
from heedful.stages.judging import ask_judge
from heedful.world import FAMILIES, FlippingRater, GoldJudge, Rater, preference_probability, raters

FLIPPERS = 12  # as many as the other simulated raters, and all alike
TIE_WIDTH = 0.02  # answers that a rater feels to be this close, in units of the truth, share a rank


@dataclass(frozen=True, slots=True)
class Truth:
    """A population of simulated raters and what they noisily perceive."""

    raters: Sequence[Rater]
    gold: Callable[[Prompt, str], float]


def label(config: LabelConfig, run: Run) -> None:
    """Candidates for one prompt are put together, some answers of other prompts are added, one rater ranks them."""
    pool = gather(completion for path in config.completions for completion in read_completions(path))
    if config.borrowed:
        families = by_family(pool)
        pool = [borrow(own, pool, families, config.borrowed, run.rng("borrow", i)) for i, own in enumerate(pool)]
    usable = [candidates for candidates in pool if len(candidates.texts) > 1]
    if not usable:
        raise InputError(
            f"{', '.join(config.completions)}: no prompt has two different answers to rank; "
            "sample more completions at a higher temperature"
        )
    refuse_unfit(config, usable)
    usable = run.drawn(of_kind(config.ask, usable), config.prompts, "prompts")
    held = held_out([prompt_id(candidates.prompt.messages) for candidates in usable], config.holdout, run.seed)
    if isinstance(config.by, PeopleLabels):
        ask_people(config, config.by, usable, held, run)
        return
    if isinstance(config.by, JudgeLabels):
        ask_judge(config.by, usable, held, run)
        return
    if isinstance(config.by, FlippedLabels):
        usable = [_two(candidates, run.seed) for candidates in usable]
    elif config.ask != "rank":
        grade(config, usable, held, raters(config.by.raters, run.seed), run)
        return
    truth = _truth(config.by, run.seed, usable)
    training: list[Ranking] = []
    heldout: list[Ranking] = []
    with run.progress("label", len(usable)) as progress:
        for index, candidates in enumerate(usable):
            order = run.rng("raters", index).permutation(len(truth.raters))
            people = [truth.raters[int(i)] for i in order[: 1 if index in held else config.overlap]]
            rankings = [rank(candidates, rater, run.rng("rank", index, i)) for i, rater in enumerate(people)]
            if index in held:
                heldout.append(_known(rankings[0], truth))
            else:
                training += rankings
            progress.advance()
    run.write_records("rankings.jsonl", training)
    run.write_records("heldout.jsonl", heldout)
    run.summary |= summary(training, heldout, skipped=sum(len(candidates.texts) < 2 for candidates in pool))
    run.say(
        f"{len(training)} rankings to train on, {len(heldout)} held out, by {len(truth.raters)} simulated raters; "
        f"ceiling {run.summary['heldout']['ceiling']}, {run.summary['heldout']['labels_against_gold']} against gold"
    )


def held_out(prompts: Sequence[str], share: float, seed: int) -> frozenset[int]:
    """Which prompts are kept for the report: whole prompts, since pairs of one prompt share their answers.

    The draw hangs on the prompt alone, not on the stage: a second round of labels holds the same prompts out.
    """
    order = sorted(range(len(prompts)), key=lambda i: seed_of(seed, "holdout", prompts[i]))
    return frozenset(order[: round(share * len(prompts))])


def rank(candidates: Candidates, rater: Rater, rng: np.random.Generator) -> Ranking:
    """The rater sees the candidates in a drawn order, so that no source always comes first."""
    order = [int(i) for i in rng.permutation(len(candidates.texts))]
    texts = tuple(candidates.texts[i] for i in order)
    return Ranking(
        prompt=candidates.prompt,
        completions=texts,
        ranks=rater.rank(candidates.prompt, texts, rng, TIE_WIDTH),
        rater=rater.name,
        rater_kind="simulated",
        sources=tuple(candidates.sources[i] for i in order),
    )


def _two(candidates: Candidates, seed: int) -> Candidates:
    """Two of the answers, drawn by the prompt alone: every stage that judges these candidates judges the same two."""
    rng = np.random.default_rng(seed_of(seed, "two", candidates.prompt.id))
    places = sorted(int(place) for place in rng.permutation(len(candidates.texts))[:2])
    return replace(
        candidates,
        texts=tuple(candidates.texts[place] for place in places),
        sources=tuple(candidates.sources[place] for place in places),
    )


def _truth(by: SimulatedLabels | FlippedLabels, seed: int, pool: Sequence[Candidates]) -> Truth:
    if isinstance(by, SimulatedLabels) and by.truth == "sentiment":
        readers = raters(by.raters, seed, temperature=NOISE)
        return Truth([replace(reader, truth=_feeling) for reader in readers], _feeling)
    for candidates in pool:
        if candidates.prompt.meta.get("family") not in FAMILIES:
            raise InputError(
                f"prompt {candidates.prompt.id}: has no 'family' of the built-in world in its meta, and the "
                'world\'s raters know no other prompts: set by.truth to "sentiment", or let people rank'
            )
    match by:
        case SimulatedLabels():
            return Truth(raters(by.raters, seed), _gold)
        case FlippedLabels():
            people = [FlippingRater(f"flipping-{seed}-{i:02d}", by.share, by.length, _gold) for i in range(FLIPPERS)]
            return Truth(people, _gold)


_GOLD = GoldJudge()


def _gold(prompt: Prompt, text: str) -> float:
    return _GOLD.score(prompt, text).total


def _feeling(_: Prompt, text: str) -> float:
    return compound(text)


def _known(ranking: Ranking, truth: Truth) -> Ranking:
    """A held-out ranking with gold and the true probability of each pair, for reports only."""
    gold = [truth.gold(ranking.prompt, text) for text in ranking.completions]
    p = [preference_probability(truth.raters, ranking.prompt, a, b) for a, b in combinations(ranking.completions, 2)]
    return with_truth(ranking, gold, p)


def summary(training: Sequence[Ranking], heldout: Sequence[Ranking], *, skipped: int) -> dict[str, Any]:
    """Counts, and what the held-out labels allow a reward model to reach, overall and by family."""
    pairs = judged_pairs(heldout)
    families = {str(name): label_figures(pairs.where(pairs.family == name)) for name in np.unique(pairs.family)}
    return {
        "rankings": len(training),
        "comparisons": sum(len(ranking.pairs()) for ranking in training),
        "skipped_prompts": skipped,
        "tie_width": TIE_WIDTH,
        "raters": sorted({ranking.rater for ranking in (*training, *heldout)}),
        "heldout": label_figures(pairs),
        "families": families,
    }
