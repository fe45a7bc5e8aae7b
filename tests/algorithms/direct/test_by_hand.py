"""Every direct loss at points worked by hand. Where the lines say so, the number is the literature's own example."""

from __future__ import annotations

import sys
from math import exp, log
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from direct_house import LN2, answer, pairs, ratios

from heedful.algorithms.direct.apo import apo_down_loss, apo_zero_loss
from heedful.algorithms.direct.bco import bco_loss
from heedful.algorithms.direct.dpo import dpo_loss
from heedful.algorithms.direct.dpo_norm import dpo_norm_loss
from heedful.algorithms.direct.dpop import dpop_loss
from heedful.algorithms.direct.exo import exo_loss
from heedful.algorithms.direct.hinge import hinge_loss
from heedful.algorithms.direct.ipo import ipo_loss, length_averaged
from heedful.algorithms.direct.kto import kto_loss
from heedful.algorithms.direct.ld_dpo import ld_dpo_loss
from heedful.algorithms.direct.nca import nca_loss
from heedful.algorithms.direct.orpo import CERTAIN, log_odds, orpo_loss
from heedful.algorithms.direct.pairs import PairLoss
from heedful.algorithms.direct.rpo import rpo_loss
from heedful.algorithms.direct.simpo import simpo_loss
from heedful.algorithms.direct.smoothed import cdpo_loss, robust_loss
from heedful.algorithms.direct.sppo import sppo_loss
from heedful.algorithms.direct.wpo import wpo_loss


def sigma(x: float) -> float:
    return 1 / (1 + exp(-x))


def value(found: PairLoss) -> float:
    return found.loss.item()


def rewards(found: PairLoss) -> tuple[float, float]:
    return found.chosen.item(), found.rejected.item()


def test_dpo() -> None:
    """h = 7, β = .1: −log σ(.7) = .403 (Rafailov 2023, eq. 7)."""
    found = dpo_loss(ratios(5, -2), beta=0.1)
    assert value(found) == pytest.approx(0.403, abs=5e-4)
    assert rewards(found) == pytest.approx((0.5, -0.2))
    assert found.start.item() == pytest.approx(LN2)


def test_dpo_weighs_a_pair_by_how_wrong_it_is() -> None:
    """The gradient is β σ(−β h): .332 β at h = 7, up for chosen and down for rejected."""
    batch = pairs([-5.0], [-12.0])
    batch.chosen.policy.requires_grad_(True)
    batch.rejected.policy.requires_grad_(True)
    up, down = torch.autograd.grad(dpo_loss(batch, beta=0.1).loss, (batch.chosen.policy, batch.rejected.policy))
    assert up.item() == pytest.approx(-0.1 * 0.332, abs=5e-5)
    assert down.item() == pytest.approx(0.1 * 0.332, abs=5e-5)


def test_dpo_with_a_margin_asks_for_more() -> None:
    found = dpo_loss(ratios(5, -2, margin=0.2), beta=0.1)
    assert value(found) == pytest.approx(-log(sigma(0.7 - 0.2)))
    assert found.start.item() == pytest.approx(-log(sigma(-0.2)))


def test_cdpo() -> None:
    found = cdpo_loss(ratios(5, -2), beta=0.1, epsilon=0.1)
    assert value(found) == pytest.approx(-0.9 * log(sigma(0.7)) - 0.1 * log(sigma(-0.7)))
    assert rewards(found) == pytest.approx((0.5, -0.2))


def test_cdpo_is_least_where_the_odds_are_those_of_a_right_label() -> None:
    """σ(β h) = 1 − ε: h = log(9)/β for ε = .1."""
    losses = [value(cdpo_loss(ratios(log(9) / 0.1 + by, 0), beta=0.1, epsilon=0.1)) for by in (-0.5, 0.0, 0.5)]
    assert losses[1] < losses[0] and losses[1] < losses[2]


def test_robust() -> None:
    """The clean loss in expectation over flips."""
    batch = ratios(5, -2)
    there, back = (value(robust_loss(side, beta=0.1, epsilon=0.2)) for side in (batch, batch.swap()))
    assert there == pytest.approx((-0.8 * log(sigma(0.7)) + 0.2 * log(sigma(-0.7))) / 0.6)
    assert 0.8 * there + 0.2 * back == pytest.approx(value(dpo_loss(batch, beta=0.1)))
    assert rewards(robust_loss(batch, beta=0.1, epsilon=0.2)) == pytest.approx((0.5, -0.2))


def test_ipo() -> None:
    """τ = .1: the target is 5 nats, and h = 7 is 2 beyond it."""
    found = ipo_loss(ratios(5, -2), tau=0.1)
    assert value(found) == pytest.approx(4.0)
    assert found.start.item() == pytest.approx(25.0)
    assert rewards(found) == pytest.approx((0.5, -0.2))
    assert value(ipo_loss(ratios(4, -1), tau=0.1)) == pytest.approx(0.0)


