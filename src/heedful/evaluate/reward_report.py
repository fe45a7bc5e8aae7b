"""How good a reward model is on judgements that it has not seen, beside what could be reached and what is trivial.

Accuracy on noisy labels means little alone. Beside it stand: how far the raters agree themselves, the ceiling that
their own noise sets, what the truth itself reaches on the same labels, and what the rule "the longer answer wins"
reaches. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.evaluate.rater_figures import FEWEST, PUBLISHED, rater_figures
from heedful.evaluate.rates import wilson
from heedful.evaluate.statistics import clustered_bootstrap
from heedful.evaluate.strata import stratum
from heedful.evaluate.winrate import resamples_of
from heedful.records import Prompt, Ranking, prompt_id

Floats = NDArray[np.float64]
TRUTH = "truth"  # where a held-out ranking carries what simulated raters saw: prompt.meta["truth"]
AMONG_RATERS = (
    "raters_agree", "raters_agree_low", "raters_agree_high", "overlapping", "overlapping_prompts", "ceiling",
    "ceiling_low", "ceiling_high",
)  # fmt: skip
RUNGS = ("detailed", "vague", "wrong")  # answers to one prompt, from best to worst
BINS = 15
DRAWS = 1000


def with_truth(ranking: Ranking, gold: Sequence[float], p: Sequence[float]) -> Ranking:
    """A simulated ranking with the truth behind it, for reports only.

    `gold` has one value an answer; `p` one a pair in the order of `itertools.combinations`: the chance that a rater
    drawn from the population prefers the first of the two (a tie counts half).
    """
    meta = {**ranking.prompt.meta, TRUTH: {"gold": list(gold), "p": list(p)}}
    return replace(ranking, prompt=replace(ranking.prompt, meta=meta))


@dataclass(frozen=True, slots=True)
class Judged:
    """Held-out judgements, one row a pair (P). NaN where nobody knows the truth."""

    target: Floats  # 1 where the first of the two won, 0.5 for a tie
    first: NDArray[np.int64]  # index of the winner among all answers of all rankings
    second: NDArray[np.int64]
    words: Floats  # words of the winner less those of the other
    gold: Floats  # gold's score of the winner less that of the other
    p: Floats  # the true chance that the winner wins
    prompt: NDArray[np.str_]  # by its messages: what the bootstrap draws
    family: NDArray[np.str_]
    pair: NDArray[np.int64]  # which two answers of which prompt, whoever judges them and however they lie
    said: Floats  # the same judgement seen from the answers: 1 for one of the two, 0 for the other, 0.5 for a tie
    rater: NDArray[np.str_]

    def where(self, mask: NDArray[np.bool_]) -> Judged:
        return Judged(*(getattr(self, name)[mask] for name in self.__slots__))


def judged_pairs(rankings: Sequence[Ranking]) -> Judged:
    """All pairs of all rankings; answers are numbered through in the order of the rankings."""
    rows: list[tuple[float, int, int, float, float, float, str, str, int, float, str]] = []
    numbers: dict[tuple[str, str, str], int] = {}
    offset = 0
    for ranking in rankings:
        truth = ranking.prompt.meta.get(TRUTH, {})
        gold = truth.get("gold", [np.nan] * len(ranking.completions))
        order = combinations(range(len(ranking.completions)), 2)
        p = dict(zip(order, truth.get("p", [np.nan] * len(ranking.pairs())), strict=True))
        words = [len(text.split()) for text in ranking.completions]
        prompt = prompt_id(ranking.prompt.messages)
        family = stratum("family", ranking.prompt) or "all"
        for win, lose, tie in ranking.pairs():
            chance = p[win, lose] if win < lose else 1 - p[lose, win]
            one, other = ranking.completions[win], ranking.completions[lose]
            rows.append(
                (
                    0.5 if tie else 1.0,
                    offset + win,
                    offset + lose,
                    words[win] - words[lose],
                    gold[win] - gold[lose],
                    chance,
                    prompt,
                    family,
                    numbers.setdefault((prompt, min(one, other), max(one, other)), len(numbers)),
                    0.5 if tie else float(one < other),
                    ranking.rater,
                )
            )
        offset += len(ranking.completions)
    columns = list(zip(*rows, strict=True)) if rows else [()] * 11
    kinds = (float, np.int64, np.int64, float, float, float, np.str_, np.str_, np.int64, float, np.str_)
    return Judged(*(np.array(column, dtype=kind) for column, kind in zip(columns, kinds, strict=True)))


def agreement(gap: Floats, target: Floats) -> Floats:
    """Chance that the order of `gap` is the label's: ties of either side count half. (P,)"""
    return 0.5 + (target - 0.5) * np.sign(gap)


