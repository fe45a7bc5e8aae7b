"""Where direct losses end on a policy of free logits over six answers: DPO at π*, the others at their own optimum."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
from direct_house import LN2

from heedful.algorithms.direct.paired import paired_objective
from heedful.algorithms.direct.unpaired import unpaired_objective
from heedful.batches import LabelBatch, PackedBatch, PairBatch, PreferenceBatch
from heedful.config.direct import CDPOLoss, DPOLoss, IPOLoss, KTOLoss, PairedLoss, RobustLoss
from heedful.data.packing import Example, pack
from heedful.train.baseline import drift

REFERENCE = torch.tensor([0.30, 0.25, 0.20, 0.15, 0.07, 0.03]).log()
REWARDS = torch.tensor([-0.5, 0.2, 0.0, 0.6, 1.0, -1.0])
BETA = 0.5
PAIRS = torch.tensor(list(permutations(range(6), 2)))
PREFERRED = torch.sigmoid(REWARDS[PAIRS[:, 0]] - REWARDS[PAIRS[:, 1]])  # how often the first of a pair wins
TILTED = (REFERENCE + REWARDS / BETA).softmax(-1)  # π* = π_ref exp(r/β)/Z
Array = NDArray[np.float64]


class Table(nn.Module):
    """A policy of free logits over single tokens."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits.clone())

    def forward(self, batch: PackedBatch) -> Tensor:
        return torch.log_softmax(self.logits, -1)[batch.target_ids]


def packed() -> PackedBatch:
    """All six answers, each a single token."""
    return pack([Example((0, token)) for token in range(6)])


def both_orders(weight: Tensor = PREFERRED) -> PreferenceBatch:
    pairs = PairBatch(packed(), PAIRS[:, 0], PAIRS[:, 1], torch.ones(30), torch.zeros(30), weight)
    return PreferenceBatch(pairs=pairs, reference=REFERENCE)


def trained(loss: PairedLoss, batch: PreferenceBatch, steps: int = 150) -> Tensor:
    model, objective = Table(REFERENCE), paired_objective(loss)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.3)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        output = objective(model, batch)
        (output.loss / output.count).backward()
        optimizer.step()
        rate.step()
    return model.logits.detach().softmax(-1)


def variation(p: Tensor, q: Tensor) -> float:
    """Total variation."""
    return 0.5 * float((p - q).abs().sum())


def solved(loss_of_ratios: Callable[[Array], float], reference: Tensor = REFERENCE) -> Tensor:
    """The policy that is least under a function of the six log-ratios, by another optimiser and in float64."""
    start = reference.double().numpy()

    def loss(logits: Array) -> float:
        logprobs = logits - np.logaddexp.reduce(logits)
        return loss_of_ratios(logprobs - start)

    found = minimize(loss, start, method="BFGS", options={"gtol": 1e-9})
    return torch.tensor(found.x).softmax(-1)


def test_dpo_ends_at_the_reference_tilted_by_the_reward() -> None:
    """Every pair in both orders, weighted by σ(r_i − r_j)."""
    start = paired_objective(DPOLoss(beta=BETA))(Table(REFERENCE), both_orders())
    assert start.loss.item() / 15 == pytest.approx(LN2, rel=1e-5)  # both orders weigh 1
    assert variation(trained(DPOLoss(beta=BETA), both_orders()), TILTED) < 0.02


def test_robust_dpo_ends_there_though_labels_are_flipped() -> None:
    """A fifth of the labels flipped, and ε = .2: the flips cancel, as DPO's own end shows by moving."""
    flipped = 0.8 * PREFERRED + 0.2 * (1 - PREFERRED)
    assert variation(trained(RobustLoss(beta=BETA, epsilon=0.2), both_orders(flipped)), TILTED) < 0.02
    assert variation(trained(DPOLoss(beta=BETA), both_orders(flipped)), TILTED) > 0.1


def test_ipo_ends_at_the_reference_tilted_by_the_win_rate() -> None:
    """Not π*: log π/π_ref = Σ_j p(i ≻ j) / (6 τ) + const, bounded however sure the raters are (Azar 2023)."""
    wins = torch.zeros(6).index_add(0, PAIRS[:, 0], PREFERRED)
    own = (REFERENCE + wins / (6 * BETA)).softmax(-1)
    found = trained(IPOLoss(tau=BETA), both_orders())
    assert variation(found, own) < 0.005
    assert variation(found, TILTED) > 0.05


