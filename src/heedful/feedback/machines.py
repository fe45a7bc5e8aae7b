"""How far machines agree with people, one kind of prompt after another: where a judge may label, and where people must.

A judge's agreement with people stands beside people's agreement among themselves on the same prompts: no judge can be
asked to agree with people more than they do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import mean

import numpy as np
from numpy.typing import NDArray

from heedful.evaluate.rates import wilson
from heedful.evaluate.statistics import Interval
from heedful.feedback.agreement import Statistic, raw_agreement
from heedful.feedback.draws import Draw, by_order, pairs, read_draws, sign
from heedful.feedback.judgements import Judgement
from heedful.feedback.routing import kind_of
from heedful.feedback.votes import Votes
from heedful.records import prompt_id

ALL, PEOPLE = "all prompts", "people"


@dataclass(frozen=True, slots=True)
class Stratum:
    """Raw agreement with people on one kind of prompt, a tie as an answer; n pairs of answers that both judged.

    judge: a machine's name, or `people`, whose agreement is among themselves, on what any machine judged.
    """

    stratum: str
    judge: str
    agreement: Interval
    n: int


def by_stratum(judgements: Sequence[Judgement], votes: Votes, rng: np.random.Generator, draws: int) -> list[Stratum]:
    """Every machine with people, on all prompts and on each kind of them; empty without machines or without people."""
    kinds = np.array(votes.kinds, dtype=np.str_)
    machines = np.flatnonzero(kinds == "ai").tolist()
    people = votes.only((kinds == "human")[votes.rater]).counts()
    if not machines or not people.any():
        return []
    seen = np.zeros(votes.items, dtype=bool)
    seen[votes.item[(kinds == "ai")[votes.rater]]] = True  # people alone may have had harder ones
    names = kinds_of_prompts(judgements, votes)
    known = sorted(set(names.tolist()) - {""})
    masks = {ALL: np.ones(votes.items, dtype=bool)}
    if len(known) > 1:
        masks |= {name: names == name for name in known}
    found = []
    for name, mask in masks.items():
        among = mask & seen & (people.sum(1) > 1)
        if among.any():
            value = raw_agreement(people[among]).interval(votes.group[among], rng, draws)
            found.append(Stratum(name, PEOPLE, value, int(among.sum())))
        for judge in machines:
            mine = (votes.rater == judge) & mask[votes.item] & (people[votes.item].sum(1) > 0)
            item, choice = votes.item[mine], votes.choice[mine]
            if not len(item):
                continue
            statistic = Statistic(
                np.stack([people[item, choice], people[item].sum(1)], axis=1), lambda s: s[..., 0] / s[..., 1]
            )
            value = statistic.interval(votes.group[item], rng, draws)
            found.append(Stratum(name, votes.raters[judge], value, len(item)))
    return found


def kinds_of_prompts(judgements: Sequence[Judgement], votes: Votes) -> NDArray[np.str_]:
    """The kind of each item's prompt; empty where none is known. (I,)"""
    kinds: dict[str, str] = {}
    for judgement in judgements:
        if named := kind_of(judgement.prompt.meta):
            kinds[prompt_id(judgement.prompt.messages)] = named
    return np.array([kinds.get(prompt, "") for prompt in votes.prompts], dtype=np.str_)


@dataclass(frozen=True, slots=True)
class Share:
    """A share of n items with its interval."""

    share: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Consistency:
    """How often a judge says the same of two answers when they change places, and when it is asked again.

    first: of the pairs on which the place decided, how often the answer shown first won.
    """

    judge: str
    orders: Share
    first: Share
    again: Share


def consistencies(judgements: Iterable[Judgement]) -> list[Consistency]:
    """Every judge whose draws are known. An item counts once, by the share of its pairs, orders and draws: these hang
    together, and counted apart they would make the interval too narrow."""
    of: dict[str, list[list[Draw]]] = defaultdict(list)
    for judgement in judgements:
        if len(judgement.draws) > 1:
            of[judgement.rater].append(read_draws(judgement.draws))
    return [_consistency(judge, items) for judge, items in sorted(of.items())]


def _consistency(judge: str, items: Sequence[Sequence[Draw]]) -> Consistency:
    parts = [_of_item(draws) for draws in items]
    orders, first, again = (_share([mean(shares) for shares in part if shares]) for part in zip(*parts, strict=True))
    return Consistency(judge, orders, first, again)


def _of_item(draws: Sequence[Draw]) -> tuple[list[float], list[float], list[float]]:
    """Of one item: how far each two orders agree, who won where they don't, and each two draws alike."""
    orders: list[float] = []
    firsts: list[float] = []
    again: list[float] = []
    for (one, a), (_, b) in combinations(by_order(draws).items(), 2):
        same = [sign(a[pair]) == sign(b[pair]) for pair in a.keys() & b.keys()]
        orders += [mean(same)] if same else []
        swayed = [pair for pair in a.keys() & b.keys() if a[pair] * b[pair] < 0]
        first = [(a[pair] > 0) == (one.index(pair[0]) < one.index(pair[1])) for pair in swayed]
        firsts += [mean(first)] if first else []
    for early, late in combinations(draws, 2):
        if early.shown == late.shown:
            x, y = pairs(early.value), pairs(late.value)
            same = [x[pair] == y[pair] for pair in x.keys() & y.keys()]
            again += [mean(same)] if same else []
    return orders, firsts, again


def _share(shares: Sequence[float]) -> Share:
    low, high = wilson(sum(shares), len(shares))
    return Share(mean(shares) if shares else float("nan"), low, high, len(shares))