def test_ipo_by_length() -> None:
    """5/5 − (−2)/4 = 1.5 nats a token; τ = .5 asks for 1."""
    found = ipo_loss(length_averaged(ratios(5, -2, lengths=(5, 4))), tau=0.5)
    assert value(found) == pytest.approx(0.25)
    assert rewards(found) == pytest.approx((0.5, -0.25))


def test_hinge() -> None:
    found = hinge_loss(ratios(5, -2), beta=0.1)
    assert value(found) == pytest.approx(0.3)
    assert rewards(found) == pytest.approx((0.5, -0.2))
    assert value(hinge_loss(ratios(5, -2, margin=0.1), beta=0.1)) == pytest.approx(0.4)
    assert value(hinge_loss(ratios(8, -3), beta=0.1)) == 0.0
    assert hinge_loss(ratios(5, -2, margin=0.1), beta=0.1).start.item() == pytest.approx(1.1)


def test_simpo() -> None:
    """β = 2, γ = 1, means −1.00 and −1.05: −log σ(.1 − 1) = 1.241 (Meng 2024)."""
    batch = pairs([-5.0], [-4.2], lengths=(5, 4))
    found = simpo_loss(batch, beta=2.0, gamma=1.0)
    assert value(found) == pytest.approx(1.241, abs=5e-4)
    assert rewards(found) == pytest.approx((-2.0, -2.1))
    with_margin = simpo_loss(pairs([-5.0], [-4.2], lengths=(5, 4), margin=0.3), beta=2.0, gamma=1.0)
    assert value(with_margin) == pytest.approx(-log(sigma(0.1 - 1.3)))


def test_log_odds() -> None:
    assert log_odds(torch.tensor([log(0.8)])).item() == pytest.approx(log(4), rel=1e-5)
    certain = torch.zeros(1, requires_grad=True)
    log_odds(certain).sum().backward()
    assert log_odds(certain).item() == pytest.approx(-log(-CERTAIN), rel=1e-4)  # finite
    assert torch.isfinite(certain.grad).all()  # type: ignore[arg-type]


def test_orpo() -> None:
    """P = .6 and .35: a log odds ratio of 1.025; with one of .974 the second term is .320 (Hong 2024)."""
    batch = pairs([5 * log(0.6)], [4 * log(0.35)], lengths=(5, 4))
    found = orpo_loss(batch, weight=0.1)
    ratio = log(0.6 / 0.4) - log(0.35 / 0.65)
    assert value(found) == pytest.approx(-log(0.6) - 0.1 * log(sigma(ratio)))
    assert rewards(found) == pytest.approx((0.1 * log(1.5), 0.1 * log(0.35 / 0.65)))
    odds = exp(0.974)  # against even odds
    example = pairs([log(odds / (1 + odds))], [log(0.5)])
    assert value(orpo_loss(example, weight=1.0)) + log(odds / (1 + odds)) == pytest.approx(0.320, abs=5e-4)


def test_dpo_norm() -> None:
    """5/5 − (−2)/4 = 1.5 nats a token."""
    found = dpo_norm_loss(ratios(5, -2, lengths=(5, 4)), beta=0.5)
    assert value(found) == pytest.approx(-log(sigma(0.75)))
    assert rewards(found) == pytest.approx((0.5, -0.25))


def test_rpo() -> None:
    """log π(y_w) = −5 over 5 tokens costs 1 nat; the reference's −10 costs 2."""
    found = rpo_loss(ratios(5, -2, lengths=(5, 4)), beta=0.1, alpha=0.5)
    assert value(found) == pytest.approx(-log(sigma(0.7)) + 0.5 * 1.0)
    assert found.start.item() == pytest.approx(LN2 + 0.5 * 2.0)
    assert rewards(found) == pytest.approx((0.5, -0.2))


def test_dpop() -> None:
    """While the chosen answer is likelier than under the reference, DPO; below, each nat costs λ of margin."""
    assert value(dpop_loss(ratios(5, -2), beta=0.1, penalty=50)) == pytest.approx(-log(sigma(0.7)))
    found = dpop_loss(ratios(-1, -8, margin=0.2), beta=0.1, penalty=5)
    assert value(found) == pytest.approx(-log(sigma(0.1 * (7 - 5 * 1) - 0.2)))
    assert rewards(found) == pytest.approx((0.1 * (-1 - 5), -0.8))
    assert found.start.item() == pytest.approx(-log(sigma(-0.2)))


def test_nca() -> None:
    found = nca_loss(ratios(5, -2), beta=0.1)
    assert value(found) == pytest.approx(-log(sigma(0.5)) - 0.5 * log(sigma(-0.5)) - 0.5 * log(sigma(0.2)))
    assert found.start.item() == pytest.approx(2 * LN2)
    assert rewards(found) == pytest.approx((0.5, -0.2))