def _mean(values: Floats) -> float | None:
    """The mean of what is known, rounded for the page; None where nothing is."""
    known = values[~np.isnan(values)]
    return round(float(known.mean()), 4) if len(known) else None


def label_figures(pairs: Judged) -> dict[str, Any]:
    """What the labels allow, whoever the reward model is."""
    longer = _mean(agreement(pairs.words, pairs.target))
    decided = (pairs.target != 0.5) & (pairs.gold != 0)
    return {
        "pairs": len(pairs.target),
        "prompts": len(np.unique(pairs.prompt)),
        "ties": _mean((pairs.target == 0.5).astype(float)),
        # Bayes: E max(p, 1 − p), what the best guess of every single pair would reach
        "ceiling": _mean(np.maximum(pairs.p, 1 - pairs.p)),
        "gold_on_labels": _mean(agreement(pairs.gold, pairs.target)),
        "labels_against_gold": _mean(np.where(np.isnan(pairs.gold), np.nan, pairs.gold < 0)[decided]),
        "longer_wins": longer,
        # the better of "longer wins" and "shorter wins", chosen here in its favour
        "length_only": None if longer is None else max(longer, round(1 - longer, 4)),
    }


def model_figures(pairs: Judged, gap: Floats) -> dict[str, Any]:
    """The labels' figures and the reward model's. `gap` (P,): its score of the winner less that of the other."""
    differs = pairs.gold != 0
    against_gold = np.where(np.isnan(pairs.gold), np.nan, agreement(gap * np.sign(pairs.gold), np.ones_like(gap)))
    figures = label_figures(pairs)
    figures["accuracy"] = _mean(agreement(gap, pairs.target))
    figures["gold_agreement"] = _mean(against_gold[differs])
    if figures["gold_on_labels"] is not None and figures["accuracy"] is not None:
        figures["short_of_gold"] = round(figures["gold_on_labels"] - figures["accuracy"], 4)
    return figures


def with_raters(figures: dict[str, Any], pairs: Judged, rng: np.random.Generator, draws: int = DRAWS) -> dict[str, Any]:
    """The labels' figures, and what the raters reach among themselves on these pairs, where several judged them.

    Their votes' ceiling stands under `ceiling` unless the truth has set it; `published` has what others found.
    """
    among = rater_figures(pairs.pair, pairs.said, pairs.rater, pairs.prompt, rng, draws)
    if figures["ceiling"] is not None:
        among = {name: value for name, value in among.items() if not name.startswith("ceiling")}
    published = [{"name": name, "agreement": value} for name, value in PUBLISHED] if "raters_agree" in among else []
    return figures | among | ({"published": published} if published else {})


def calibration(gap: Floats, target: Floats, bins: int = BINS) -> dict[str, Any]:
    """Whether σ(gap) is the share of judgements that go that way.

    ece: Σ_b |B_b|/n |share − confidence| over bins of equal size in confidence σ(|gap|); brier: mean (σ(gap) − t)²;
    nll in nats.
    """
    if not len(gap):
        return {}
    p = 1 / (1 + np.exp(-np.clip(gap, -60, 60)))
    confidence = np.maximum(p, 1 - p)
    right = agreement(gap, target)
    curve, ece = [], 0.0
    for members in np.array_split(np.argsort(confidence, kind="stable"), min(bins, len(gap))):
        says, happens = float(confidence[members].mean()), float(right[members].mean())
        ece += len(members) / len(gap) * abs(happens - says)
        curve.append({"confidence": round(says, 4), "accuracy": round(happens, 4), "pairs": len(members)})
    nll = target * np.logaddexp(0, -gap) + (1 - target) * np.logaddexp(0, gap)
    brier = float(((p - target) ** 2).mean())
    return {"ece": round(ece, 4), "brier": round(brier, 4), "nll": round(float(nll.mean()), 4), "curve": curve}


def reward_report(
    rankings: Sequence[Ranking], scores: Sequence[float], rng: np.random.Generator, *, draws: int = DRAWS
) -> dict[str, Any]:
    """The whole report on held-out rankings. `scores` has one log-odds an answer, in the order of the rankings.

    Intervals are 95 %, by a bootstrap that draws whole prompts, since the pairs of one prompt share their answers.
    """
    pairs = judged_pairs(rankings)
    values = np.asarray(scores, dtype=float)
    return gap_report(pairs, values[pairs.first] - values[pairs.second], rng, draws=draws)


