"""The report on raters: how far they agree, who stands out, what a second look would help. `heedful raters FILE…`"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.evaluate.rater_figures import PUBLISHED
from heedful.evaluate.statistics import DRAWS, Interval
from heedful.evaluate.vote_ceiling import leave_one_out, vote_ceiling
from heedful.feedback.agreement import (
    Statistic,
    cohen_kappa,
    count_table,
    fleiss_kappa,
    interval_alpha,
    krippendorff_alpha,
    mean_tau_b,
    rater_pairs,
    raw_agreement,
    unanimous,
)
from heedful.feedback.consensus import Case, adjudication, agree_on
from heedful.feedback.crowd import Crowd, fit_crowd
from heedful.feedback.diagnosis import (
    FEWEST,
    Finding,
    Position,
    Slope,
    copying,
    diagnose,
    length_slope,
    others_share,
    position_test,
    vote_weights,
)
from heedful.feedback.grades import Grade, Period, compared, grade_figures, grades_of, over_time
from heedful.feedback.judgements import FIRST, SECOND, TIE, Judgement
from heedful.feedback.machines import Consistency, Stratum, by_stratum, consistencies
from heedful.feedback.trust import Trust, trust
from heedful.feedback.votes import Votes, collect_votes
from heedful.records import prompt_id

Floats = NDArray[np.float64]
PAIRED_RATERS = 30  # with more raters than this, pairs of raters are not listed


@dataclass(frozen=True, slots=True)
class Figure:
    """A statistic with its interval; n units (pairs, rankings or answers) that at least two raters judged."""

    name: str
    value: Interval
    n: int


@dataclass(frozen=True, slots=True)
class RaterRow:
    """One rater: votes on pairs, agreement with the others, the crowd's model. lean is NaN where no place is known."""

    name: str
    kind: str
    votes: int
    agreement: float
    skill: float
    skill_low: float
    skill_high: float
    lean: float


@dataclass(frozen=True, slots=True)
class Look:
    """A pair that a second look would help: its prompt's id, its two answers, and why."""

    prompt: str
    first: str
    second: str
    reason: str
    uncertainty: float  # bits
    votes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RaterReport:
    """Everything that `heedful raters` shows; `row()` is its JSON."""

    judgements: int
    pairs: int
    overlapping: int  # pairs with two votes or more
    kinds: dict[str, int]  # raters of each kind
    agreement: tuple[Figure, ...]
    grades: tuple[Grade, ...]  # of ratings, flags and steps
    over_time: tuple[Period, ...]
    between: tuple[Figure, ...]  # Cohen's κ of each two raters who share enough
    trust: tuple[Trust, ...]  # each rater's agreement with other people, by kind of prompt
    machines: tuple[Stratum, ...]  # each machine's agreement with people, by kind of prompt
    consistency: tuple[Consistency, ...]  # of judges that were asked several times
    majority_of_others: float
    ceiling: float
    position: Position
    length: Slope
    raters: tuple[RaterRow, ...]
    findings: tuple[Finding, ...]
    cases: tuple[Look, ...]
    converged: bool

    def row(self) -> dict[str, Any]:
        found: dict[str, Any] = _plain(asdict(self))
        return found | {"published": [{"name": name, "agreement": value} for name, value in PUBLISHED]}


def nothing_said(judgements: Sequence[Judgement]) -> bool:
    """Whether no judgement compares answers, rates or flags one, or labels its steps: there is nothing to report."""
    return not any(judgement.ranks for judgement in judgements) and not grades_of(judgements)


def _plain(value: Any) -> Any:
    """JSON knows no NaN and no infinity."""
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case np.integer():
            return int(value)
        case float() | np.floating():
            return float(value) if isfinite(value) else None
    return value


def rater_report(judgements: Sequence[Judgement], seed: int = 0, draws: int = DRAWS) -> RaterReport:
    """Everything about who judged. Intervals redraw the sets of answers that were judged together."""
    rng = np.random.default_rng(seed)
    votes = collect_votes(judgements)
    counts = votes.counts()
    k, n = counts[:, FIRST].astype(int).tolist(), counts[:, :2].sum(1).astype(int).tolist()
    crowd = fit_crowd(votes, vote_weights(votes, copying(votes)))
    kinds = [kind for _, kind in {(one.rater or str(n), one.rater_kind) for n, one in enumerate(judgements)}]
    grades = grades_of(judgements)
    return RaterReport(
        judgements=len(judgements),
        pairs=votes.items,
        overlapping=int((counts.sum(1) > 1).sum()),
        kinds={kind: kinds.count(kind) for kind in sorted(set(kinds))},
        agreement=tuple(_agreement(judgements, votes, rng, draws)),
        grades=tuple(figure for said in grades for figure in grade_figures(said, rng, draws)),
        over_time=tuple(part for said in (compared(votes), *grades) for part in over_time(said, rng, draws)),
        between=tuple(_between(votes, rng, draws)),
        trust=tuple(trust(judgements, votes)),
        machines=tuple(by_stratum(judgements, votes, rng, draws)),
        consistency=tuple(consistencies(judgements)),
        majority_of_others=leave_one_out(k, n) if max(n, default=0) > 1 else float("nan"),
        ceiling=vote_ceiling(k, n) if max(n, default=0) > 1 else float("nan"),
        position=position_test(votes),
        length=length_slope(votes),
        raters=tuple(_raters(votes, crowd)),
        findings=tuple(diagnose(votes, crowd)),
        cases=tuple(_look(votes, case) for case in adjudication(votes, agree_on(votes, "soft"))),
        converged=crowd.converged,
    )