def test_nca_holds_the_chosen_answer_at_log_two() -> None:
    losses = [value(nca_loss(ratios(LN2 / 0.1 + by, 0), beta=0.1)) for by in (-0.5, 0.0, 0.5)]
    assert losses[1] < losses[0] and losses[1] < losses[2]


def test_apo_zero() -> None:
    found = apo_zero_loss(ratios(5, -2), beta=0.1)
    assert value(found) == pytest.approx(1 - sigma(0.5) + sigma(-0.2))
    assert rewards(found) == pytest.approx((0.5, -0.2))


def test_apo_down() -> None:
    found = apo_down_loss(ratios(5, -2), beta=0.1)
    assert value(found) == pytest.approx(sigma(0.5) + 1 - sigma(0.7))
    assert rewards(found) == pytest.approx((0.5, -0.2))


def test_sppo() -> None:
    """β = .1: the targets are +5 and −5."""
    found = sppo_loss(ratios(4, -2), beta=0.1)
    assert value(found) == pytest.approx(1 + 9)
    assert found.start.item() == pytest.approx(50)
    assert rewards(found) == pytest.approx((0.4, -0.2))


def test_exo() -> None:
    found = exo_loss(ratios(5, -2), beta=0.1, epsilon=0.1)
    q = sigma(0.7)
    assert value(found) == pytest.approx(q * log(q / 0.9) + (1 - q) * log((1 - q) / 0.1))
    assert found.start.item() == pytest.approx(0.5 * log(0.5 / 0.9) + 0.5 * log(0.5 / 0.1))
    assert rewards(found) == pytest.approx((0.5, -0.2))
    assert value(exo_loss(ratios(log(9) / 0.1, 0), beta=0.1, epsilon=0.1)) == pytest.approx(0, abs=1e-9)


def test_wpo() -> None:
    half, third = (torch.tensor([log(x)], dtype=torch.float64) for x in (1 / 2, 1 / 3))
    found = wpo_loss(ratios(5, -2), half, third, beta=0.1)
    assert value(found) == pytest.approx(-log(sigma(0.7)) / 6)
    assert found.start.item() == pytest.approx(LN2 / 6)


def test_ld_dpo() -> None:
    """Of d_w = 5, 2 stand in the first n tokens; of d_l = −2, all. α = .5: 2 + .5 · 3 = 3.5."""
    found = ld_dpo_loss(ratios(5, -2), ratios(2, -2), beta=0.1, alpha=0.5)
    assert value(found) == pytest.approx(-log(sigma(0.1 * (3.5 + 2))))
    assert rewards(found) == pytest.approx((0.35, -0.2))
    assert value(ld_dpo_loss(ratios(5, -2), ratios(2, -2), beta=0.1, alpha=1)) == pytest.approx(-log(sigma(0.7)))


def test_kto() -> None:
    """d = 2, z₀ = .5, β = .1: 1 − σ(.15) = .463 (Ethayarajh 2024, eq. 7)."""
    wanted = kto_loss(answer(2, wanted=1, unwanted=0, baseline=0.5), beta=0.1, desirable=1.0, undesirable=3.0)
    assert wanted.loss.item() == pytest.approx(0.463, abs=5e-4)
    assert (wanted.reward.item(), wanted.advantage.item()) == pytest.approx((0.2, 0.15))
    assert wanted.start.item() == pytest.approx(0.5)
    other = kto_loss(answer(2, wanted=0, unwanted=0.5, baseline=0.5), beta=0.1, desirable=1.0, undesirable=3.0)
    assert other.loss.item() == pytest.approx(1.5 * (1 - sigma(-0.15)))
    assert other.start.item() == pytest.approx(0.75)
    both = kto_loss(answer(2, wanted=0.25, unwanted=0.5), beta=0.1, desirable=2.0, undesirable=1.0)
    assert both.loss.item() == pytest.approx(0.5 * (1 - sigma(0.2)) + 0.5 * (1 - sigma(-0.2)))


def test_bco() -> None:
    """The baseline δ is in units of reward."""
    wanted = bco_loss(answer(2, wanted=1, unwanted=0, baseline=0.05), beta=0.1)
    assert wanted.loss.item() == pytest.approx(-log(sigma(0.15)))
    assert (wanted.reward.item(), wanted.advantage.item()) == pytest.approx((0.2, 0.15))
    both = bco_loss(answer(2, wanted=0.25, unwanted=0.5, baseline=0.05), beta=0.1)
    assert both.loss.item() == pytest.approx(-0.25 * log(sigma(0.15)) - 0.5 * log(sigma(-0.15)))
    assert both.start.item() == pytest.approx(0.75 * LN2)
