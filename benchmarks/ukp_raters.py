"""Statistics of raters on real votes: agreement, skill against published competence, consensus from one to three votes.

    python benchmarks/ukp_raters.py FOLDER

FOLDER holds UKPConvArg1 as `pairs.jsonl.gz` and `votes.csv.gz`. The last two parts are simulated: what a pair's own gap
costs, and ratings against comparisons, for these raters were asked for comparisons alone.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import time
from itertools import combinations, product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from heedful.evaluate.statistics import Interval, TwoWay, t_interval
from heedful.evaluate.vote_ceiling import leave_one_out, vote_ceiling
from heedful.feedback.agreement import (
    count_table,
    fleiss_kappa,
    interval_alpha,
    krippendorff_alpha,
    raw_agreement,
    unanimous,
)
from heedful.feedback.consensus import agree_on
from heedful.feedback.crowd import OWN, fit_crowd
from heedful.feedback.diagnosis import copying, length_slope, others_share, vote_weights
from heedful.feedback.judgements import FIRST, SECOND, TIE, Judgement
from heedful.feedback.reliability import dawid_skene, pseudo_counts
from heedful.feedback.votes import Votes, collect_votes
from heedful.records import Message, Prompt

Floats = NDArray[np.float64]
DRAWS = 10  # of the votes that a consensus is made of
SPREADS = (0.7, OWN, 3.0)  # of a pair's own gap, in log odds; OWN is what was chosen
ENOUGH = 10  # votes of a worker whose skill is compared


def as_published(folder: Path) -> tuple[Floats, NDArray[np.int64]]:
    """Votes for a1, a2, equal on each pair of the file (P, 3), and its topic (P,)."""
    rows = list(csv.DictReader(io.StringIO(gzip.decompress((folder / "votes.csv.gz").read_bytes()).decode("utf-8"))))
    pair = np.unique([row["pair_id"] for row in rows], return_inverse=True)[1]
    topic = np.unique([row["topic"] for row in rows], return_inverse=True)[1]
    of_pair = np.zeros(pair.max() + 1, dtype=np.int64)
    of_pair[pair] = topic
    return count_table(pair, [("a1", "a2", "equal").index(row["vote"]) for row in rows], 3), of_pair


def read(folder: Path) -> tuple[Votes, Floats, NDArray[np.int64], Floats]:
    """(votes, gold, topic, competence): gold (I,) FIRST, SECOND or −1; topic (I,); competence (R,) by MACE.

    A few arguments stand twice in a topic under two names; here they are one, so pairs are fewer than in the file.
    """
    lines = gzip.decompress((folder / "pairs.jsonl.gz").read_bytes()).decode("utf-8")
    pairs = {row["pair_id"]: row for row in map(json.loads, io.StringIO(lines))}
    text = gzip.decompress((folder / "votes.csv.gz").read_bytes()).decode("utf-8")
    judgements: list[Judgement] = []
    competence: dict[str, float] = {}
    gold_text: dict[tuple[str, frozenset[str]], str] = {}
    for row in csv.DictReader(io.StringIO(text)):
        pair = pairs[row["pair_id"]]
        if pair["a1"] == pair["a2"]:
            continue
        prompt = Prompt(id=pair["topic"], messages=(Message("user", f"{pair['title']}\n{pair['stance']}"),))
        prefer = {"verdict": "prefer", "preferred": int(row["vote"] == "a2")}
        value = {"verdict": "tie"} if row["vote"] == "equal" else prefer
        judgements.append(
            Judgement(prompt=prompt, completions=(pair["a1"], pair["a2"]), value=value, rater=row["worker"])
        )
        competence[row["worker"]] = float(row["mace_competence"])
        if pair["gold"] in ("a1", "a2"):
            gold_text[pair["topic"], frozenset((pair["a1"], pair["a2"]))] = pair[pair["gold"]]
    votes = collect_votes(judgements)
    gold = np.full(votes.items, -1.0)
    for item in range(votes.items):
        first, second = votes.texts[votes.first[item]], votes.texts[votes.second[item]]
        best = gold_text.get((votes.names[item], frozenset((first, second))))
        gold[item] = -1.0 if best is None else FIRST if best == first else SECOND
    topic = np.unique(votes.names, return_inverse=True)[1]
    return votes, gold, topic, np.array([competence[name] for name in votes.raters])


def show_agreement(counts: Floats, topic: NDArray[np.int64]) -> None:
    rng = np.random.default_rng(0)
    decided = counts[:, :2]
    print(f"{int(counts.sum()):,} votes on {len(counts):,} pairs in {topic.max() + 1} topics")
    print("agreement: estimate [pairs redrawn] [topics redrawn]")
    for name, statistic in (
        ("raw, ties left out", raw_agreement(decided)),
        ("raw, a tie as an answer", raw_agreement(counts)),
        ("unanimous", unanimous(counts)),
        ("Fleiss' kappa", fleiss_kappa(counts)),
        ("Krippendorff's alpha, nominal", krippendorff_alpha(counts)),
        ("... ordinal: first, tie, second", krippendorff_alpha(counts[:, [0, 2, 1]], "ordinal")),
    ):
        by_pair = statistic.interval(np.arange(len(counts)), rng)
        by_topic = statistic.interval(topic, rng)
        of_pairs, of_topics = (f"[{interval.low:.3f}, {interval.high:.3f}]" for interval in (by_pair, by_topic))
        print(f"  {name:34s} {by_pair.mean:.4f} {of_pairs} {of_topics}")
    k, n = decided[:, 0].astype(int), decided.sum(1).astype(int)
    print(f"  a vote with the majority of the others {leave_one_out(k, n):.3f}; ceiling {vote_ceiling(k, n):.3f}")


def show_skill(votes: Votes, competence: Floats) -> None:
    """Spearman's correlation with MACE's competence over workers with enough votes; workers redrawn."""
    slope = length_slope(votes)
    print(f"{len(votes.item):,} votes by {len(votes.raters):,} workers on {votes.items:,} pairs of different texts")
    print(
        f"length: the longer wins {slope.longer:.3f} of the votes; log odds a doubling {slope.slope.mean:.3f} "
        f"[{slope.slope.low:.3f}, {slope.slope.high:.3f}]"
    )

    crowd = fit_crowd(votes)
    skene = dawid_skene(
        votes.item, votes.rater, votes.choice, 3,
        items=votes.items, raters=len(votes.raters), prior=pseudo_counts(3),
    )  # fmt: skip
    share = others_share(votes)
    agrees = np.select([votes.choice == FIRST, votes.choice == SECOND], [share, 1 - share], 1 - 2 * np.abs(share - 0.5))
    n = np.bincount(votes.rater, minlength=len(votes.raters))
    simple = np.bincount(votes.rater, agrees, len(votes.raters)) / np.maximum(n, 1)
    who = np.flatnonzero(n >= ENOUGH)
    rng = np.random.default_rng(0)
    print(f"skill against MACE's competence: Spearman's rho over {len(who):,} workers with {ENOUGH} votes or more")
    for name, skill in (
        ("crowd model", crowd.skill),
        ("Dawid-Skene", skene.accuracy),
        ("agreement with others", simple),
    ):
        draws = [spearmanr(skill[d], competence[d]).statistic for d in rng.choice(who, (500, len(who)))]
        low, high = np.quantile(draws, (0.025, 0.975))
        print(f"  {name:24s} {spearmanr(skill[who], competence[who]).statistic:.3f} [{low:.3f}, {high:.3f}]")
    found = copying(votes)
    print(f"crowd model converged: {crowd.converged}; groups that copy: {len(found)}")
    for finding in found[:5]:
        print(
            f"  {len(finding.raters)} workers, {finding.votes} shared votes, z {finding.value:.1f}, p {finding.p:.1e}"
        )


def subset(votes: Votes, each: int, rng: np.random.Generator) -> Votes:
    """`each` votes of every pair, drawn at random."""
    order = rng.permutation(len(votes.item))
    order = order[np.argsort(votes.item[order], kind="stable")]
    first = np.flatnonzero(np.diff(votes.item[order], prepend=-1))
    place = np.arange(len(order)) - np.repeat(first, np.diff(np.append(first, len(order))))
    keep = np.zeros(len(votes.item), dtype=bool)
    keep[order[place < each]] = True
    return votes.only(keep)


def show_consensus(votes: Votes, gold: Floats, topic: NDArray[np.int64]) -> None:
    """How often each rule's label is gold's. The spread of a pair's own gap is chosen on every second topic alone."""
    known = gold >= 0
    sign, of_topic = np.where(gold == FIRST, 1, -1)[known], topic[known]
    chosen_on = of_topic % 2 == 0  # topics are numbered by name
    print(f"consensus: mean of {DRAWS} draws of votes; undecided is half right. Gains over the majority are means of")
    print("topics' means, with 95 % intervals over topics and draws")
    for each in (1, 2, 3):
        rows = [_right(subset(votes, each, np.random.default_rng(draw)), known, sign) for draw in range(DRAWS)]
        right = {name: np.array([row[name] for row in rows]) for name in rows[0]}  # (draws, pairs with gold)
        print(f" {each} vote{'s' * (each > 1)} a pair")
        for where, mask, names in (
            ("all topics", np.ones_like(chosen_on), ("majority", "dawid-skene", "scores alone")),
            ("topics that chose the spread", chosen_on, ("majority", *map(_spread, SPREADS))),
            ("held-out topics", ~chosen_on, ("majority", _spread(OWN))),
        ):
            print(f"  {where}: {len(np.unique(of_topic[mask]))} topics, {int(mask.sum()):,} pairs")
            for name in names:
                line = f"    {name:24s} {right[name][:, mask].mean():.4f}"
                if name != "majority":
                    gain = _gain((right[name] - right["majority"])[:, mask], of_topic[mask])
                    line += f"  {100 * gain.mean:+.2f} [{100 * gain.low:+.2f}, {100 * gain.high:+.2f}]"
                print(line, flush=True)