def gap_report(pairs: Judged, gap: Floats, rng: np.random.Generator, *, draws: int = DRAWS) -> dict[str, Any]:
    """The same of a model that need not score single answers. `gap` (P,): log-odds that the winner is the better."""
    report = model_figures(pairs, gap)
    if len(gap):
        report["low"], report["high"] = _interval(agreement(gap, pairs.target), pairs.prompt, rng, draws, 0.0)
        if report["gold_on_labels"] is not None:
            shortfall = agreement(pairs.gold, pairs.target) - agreement(gap, pairs.target)
            low, high = _interval(shortfall, pairs.prompt, rng, draws, -1.0)
            report["short_of_gold_low"], report["short_of_gold_high"] = low, high
    report = with_raters(report, pairs, rng, draws)
    report["calibration"] = calibration(gap, pairs.target)
    report["families"] = {
        str(family): model_figures(pairs.where(mask), gap[mask])
        for family in np.unique(pairs.family)
        for mask in [pairs.family == family]
    }
    return report


def _interval(
    values: Floats, clusters: NDArray[np.str_], rng: np.random.Generator, draws: int, least: float
) -> tuple[float, float]:
    """From `least` to 1 where there is one prompt, which tells nothing of others."""
    known = ~np.isnan(values)
    if len(np.unique(clusters[known])) == 1:
        return least, 1.0
    low, high = clustered_bootstrap(values[known], clusters[known].tolist(), rng, draws)
    return round(float(low), 4), round(float(high), 4)


def in_order(scores: Floats) -> NDArray[np.bool_]:
    """Which rows fall from each place to the next. (prompts, rungs) -> (prompts,)"""
    return np.asarray((np.diff(scores) < 0).all(axis=1))


def ladder_figures(prompts: Sequence[Prompt], scores: Floats, rng: np.random.Generator) -> dict[str, Any]:
    """How often each prompt's answers, given from best to worst as `RUNGS` says, are scored in that order.

    scores: (prompts, 3). Chance is ½ for a pair, a sixth for all three. Intervals as those of win rates.
    """
    resamples = resamples_of(prompts, rng)

    def share(name: str, right: NDArray[np.bool_]) -> dict[str, float]:
        found = resamples.interval(right.astype(float), (0.0, 1.0))
        low, high = (found.low, found.high) if found.se else wilson(float(right.sum()), len(right))
        return {name: round(found.mean, 4), "low": round(low, 4), "high": round(high, 4)}

    return {
        "prompts": len(prompts),
        **share("right_order", in_order(scores)),
        "pairs": [
            {"better": RUNGS[i], "worse": RUNGS[j], **share("rate", scores[:, i] > scores[:, j])}
            for i, j in combinations(range(len(RUNGS)), 2)
        ],
        "mean_scores": [round(float(mean), 4) for mean in scores.mean(axis=0)],
    }


def sentence(report: Mapping[str, Any]) -> str:
    """The report in one line for the terminal."""
    if not report.get("pairs"):
        return "no held-out judgements to report on"
    parts = [f"accuracy {report['accuracy']:.1%} on {report['pairs']} held-out pairs{_bounds(report, '')}"]
    if report.get("raters_agree") is not None:
        among = f"the majority of the others {report['raters_agree']:.1%}{_bounds(report, 'raters_agree_')}"
        parts.append(f"{among} on the {report['overlapping']} pairs that several raters judged")
    elif report["ceiling"] is None:
        prompts = report.get("overlapping_prompts", 0)
        parts.append(f"the raters' own agreement: not enough data ({prompts} of {FEWEST} prompts judged by two)")
    for key, name in (("ceiling", "ceiling"), ("gold_on_labels", "gold itself"), ("length_only", "length alone")):
        if report[key] is not None:
            parts.append(f"{name} {report[key]:.1%}{_bounds(report, f'{key}_')}")
    if ladder := report.get("ladder"):
        order, chance = " > ".join(RUNGS), 1 / factorial(len(RUNGS))
        right = f"{ladder['right_order']:.1%}{_bounds(ladder, '')} of {ladder['prompts']} prompts"
        parts.append(f"{order} on {right} (chance {chance:.0%})")
    return ", ".join(parts)


def _bounds(report: Mapping[str, Any], name: str) -> str:
    low, high = f"{name}low", f"{name}high"
    return f" [{report[low]:.1%}, {report[high]:.1%}]" if low in report else ""
