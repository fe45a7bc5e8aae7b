"""What is wrong with labels, rater by rater: a side of the screen, a liking for length, carelessness, drift, copying.

Nothing here bans anyone. A finding says what was seen, of how many votes, and how surprising it is among all raters
looked at; the models in `crowd` and `reliability` then let votes weigh what they are worth.

The K(K−1)/2 votes of one ranking stand and fall together: whoever happens to like the answer that lies first gives it
K − 1 votes. So every test counts rankings, not votes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, kolmogorov, logit, ndtr

from heedful.evaluate.rates import Z, wilson
from heedful.evaluate.statistics import Interval, holm
from heedful.feedback.agreement import rater_pairs
from heedful.feedback.crowd import Crowd
from heedful.feedback.judgements import FIRST, SECOND, TIE
from heedful.feedback.votes import Votes

Floats = NDArray[np.float64]
Kind = Literal["position", "length", "careless", "drift", "copies"]
FEWEST = 10  # judgements below which a rater is not judged; a ranking is one, however many votes it gives
EXACT = 500  # judgements up to which the chance of a position is summed and not approximated
ALPHA = 0.05
STRONG = 2.0  # log odds: prior strength of one imagined vote on either side, in leave-one-out shares
TRIM, TRIMS = 2.5, 30  # standard errors beyond which a pair of raters is left out of the fit; rounds of it
PULL = 5.0  # votes' worth by which a rater's c is drawn to the crowd's
CARELESS = 0.5  # a rater whose skill is surely below this guesses more often than not


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing seen about one rater, or about several who copy each other. p is adjusted for all raters (Holm)."""

    kind: Kind
    raters: tuple[str, ...]
    votes: int
    value: float
    p: float
    sentence: str


@dataclass(frozen=True, slots=True)
class Position:
    """How often what lay left was preferred, of the decided votes whose place is known."""

    rate: float
    low: float
    high: float
    votes: int
    p: float


def position_test(votes: Votes) -> Position:
    """The share of decided votes for the left answer, with Wilson's interval, and a test against ½.

    Both take the votes on one set of answers together, as a file may lay it before all raters in one order.
    """
    known = votes.only((votes.left >= 0) & (votes.choice != TIE))
    n, k = len(known.item), int((known.choice == known.left).sum())
    if not n:
        return Position(0.5, 0.0, 1.0, 0, 1.0)
    lead, size = _lead(known, known.group[known.item])
    mean = lead.sum() / n
    spread = float(((lead - size * mean) ** 2).sum())
    varies = abs(mean) < 1 and len(lead) > 1
    widened = max(1.0, spread / (n * (1 - mean**2))) if varies else n / len(lead)  # the design effect
    low, high = wilson(k / widened, n / widened)
    return Position(k / n, low, high, n, lead_chance(lead))