def _spread(own: float) -> str:
    return f"own gaps, spread {own}"


def _right(votes: Votes, known: NDArray[np.bool_], sign: NDArray[np.int64]) -> dict[str, Floats]:
    """1 where a rule's label is gold's, ½ where it is none, else 0, for each pair with gold."""
    weight = vote_weights(votes, copying(votes))
    said = {rule: agree_on(votes, rule).preference for rule in ("majority", "dawid-skene", "crowd")}
    said[_spread(OWN)] = said.pop("crowd")  # the rule as it is shipped
    for name, own in [("scores alone", 0.0), *((_spread(own), own) for own in SPREADS if own != OWN)]:
        crowd = fit_crowd(votes, weight, own)
        if not crowd.converged:
            print(f"  {name}: the fit did not converge")
        p = crowd.probabilities(votes.first, votes.second)
        said[name] = p[:, FIRST] + p[:, TIE] / 2
    return {name: 0.5 + 0.5 * np.sign(preference - 0.5)[known] * sign for name, preference in said.items()}


def _gain(values: Floats, topic: NDArray[np.int64]) -> Interval:
    """Of the mean over draws and topics, both of which might have been others. values (draws, pairs)"""
    n = np.bincount(topic)
    cells = np.array([(np.bincount(topic, row) / np.maximum(n, 1))[n > 0] for row in values])  # (draws, topics)
    draws, topics = np.indices(cells.shape)
    return TwoWay(topics.ravel(), draws.ravel(), np.random.default_rng(0)).interval(cells.ravel())