def test_cdpo_ends_at_its_own_optimum() -> None:
    """Not π*: labels are read as p (1 − ε) + (1 − p) ε, so that the reward is flattened."""
    i, j, p = PAIRS[:, 0].numpy(), PAIRS[:, 1].numpy(), PREFERRED.double().numpy()
    smoothed = 0.9 * p + 0.1 * (1 - p)

    def loss(ratios: Array) -> float:
        return float((smoothed * np.logaddexp(0, -BETA * (ratios[i] - ratios[j]))).sum())

    found, own = trained(CDPOLoss(beta=BETA, epsilon=0.1), both_orders()), solved(loss)
    assert variation(found, own) < 0.005
    assert variation(found, TILTED) > 0.03


Z0 = Callable[[Array], float]  # what a reward is measured against, from the six log-ratios
WINNERS = (3, 4)


def own_of_kto(for_: Tensor, against: Tensor, baseline: Z0, rewards: Tensor, reference: Tensor) -> tuple[Tensor, float]:
    """KTO's optimum, by another optimiser: least at its z₀, and z₀ what that policy's drift is. Also its distance
    from π*."""
    up, down, z0 = for_.double().numpy(), against.double().numpy(), 0.0

    def loss(ratios: Array) -> float:
        gain = 1 / (1 + np.exp(-BETA * (ratios - z0)))
        return float((up * (1 - gain) + down * gain).sum())

    for _ in range(60):
        own = solved(loss, reference)
        found = baseline((own.log() - reference.double()).numpy())
        if abs(found - z0) < 2e-3:
            break
        z0 = 0.5 * (z0 + found)
    return own, variation(own, (reference + rewards / BETA).softmax(-1))


def votes(rewards: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """How often each answer wins and loses where pairs are drawn by these shares. (6,), (6,)"""
    wins = torch.sigmoid(rewards[:, None] - rewards[None, :]) * share[:, None] * share[None, :]
    wins = wins - wins.diag().diag()
    return wins.sum(1), wins.sum(0)


@pytest.mark.parametrize(
    ("mismatched", "end", "far"),
    [
        (range(6), 0.0, 0.30),  # those given up pull the mean far below 0, where z₀ stops
        (WINNERS, 1.49, 0.34),  # where another prompt's answers win here too, z₀ rises with them
    ],
)
def test_kto_ends_at_its_own_optimum_with_the_z0_that_moves(mismatched: Sequence[int], end: float, far: float) -> None:
    """Not π*: its gain is bounded, so that answers which mostly lose are given up."""
    wins, losses = votes(REWARDS, torch.ones(6))
    model, accelerator = Table(REFERENCE), Accelerator()
    strange = [(Example((0, token)),) for token in mismatched]
    before = [REFERENCE[token][None] for token in mismatched]
    z0 = drift(model, strange, before, tokens=100, accelerator=accelerator)  # type: ignore[arg-type]
    objective, members = unpaired_objective(KTOLoss(beta=BETA), 0.5), range(len(strange))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.5)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 100)
    for _ in range(100):
        batch = LabelBatch(packed(), REFERENCE, wins, losses, torch.tensor(z0(members)))
        optimizer.zero_grad()
        objective(model, batch).loss.backward()
        optimizer.step()
        rate.step()
    own, distance = own_of_kto(wins, losses, lambda d: max(0.0, d[list(mismatched)].mean()), REWARDS, REFERENCE)
    found = model.logits.detach().softmax(-1)
    assert variation(found, own) < 0.02
    assert z0(members) == pytest.approx(end, abs=0.05)
    assert variation(found, TILTED) == pytest.approx(distance, abs=0.02)
    assert distance == pytest.approx(far, abs=0.01)


def test_how_far_ktos_optimum_is_from_the_tilted_reference_hangs_on_what_was_compared() -> None:
    """No constant of the loss: the page's three figures."""
    even, steps = torch.full((6,), 1 / 6).log(), torch.linspace(-1, 1, 6)
    for rewards, reference, share, far in (
        (REWARDS, REFERENCE, torch.ones(6), 0.30),
        (REWARDS, REFERENCE, REFERENCE.exp(), 0.18),
        (steps, even, torch.ones(6), 0.11),
    ):
        _, distance = own_of_kto(*votes(rewards, share), lambda _: 0.0, rewards, reference)
        assert distance == pytest.approx(far, abs=0.01)