def _lead(known: Votes, cluster: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each cluster of votes: by how many more the left answers won, and how many votes it has."""
    which = np.unique(cluster, return_inverse=True)[1]
    lead = np.bincount(which, np.where(known.choice == known.left, 1, -1))
    return lead.astype(np.int64), np.bincount(which)


def lead_chance(lead: NDArray[np.int64]) -> float:
    """P(|Σ ±d| ≥ |Σ d|) where each d is as likely to have the other sign: two-sided.

    Had the answers lain the other way round, an honest ranking's lead would have the other sign, and either was as
    likely to be drawn. With one vote a judgement it is the binomial test; beyond EXACT of them Σd / √Σd² is normal.
    """
    sizes, seen = np.abs(lead[lead != 0]), abs(int(lead.sum()))
    if not len(sizes) or not seen:
        return 1.0
    if len(sizes) > EXACT:
        step = int(np.gcd.reduce(sizes))  # sums lie 2·step apart
        return float(2 * ndtr((step - seen) / sqrt(float((sizes**2).sum()))))
    top = int(sizes.sum())
    p = np.zeros(2 * top + 1)
    p[top] = 1.0
    for size in sizes:
        p = (np.roll(p, size) + np.roll(p, -size)) / 2
    return min(1.0, float(p[: top - seen + 1].sum() + p[top + seen :].sum()))


def position_findings(votes: Votes) -> list[Finding]:
    """Raters who take one side of the screen more often than chance."""
    known = votes.only((votes.left >= 0) & (votes.choice != TIE))
    leads: dict[int, NDArray[np.int64]] = {}
    for rater in range(len(votes.raters)):
        mine = known.only(known.rater == rater)
        lead = _lead(mine, mine.sheet)[0]
        if len(lead) >= FEWEST:
            leads[rater] = lead
    left = np.bincount(known.rater, known.choice == known.left, len(votes.raters)).astype(int)
    total = np.bincount(known.rater, minlength=len(votes.raters))
    p = holm([lead_chance(lead) for lead in leads.values()])
    return [
        Finding("position", (votes.raters[r],), int(total[r]), left[r] / total[r], value, _side(left[r], total[r], n))
        for (r, n), value in zip(((rater, len(lead)) for rater, lead in leads.items()), p, strict=True)
        if value < ALPHA
    ]


def _side(left: int, total: int, judgements: int) -> str:
    of = f", of {judgements} rankings" if judgements < total else ""
    return f"prefers what lies left in {left} of {total} decided votes ({left / total:.0%}{of})"


@dataclass(frozen=True, slots=True)
class Slope:
    """log odds of preferring the longer answer for each doubling of its length; 0: length doesn't matter."""

    slope: Interval
    longer: float  # the share of decided votes that went to the longer answer
    votes: int


def length_slope(votes: Votes) -> Slope:
    """Logistic regression of P(first) on log₂(length first / length second); no constant, "first" is chance.

    The standard error is clustered by the set of answers (sandwich): votes on one set stand together.
    """
    decided = votes.only(votes.choice != TIE)
    x, y = _doublings(decided)[decided.item], (decided.choice == FIRST).astype(np.float64)
    use = x != 0
    x, y, cluster = x[use], y[use], votes.group[decided.item[use]]
    if len(x) < 2:
        return Slope(Interval(0.0, float("-inf"), float("inf"), float("inf")), 0.5, len(x))
    slope, information = _logistic(x, y, np.zeros_like(x))
    score = np.bincount(cluster, x * (y - expit(slope * x)))
    se = sqrt(float((score**2).sum())) / information
    longer = float(np.where(x > 0, y, 1 - y).mean())
    half = Z * se
    return Slope(Interval(slope, slope - half, slope + half, se), longer, len(x))


def _doublings(votes: Votes) -> Floats:
    """log₂ of how many times longer the first answer of each item is. (I,)"""
    length = np.maximum(votes.length, 1.0)
    return np.asarray(np.log2(length[votes.first] / length[votes.second]))


def _logistic(x: Floats, y: Floats, offset: Floats, ridge: float = 1e-3) -> tuple[float, float]:
    """The slope of logit P = offset + slope·x and its information, by Newton's method; a ridge keeps it finite."""
    slope = 0.0
    for _ in range(50):
        p = expit(offset + slope * x)
        information = float((p * (1 - p) * x * x).sum()) + ridge
        step = (float((x * (y - p)).sum()) - ridge * slope) / information
        slope += float(np.clip(step, -2.0, 2.0))
        if abs(step) < 1e-12:
            break
    return slope, information


def length_findings(votes: Votes) -> list[Finding]:
    """Raters who like length more, or less, than others do with the same answers before them.

    Each rater's slope stands on the log odds of what the others said of the same pair; it is tested against the mean
    of all raters' slopes, since what all share is a fact about the answers, not about one rater.
    """
    decided = votes.only(votes.choice != TIE)
    x, y = _doublings(decided)[decided.item], (decided.choice == FIRST).astype(np.float64)
    offset = logit(others_share(decided))
    differ = decided.only(x != 0)
    x, y, offset = x[x != 0], y[x != 0], offset[x != 0]
    enough = differ.judgements() >= FEWEST
    found: list[tuple[int, int, float, float]] = []
    score = np.zeros_like(x)
    for rater in np.flatnonzero(enough):
        mine = differ.rater == rater
        slope, information = _logistic(x[mine], y[mine], offset[mine], ridge=0.1)
        score[mine] = x[mine] * (y[mine] - expit(offset[mine] + slope * x[mine]))
        found.append((int(rater), int(mine.sum()), slope, 1 / sqrt(information)))
    if len(found) < 3:
        return []
    slopes, alone = np.array([f[2] for f in found]), np.array([f[3] for f in found])
    errors = alone * np.sqrt(differ.design_effects(score)[enough])
    middle = float(np.median(slopes))
    between = max(0.0, (1.4826 * float(np.median(np.abs(slopes - middle)))) ** 2 - float(np.median(errors**2)))
    z = (slopes - middle) / np.sqrt(errors**2 + between)
    p = holm((2 * ndtr(-np.abs(z))).tolist())
    return [
        Finding("length", (votes.raters[rater],), n, slope, value, _liking(slope, middle))
        for (rater, n, slope, _), value in zip(found, p, strict=True)
        if value < ALPHA
    ]


def _liking(slope: float, middle: float) -> str:
    word = "longer" if slope > middle else "shorter"
    return f"leans to the {word} answer: each doubling moves the odds by ×{exp(slope):.2g}, beyond the others"


def others_share(votes: Votes) -> Floats:
    """What the others said of each vote's pair: their share for the first, one imagined vote on either side. (V,)

    A tie counts half.
    """
    value = np.select([votes.choice == FIRST, votes.choice == SECOND], [1.0, 0.0], 0.5)
    total = np.bincount(votes.item, value, votes.items)[votes.item] - value
    n = np.bincount(votes.item, minlength=votes.items)[votes.item] - 1
    return np.asarray((total + STRONG / 2) / (n + STRONG))


def careless_findings(votes: Votes, crowd: Crowd) -> list[Finding]:
    """Raters whose skill is surely below one half: they guess more often than they judge."""
    total = np.bincount(votes.rater, minlength=len(votes.raters))
    who = np.flatnonzero(votes.judgements() >= FEWEST)
    odds = logit(crowd.skill[who]) - logit(CARELESS)
    se = (logit(crowd.skill_high[who]) - logit(crowd.skill_low[who])) / (2 * Z)
    p = holm(ndtr(odds / se).tolist())
    return [
        Finding("careless", (votes.raters[r],), int(total[r]), float(crowd.skill[r]), value, _guesses(crowd, r))
        for r, value in zip(who, p, strict=True)
        if value < ALPHA
    ]


def _guesses(crowd: Crowd, r: np.int64) -> str:
    interval = f"[{crowd.skill_low[r]:.0%}, {crowd.skill_high[r]:.0%}]"
    return f"judges the answers in {crowd.skill[r]:.0%} {interval} of the votes and guesses in the others"


def drift_findings(votes: Votes) -> list[Finding]:
    """Raters whose agreement with the others changes over time.

    Each judgement's residual is how far its votes agree with the others on their pairs, less the rater's mean. The
    largest excursion of their running sum, in units of √n·σ, follows Kolmogorov's distribution where nothing changes
    (Ploberger and Krämer 1992, the CUSUM of residuals).
    """
    decided = votes.only((votes.choice != TIE) & (votes.at > 0))
    share = others_share(decided)
    agrees = np.where(decided.choice == FIRST, share, 1 - share) - np.abs(share - 0.5)  # hard pairs are no fault
    found: list[tuple[int, int, float, float, str]] = []
    for rater in range(len(votes.raters)):
        mine = np.flatnonzero(decided.rater == rater)
        _, begin, which = np.unique(decided.sheet[mine], return_index=True, return_inverse=True)
        if len(begin) < 2 * FEWEST:
            continue
        means = np.bincount(which, agrees[mine]) / np.bincount(which)
        series = means[np.argsort(decided.at[mine][begin], kind="stable")]
        spread = float(series.std())
        if spread == 0.0:
            continue
        path = np.cumsum(series - series.mean()) / (spread * sqrt(len(series)))
        change = int(np.abs(path[:-1]).argmax()) + 1
        before, after = float(series[:change].mean()), float(series[change:].mean())
        word = "less" if after < before else "more"
        sentence = f"agrees {word} with the others from judgement {change + 1} of {len(series)} on"
        found.append((rater, len(series), after - before, float(kolmogorov(np.abs(path).max())), sentence))
    p = holm([item[3] for item in found])
    return [
        Finding("drift", (votes.raters[rater],), n, value, adjusted, sentence)
        for (rater, n, value, _, sentence), adjusted in zip(found, p, strict=True)
        if adjusted < ALPHA
    ]


def copying(votes: Votes) -> list[Finding]:
    """Groups of raters who say the same more often than their agreement with everyone else explains.

    Two raters who judge apart agree as far as each agrees with the crowd: with votes as ±1, E[v_k v_l] = c_k c_l. Votes
    on m pairs of two rankings count as m / (1 + (m − 1)ρ), with ρ what agreements within one have in common. The c are
    fitted to all pairs of raters, those with too much agreement left out again and again, so that a minority who
    copy can't lift its own. The z values are read against their own spread where that is wider than 1 (an empirical
    null, Efron 2004). Raters who follow one rule of their own, such as length, look like copies, and count as such.
    """
    decided = votes.only(votes.choice != TIE)
    one, two = rater_pairs(decided.item, decided.rater)
    if not len(one):
        return []
    value = np.where(decided.choice == FIRST, 1.0, -1.0)
    pair = decided.rater[one] * len(votes.raters) + decided.rater[two]
    pairs, index, shared = np.unique(pair, return_inverse=True, return_counts=True)
    agree = value[one] * value[two]
    mean = np.bincount(index, agree) / shared
    k, m = np.divmod(pairs, len(votes.raters))
    sheets = np.stack([index, decided.sheet[one], decided.sheet[two]])
    of, cluster = np.unique(sheets, axis=1, return_inverse=True)
    size = np.bincount(cluster)
    worth = size / (1 + (size - 1) * within(agree, cluster, of[0]))
    z = _excess(k, m, mean, np.bincount(of[0], worth).astype(np.float64), len(votes.raters))
    keep = np.bincount(of[0]) >= FEWEST  # rankings that both judged
    if keep.sum() < 10:
        return []
    middle = float(np.median(z[keep]))
    spread = max(1.0, 1.4826 * float(np.median(np.abs(z[keep] - middle))))
    p = np.array(holm(ndtr((max(0.0, middle) - z[keep]) / spread).tolist()))
    hits = np.flatnonzero(p < ALPHA)
    joined = [(int(a), int(b)) for a, b in zip(k[keep][hits], m[keep][hits], strict=True)]
    most = len(np.unique([k[keep], m[keep]])) / 2  # who are more than half are the crowd
    z, shared = z[keep][hits], shared[keep][hits]
    groups = [members for members in _components(joined) if len(members) < most]
    return [_group(votes, members, joined, z, p[hits], shared) for members in groups]


def within(value: Floats, cluster: NDArray[np.int64], of: NDArray[np.int64]) -> float:
    """ρ: the correlation of values in one cluster, of clusters that lie in groups with means of their own.

    The estimator of nested analysis of variance (Searle, Casella and McCulloch 1992, chapter 3); 0 where it is below.
    value, cluster: (N,). of: each cluster's group.
    """
    size = np.bincount(cluster).astype(np.float64)
    total = np.bincount(of, size)
    clusters, free = len(size), len(size) - int((total > 0).sum())
    if not free or len(value) == clusters:
        return 0.0
    own = np.bincount(cluster, value) / size
    middle = (np.bincount(of, own * size) / np.maximum(total, 1.0))[of]
    between = float((size * (own - middle) ** 2).sum()) / free
    inside = float(((value - own[cluster]) ** 2).sum()) / (len(value) - clusters)
    usual = (len(value) - float((np.bincount(of, size**2) / np.maximum(total, 1.0)).sum())) / free
    whole = between + (usual - 1) * inside
    return max(0.0, (between - inside) / whole) if whole > 0 else 0.0


def _excess(k: NDArray[np.int64], m: NDArray[np.int64], mean: Floats, shared: Floats, raters: int) -> Floats:
    """z of each pair's agreement beyond c_k c_m; c by trimmed alternating least squares, drawn to the crowd's mean."""
    ends, others, n = np.concatenate([k, m]), np.concatenate([m, k]), np.concatenate([shared, shared])
    usual = sqrt(max(0.01, float(np.average(mean, weights=shared))))
    clipped = np.minimum(mean, np.quantile(mean, 0.75))  # to begin with, nobody agrees more than a quarter of pairs do
    c = np.full(raters, usual)
    z = np.zeros(len(k))
    for number in range(TRIMS):
        expected = np.clip(c[k] * c[m], -0.95, 0.95)
        z = (mean - expected) * np.sqrt(shared / (1 - expected**2))
        w = n * np.tile((z < TRIM) | (number < TRIMS // 2), 2)
        agreement = np.tile(clipped if number < TRIMS // 2 else mean, 2)
        top = np.bincount(ends, w * agreement * c[others], raters) + PULL * usual
        c = np.clip(top / (np.bincount(ends, w * c[others] ** 2, raters) + PULL), -1.0, 1.0)
    return z


def _group(
    votes: Votes, members: list[int], joined: list[tuple[int, int]], z: Floats, p: Floats, shared: NDArray[np.int64]
) -> Finding:
    inside = [k for k, (a, _) in enumerate(joined) if a in members]
    names = tuple(votes.raters[r] for r in members)
    seen = int(sum(int(shared[k]) for k in inside))
    sentence = f"say the same on {seen} shared votes more often than what others say of these pairs explains"
    return Finding("copies", names, seen, float(z[inside].max()), float(p[inside].min()), sentence)


def _components(joined: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Raters that are joined, as sorted groups."""
    group: dict[int, set[int]] = {}
    for a, b in joined:
        whole = group.get(a, {a}) | group.get(b, {b})
        for rater in whole:
            group[rater] = whole
    return sorted({tuple(sorted(members)): sorted(members) for members in group.values()}.values())


def vote_weights(votes: Votes, copies: Sequence[Finding]) -> Floats:
    """What each vote counts when those who copy each other count as one: 1/k for each of k of them on one pair. (V,)"""
    weight = np.ones(len(votes.item))
    for finding in copies:
        members = np.isin(votes.rater, [votes.raters.index(name) for name in finding.raters])
        count = np.bincount(votes.item, members, votes.items)[votes.item]
        weight = np.where(members, 1 / np.maximum(count, 1.0), weight)
    return weight


def diagnose(votes: Votes, crowd: Crowd) -> list[Finding]:
    """Everything that stands out, kind by kind."""
    return [
        *copying(votes),
        *position_findings(votes),
        *careless_findings(votes, crowd),
        *length_findings(votes),
        *drift_findings(votes),
    ]
