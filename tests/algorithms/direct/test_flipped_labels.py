"""What flipped labels cost DPO where all can be worked out, and which part of it robust DPO wins back.

A policy whose log-ratio is linear in K features of an answer, and a truth that is linear too, so that clean labels can
be met exactly. Each pair is judged twice, each label flipped with chance .3, ε estimated. Flips cost two things. One is
information: a label keeps a part of it, no loss makes more, and with more labels it matters less and less. The other
is a bias of DPO's: flips give clear pairs and narrow ones one margin to meet, and that stays however many labels there
are. With Gaussian features there is none, since a logistic fit keeps its direction under any flips (Brillinger 1982; Li
and Duan 1989); where a few pairs differ by much and most by little, there is.

As a script it prints the page's figures: `python tests/algorithms/direct/test_flipped_labels.py`, some minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from scipy import stats
from torch import Tensor

from heedful.algorithms.direct.dpo import dpo_loss
from heedful.algorithms.direct.pairs import PairLoss, Pairs, Side
from heedful.algorithms.direct.smoothed import cdpo_loss, robust_loss

FEATURES, FLIPPED, UNSEEN = 4, 0.3, 20_000
Draw = Callable[[tuple[int, ...], torch.Generator], Tensor]
Loss = Callable[[Pairs], PairLoss]


def gaussian(shape: tuple[int, ...], draw: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=draw)


def heavy(shape: tuple[int, ...], draw: torch.Generator) -> Tensor:
    """Student's t with two degrees of freedom."""
    return gaussian(shape, draw) / (gaussian((*shape, 2), draw).square().sum(-1) / 2).sqrt()


def trained(features: Tensor, labels: list[Tensor], loss: Loss, steps: int = 150) -> Tensor:
    """The weights of S policies, from labels ±1 (S, pairs) of features (S, pairs, K). (S, K)"""
    weights = torch.zeros(len(features), FEATURES, requires_grad=True)
    optimizer = torch.optim.Adam([weights], lr=0.1)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        margins = torch.cat([label * margin(features, weights) for label in labels], 1)
        none, one = torch.zeros_like(margins), torch.ones_like(margins)
        loss(Pairs(Side(margins, none, one), Side(none, none, one), none)).loss.mean().backward()
        optimizer.step()
        rate.step()
    return weights.detach()


def margin(features: Tensor, weights: Tensor) -> Tensor:
    """How much better the first answer of every pair is. (S, pairs, K), (S, K) -> (S, pairs)"""
    return torch.einsum("snk,sk->sn", features, weights)


def points(drawn: Draw, pairs: int, *, seeds: int, seed: int = 0, flipped: float = FLIPPED) -> dict[str, Tensor]:
    """Way → percent right on clean labels of unseen pairs. (S,) each"""
    draw = torch.Generator().manual_seed(seed)
    truth = torch.randn(seeds, FEATURES, generator=draw)
    x, unseen = drawn((seeds, pairs, FEATURES), draw), drawn((seeds, UNSEEN, FEATURES), draw)
    clean, goal = margin(x, truth).sign(), margin(unseen, truth).sign()
    one, two = (clean * (1 - 2 * (torch.rand(clean.shape, generator=draw) < flipped).float()) for _ in range(2))
    rate = (1 - (1 - 2 * (one != two).float().mean().item()) ** 0.5) / 2  # as `heedful.data.flips`
    ways: dict[str, tuple[list[Tensor], Loss]] = {
        "clean": ([clean, clean], lambda batch: dpo_loss(batch, beta=1.0)),
        "noisy": ([one, two], lambda batch: dpo_loss(batch, beta=1.0)),
        "robust": ([one, two], lambda batch: robust_loss(batch, beta=1.0, epsilon=rate)),
        "cdpo": ([one, two], lambda batch: cdpo_loss(batch, beta=1.0, epsilon=rate)),
    }
    right = {way: margin(unseen, trained(x, labels, loss)).sign() == goal for way, (labels, loss) in ways.items()}
    return {way: 100 * hits.float().mean(1) for way, hits in right.items()}


def interval(values: Tensor) -> tuple[float, float]:
    """Student's 95 % of the mean."""
    low, high = stats.t.interval(0.95, len(values) - 1, loc=values.mean().item(), scale=stats.sem(values.numpy()))
    return float(low), float(high)


def share(found: dict[str, Tensor], way: str) -> float:
    """Of what flips cost DPO, how much a loss wins back."""
    return float((found[way] - found["noisy"]).mean() / (found["clean"] - found["noisy"]).mean())


def test_where_flips_cost_information_alone_no_loss_wins_it_back() -> None:
    found = points(gaussian, 500, seeds=8)
    assert interval(found["clean"] - found["noisy"])[0] > 0
    assert share(found, "robust") < 0.25 and abs(share(found, "cdpo")) < 0.25


def test_with_many_labels_what_is_left_is_dpos_bias_and_robust_dpo_wins_it_back() -> None:
    found = points(heavy, 16_000, seeds=8)
    assert interval(found["clean"] - found["noisy"])[0] > 0
    assert share(found, "robust") > 0.5
    assert share(found, "cdpo") < 0  # which flattens margins that flips have flattened already


def test_without_flips_nothing_is_lost() -> None:
    found = points(heavy, 200, seeds=3, flipped=0.0)
    assert torch.equal(found["robust"], found["clean"]) and torch.equal(found["cdpo"], found["clean"])


def table() -> None:
    for drawn in (gaussian, heavy):
        for pairs in (1_000, 5_000, 40_000):
            found = points(drawn, pairs, seeds=10, seed=1)
            gap, back = (interval(found[way] - found["noisy"]) for way in ("clean", "robust"))
            told = [f"{way} {values.mean():.1f}" for way, values in found.items()]
            told += [f"gap [{gap[0]:.1f}, {gap[1]:.1f}]", f"robust wins back [{back[0]:.1f}, {back[1]:.1f}]"]
            told += [f"{way} {share(found, way):.0%} of it" for way in ("robust", "cdpo")]
            sys.stdout.write(f"{drawn.__name__} {pairs}: {', '.join(told)}\n")


if __name__ == "__main__":
    table()