def show_price(seeds: int = 20) -> None:
    """Simulated: what the gaps of their own cost where one score an answer is the whole truth."""
    rows = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        quality = rng.normal(0, 1.5, (12, 12))
        judgements = []
        for prompt, (a, b) in product(range(12), combinations(range(12), 2)):
            first = rng.random() < 1 / (1 + np.exp(quality[prompt, b] - quality[prompt, a]))
            judgements.append(
                Judgement(
                    prompt=Prompt(id=str(prompt), messages=(Message("user", str(prompt)),)),
                    completions=(str(a), str(b)),
                    value={"verdict": "prefer", "preferred": int(not first)},
                    rater=f"r{rng.integers(7)}",
                )
            )
        votes = collect_votes(judgements)
        better = [
            quality[int(name)][[int(votes.texts[a]), int(votes.texts[b])]]
            for name, a, b in zip(votes.names, votes.first, votes.second, strict=True)
        ]
        sign = np.where(np.diff(better)[:, 0] < 0, 1, -1)
        right = _right(votes, np.ones(votes.items, dtype=bool), sign)
        rows.append([right[name].mean() for name in ("majority", _spread(OWN), "scores alone")])
    print(f"SIMULATED crowd that obeys one score an answer, one vote a pair, {seeds} seeds: right, mean [95 %]")
    for name, column in zip(("the vote alone", _spread(OWN), "scores alone"), np.array(rows).T, strict=True):
        interval = t_interval(column.tolist())
        print(f"  {name:44s} {interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]")


def show_ratings(seeds: int = 20) -> None:
    """Simulated: the same eyes give a rating from 1 to 7, on a scale of their own, or compare two answers."""
    rows = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        quality = rng.normal(0, 1, 300)
        offset, scale = rng.normal(0, 0.7, 6), np.exp(rng.normal(0, 0.3, 6))
        seen = quality[:, None] + rng.normal(0, 0.7, (300, 6))
        rating = np.clip(np.round(4 + offset + 1.2 * scale * seen), 1, 7)
        again = quality[:, None] + rng.normal(0, 0.7, (300, 6))
        i, j = np.arange(0, 300, 2), np.arange(1, 300, 2)
        compared = (again[i] > again[j]).astype(int)  # (P, 6)
        implied = np.sign(rating[i] - rating[j]) + 1  # 0, 1 (a tie), 2
        pairs = np.repeat(np.arange(150), 6)
        rows.append(
            (
                raw_agreement(count_table(pairs, compared.ravel(), 2)).estimate(),
                raw_agreement(count_table(pairs, implied.ravel(), 3)).estimate(),
                raw_agreement(count_table(pairs, implied.ravel(), 3)[:, [0, 2]]).estimate(),
                krippendorff_alpha(count_table(pairs, compared.ravel(), 2)).estimate(),
                interval_alpha(np.repeat(np.arange(300), 6), rating.ravel()).estimate(),
                float((implied == 1).mean()),
            )
        )
    print(f"SIMULATED ratings against comparisons by the same raters, {seeds} seeds: mean [95 %]")
    names = (
        "comparisons: two raters agree", "order implied by ratings: two raters agree", "... of pairs that neither ties",
        "comparisons: alpha, nominal", "ratings: alpha, interval", "pairs that a rater's ratings tie",
    )  # fmt: skip
    for name, column in zip(names, np.array(rows).T, strict=True):
        interval = t_interval(column.tolist())
        print(f"  {name:44s} {interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    votes, gold, topic, competence = read(folder)
    show_agreement(*as_published(folder))
    show_skill(votes, competence)
    show_consensus(votes, gold, topic)
    show_price()
    show_ratings()
    print(f"{time.process_time():.0f} s of one core")


if __name__ == "__main__":
    main()