def _look(votes: Votes, case: Case) -> Look:
    first, second = votes.texts[votes.first[case.item]], votes.texts[votes.second[case.item]]
    return Look(votes.names[case.item], first, second, case.reason, case.uncertainty, case.votes)


def _figure(name: str, statistic: Statistic, clusters: Any, n: int, rng: np.random.Generator, draws: int) -> Figure:
    return Figure(name, statistic.interval(clusters, rng, draws), n)


def _agreement(judgements: Sequence[Judgement], votes: Votes, rng: np.random.Generator, draws: int) -> list[Figure]:
    counts = votes.counts()
    n, decided = int((counts.sum(1) > 1).sum()), int((counts[:, :2].sum(1) > 1).sum())
    found = (
        [
            _figure("Krippendorff's α, nominal", krippendorff_alpha(counts), votes.group, n, rng, draws),
            _figure("raw agreement, ties left out", raw_agreement(counts[:, :2]), votes.group, decided, rng, draws),
            _figure("raw agreement, a tie as an answer", raw_agreement(counts), votes.group, n, rng, draws),
            _figure("unanimous pairs", unanimous(counts), votes.group, n, rng, draws),
            _figure("Fleiss' κ", fleiss_kappa(counts), votes.group, n, rng, draws),
        ]
        if n
        else []
    )
    if n and votes.strength.any():
        scale = np.unique(value := _signed(votes), return_inverse=True)
        table = count_table(votes.item, scale[1], len(scale[0]), votes.items)
        found.append(
            _figure("α of strength, ordinal", krippendorff_alpha(table, "ordinal"), votes.group, n, rng, draws)
        )
        found.append(
            _figure(
                "α of strength, interval", interval_alpha(votes.item, value, votes.items), votes.group, n, rng, draws
            )
        )
    return found + _of_rankings(judgements, rng, draws)


def _signed(votes: Votes) -> Floats:
    """Strength towards the second answer; a preference without a strength counts 1."""
    strength = np.maximum(votes.strength, 1.0)
    return np.select([votes.choice == FIRST, votes.choice == SECOND], [-strength, strength], 0.0)


def _of_rankings(judgements: Sequence[Judgement], rng: np.random.Generator, draws: int) -> list[Figure]:
    """τ-b over sets of three answers or more that two raters ranked whole."""
    sets: dict[tuple[str, frozenset[str]], list[list[int]]] = {}
    for judgement in judgements:
        ranks = judgement.ranks
        texts = {judgement.completions[place]: rank for place, rank in ranks.items()}
        if len(texts) > 2:
            key = (prompt_id(judgement.prompt.messages), frozenset(texts))
            sets.setdefault(key, []).append([texts[t] for t in sorted(texts)])
    several = [vectors for vectors in sets.values() if len(vectors) > 1]
    if not several:
        return []
    return [
        _figure("Kendall's τ-b of rankings", mean_tau_b(several), np.arange(len(several)), len(several), rng, draws)
    ]


def _between(votes: Votes, rng: np.random.Generator, draws: int) -> list[Figure]:
    """Cohen's κ of every two raters who share enough pairs; quadratic weights on the scale where strength was given."""
    if not 2 <= len(votes.raters) <= PAIRED_RATERS:
        return []
    one, two = rater_pairs(votes.item, votes.rater)
    scale, value = np.unique(_signed(votes), return_inverse=True)
    weights = "quadratic" if votes.strength.any() else "none"
    found = []
    for a in range(len(votes.raters)):
        for b in range(a + 1, len(votes.raters)):
            mine = (votes.rater[one] == a) & (votes.rater[two] == b)
            if mine.sum() < FEWEST:
                continue
            statistic = cohen_kappa(value[one[mine]], value[two[mine]], len(scale), weights)  # type: ignore[arg-type]
            clusters = votes.group[votes.item[one[mine]]]
            name = f"{votes.raters[a]} with {votes.raters[b]}"
            found.append(_figure(name, statistic, clusters, int(mine.sum()), rng, draws))
    return found


def _raters(votes: Votes, crowd: Crowd) -> list[RaterRow]:
    """Every rater, those with most votes first."""
    total = np.bincount(votes.rater, minlength=len(votes.raters))
    share = others_share(votes)
    agrees = np.select([votes.choice == FIRST, votes.choice == SECOND], [share, 1 - share], np.nan)
    use = (votes.choice != TIE) & (np.bincount(votes.item, minlength=votes.items)[votes.item] > 1)
    n = np.bincount(votes.rater[use], minlength=len(votes.raters))
    side = np.bincount(votes.rater[use], agrees[use] > 0.5, len(votes.raters))
    even = np.bincount(votes.rater[use], agrees[use] == 0.5, len(votes.raters))
    placed = np.bincount(votes.rater[votes.left >= 0], minlength=len(votes.raters))
    agreement = np.where(n > 0, (side + even / 2) / np.maximum(n, 1), np.nan)
    return [
        RaterRow(
            name=votes.raters[r],
            kind=votes.kinds[r],
            votes=int(total[r]),
            agreement=float(agreement[r]),
            skill=float(crowd.skill[r]),
            skill_low=float(crowd.skill_low[r]),
            skill_high=float(crowd.skill_high[r]),
            lean=float(crowd.lean[r]) if placed[r] else float("nan"),
        )
        for r in np.argsort(-total, kind="stable")
    ]
