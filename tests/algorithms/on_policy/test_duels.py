"""Online DPO and XPO: values by hand, and where they settle."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
from bandit import BETA, GOAL, NOTHING, REFERENCE, REWARDS, Bandit, apart, single_tokens

from heedful.algorithms.on_policy.duels import duel_loss, duel_objective, preference
from heedful.batches import DuelBatch, PackedBatch, PairBatch, TextBatch
from heedful.config.rl import XPO, OnlineDPO

NO_TEXT = TextBatch(NOTHING, torch.tensor(0.0))


def duel(packed: PackedBatch, reference: Tensor, target: Tensor, foreign: Tensor, beta: float) -> DuelBatch:
    """Answers 2i and 2i + 1 against each other."""
    count = len(target)
    pairs = PairBatch(
        packed, torch.arange(count) * 2, torch.arange(count) * 2 + 1, target, torch.zeros(count), torch.ones(count)
    )
    return DuelBatch(pairs, reference, foreign, torch.tensor(beta), NO_TEXT)


def one_duel(target: float, reference: tuple[float, float] = (-1.0, -1.0), beta: float = 0.1) -> DuelBatch:
    return duel(NOTHING, torch.tensor(reference), torch.tensor([target]), torch.tensor([0.0, 1.0]), beta)


def test_preference_of_two_rewards() -> None:
    first, second = torch.tensor([1.0, 0.0, 2.0]), torch.tensor([0.0, 1.0, 2.0])
    assert preference(first, second, "soft").tolist() == pytest.approx([0.7311, 0.2689, 0.5], abs=1e-4)
    assert preference(first, second, "hard").tolist() == [1.0, 0.0, 0.5]


def test_at_the_reference_the_loss_is_log_two_and_the_winner_gains() -> None:
    answers = torch.tensor([-1.0, -1.0], requires_grad=True)
    output = duel_loss(answers, torch.zeros(0), one_duel(1.0), alpha=0.0)
    assert output.loss.item() == pytest.approx(0.6931, abs=1e-4)
    (found,) = torch.autograd.grad(output.loss, answers)
    assert found.tolist() == pytest.approx([-0.05, 0.05])  # β σ(0) each way


def test_by_hand_away_from_the_reference() -> None:
    """h = 7, β = .1: −log σ(.7) = .403; with p = .25: .25 · .403 + .75 · 1.103."""
    answers = torch.tensor([3.0, -4.0])
    for target, loss in ((1.0, 0.4032), (0.0, 1.1032), (0.25, 0.9282)):
        output = duel_loss(answers, torch.zeros(0), one_duel(target, (0.0, 0.0)), alpha=0.0)
        assert output.loss.item() == pytest.approx(loss, abs=1e-4)
        assert output.metrics["duels/accuracy"].item() == float(target > 0.5)


def test_what_counts_is_the_distance_from_the_reference() -> None:
    """(3 − 1) − (−4 + 1) = 5: −log σ(.5)."""
    output = duel_loss(torch.tensor([3.0, -4.0]), torch.zeros(0), one_duel(1.0, (1.0, -1.0)), alpha=0.0)
    assert output.loss.item() == pytest.approx(0.4741, abs=1e-4)


def test_swapping_the_two_answers_changes_nothing() -> None:
    answers = torch.tensor([-2.0, -3.0])
    one = duel_loss(answers, torch.zeros(0), one_duel(0.8, (-1.0, -5.0)), alpha=0.0)
    other = duel_loss(answers.flip(0), torch.zeros(0), one_duel(0.2, (-5.0, -1.0)), alpha=0.0)
    assert one.loss.item() == pytest.approx(other.loss.item())
    assert one.metrics["duels/margin"].item() == pytest.approx(other.metrics["duels/margin"].item())


def test_soft_loss_is_least_where_the_policy_agrees() -> None:
    """Its slope is nought where σ(β h) = p."""
    h = torch.logit(torch.tensor(0.7)) / 0.1
    answers = torch.stack([h, torch.tensor(0.0)]).requires_grad_()
    output = duel_loss(answers, torch.zeros(0), one_duel(0.7, (0.0, 0.0)), alpha=0.0)
    (found,) = torch.autograd.grad(output.loss, answers)
    assert found.tolist() == pytest.approx([0.0, 0.0], abs=1e-6)


def test_xpos_bonus_lowers_what_the_reference_wrote() -> None:
    answers = torch.tensor([-1.0, -3.0], requires_grad=True)
    plain, bold = (duel_loss(answers, torch.zeros(0), one_duel(1.0), alpha=alpha).loss for alpha in (0.0, 0.5))
    assert (bold - plain).item() == pytest.approx(0.5 * -3.0)
    (found,) = torch.autograd.grad(bold - plain, answers)
    assert found.tolist() == [0.0, 0.5]  # a step downhill makes the second, foreign, answer less likely


def settle(algorithm: OnlineDPO | XPO, iterations: int = 200) -> Tensor:
    draw, bandit = torch.Generator().manual_seed(0), Bandit(REFERENCE)
    objective = duel_objective(algorithm, 1.0)
    optimizer = torch.optim.Adam(bandit.parameters(), lr=0.1)
    for iteration in range(iterations):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - iteration / iterations)
        tokens = torch.multinomial(bandit.logprobs.detach().exp(), 2048, replacement=True, generator=draw)
        if isinstance(algorithm, XPO):
            tokens[1::2] = torch.multinomial(REFERENCE.exp(), 1024, replacement=True, generator=draw)
        scores = REWARDS[tokens]
        target = preference(scores[::2], scores[1::2], algorithm.labels)
        foreign = (torch.arange(2048) % 2).float()
        output = objective(bandit, duel(single_tokens(tokens), REFERENCE[tokens], target, foreign, BETA))
        optimizer.zero_grad()
        (output.loss / output.count).backward()
        optimizer.step()
    return bandit.logprobs.detach().exp()


@pytest.mark.parametrize("algorithm", [OnlineDPO(), XPO(alpha=0.0)], ids=["online_dpo", "xpo"])
def test_on_soft_labels_it_settles_at_the_reference_tilted_by_the_reward(algorithm: OnlineDPO | XPO) -> None:
    assert apart(settle(algorithm), GOAL) < 0.02


def test_on_hard_labels_it_goes_on_to_the_best_answer() -> None:
    """A certain winner has no finite margin: the policy leaves π_ref exp(r/β) behind (Azar 2023)."""
    found = settle(OnlineDPO(labels="hard"))
    assert apart(found, GOAL) > 0.1
    assert int(found.argmax()) == int(REWARDS.argmax())
