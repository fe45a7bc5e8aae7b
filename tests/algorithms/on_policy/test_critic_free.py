"""Policy gradients without a critic: values by hand, laws, and where each one settles."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
from bandit import BETA, GOAL, NOTHING, REFERENCE, REWARDS, Bandit, apart, single_tokens

from heedful.algorithms.on_policy.advantages import rewards_of, token_advantages, wins
from heedful.algorithms.on_policy.critic_free import (
    critic_free_loss,
    critic_free_objective,
    penalty_of,
    surrogate,
)
from heedful.batches import GroupBatch, Rollout, TextBatch
from heedful.config.rl import (
    CISPO,
    DAPO,
    GRPO,
    GSPO,
    RLOO,
    SAPO,
    DrGRPO,
    NashMD,
    PolicyGradient,
    ReinforcePP,
)
from heedful.data.packing import Example, pack

ALL: list[PolicyGradient] = [
    RLOO(), GRPO(), DrGRPO(), ReinforcePP(), DAPO(), GSPO(), CISPO(), SAPO(), NashMD()
]  # fmt: skip
LIMIT = 5
NO_TEXT = TextBatch(NOTHING, torch.tensor(0.0))


def name(algorithm: object) -> str:
    return type(algorithm).__name__


def batch_of(lengths: list[int], old: Tensor, reference: Tensor, advantages: Tensor, beta: float = 0.0) -> GroupBatch:
    packed = pack([Example(tuple(range(n + 1))) for n in lengths])
    return GroupBatch(packed, old, reference, advantages, torch.ones_like(old), torch.tensor(beta), NO_TEXT)


def loss_of(algorithm: PolicyGradient, logprobs: Tensor, batch: GroupBatch) -> Tensor:
    """As `fit` divides it."""
    output = critic_free_loss(logprobs, torch.zeros_like(logprobs), logprobs[:0], batch, algorithm, limit=LIMIT)
    return output.loss / output.count


def rollout_of(scores: list[float], groups: list[int], lengths: list[int], log_ratio: float = 0.0) -> Rollout:
    packed = pack([Example(tuple(range(n + 1))) for n in lengths])
    reference = torch.full((sum(lengths),), -1.0)
    return Rollout(packed, reference + log_ratio, reference, torch.tensor(scores), torch.tensor(groups))


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        (RLOO(), [1.5, -1.5, 0.5, -0.5]),  # 3 − mean(0, 3), 0 − 3 …: groups (a, c, a, c) interleaved
        (DrGRPO(), [1.0, -1.0, 0.5, -0.5]),
        (GRPO(scale="none"), [1.0, -1.0, 0.5, -0.5]),
        (GRPO(), [0.7070, -0.7070, 0.7070, -0.7070]),
        (DAPO(), [0.7070, -0.7070, 0.7070, -0.7070]),
    ],
    ids=name,
)
def test_advantages_by_hand_in_groups_of_two(algorithm: PolicyGradient, expected: list[float]) -> None:
    """Two prompts, paid (3, 1) and (0, −1); the answers lie in another order."""
    rollout = rollout_of([3.0, 0.0, 1.0, -1.0], [4, 9, 4, 9], [1, 2, 1, 1])
    found = token_advantages(algorithm, rollout, beta=0.0).tolist()
    first, second, third, fourth = found[0], found[1], found[3], found[4]
    if isinstance(algorithm, RLOO):
        expected = [2.0, -2.0, 1.0, -1.0]
    assert found[1] == found[2]  # every token of an answer has its answer's
    assert [first, third, second, fourth] == pytest.approx(expected, abs=1e-3)


def test_rloo_by_hand_with_the_kl_in_the_reward() -> None:
    """β .1, every token .5 above the reference: answers of 1, 2 and 3 tokens lose .05, .1, .15."""
    rollout = rollout_of([1.0, 2.0, 6.0], [0, 0, 0], [1, 2, 3], log_ratio=0.5)
    paid = [0.95, 1.90, 5.85]
    assert rewards_of(RLOO(), rollout, beta=0.1).tolist() == pytest.approx(paid)
    found = token_advantages(RLOO(), rollout, beta=0.1)
    expected = [paid[0] - (paid[1] + paid[2]) / 2, paid[1] - (paid[0] + paid[2]) / 2, paid[2] - (paid[0] + paid[1]) / 2]
    assert found[[0, 1, 3]].tolist() == pytest.approx(expected)
    assert rewards_of(GRPO(), rollout, beta=0.1).tolist() == [1.0, 2.0, 6.0]  # its KL stands in the loss
    assert rewards_of(GRPO(penalty="reward"), rollout, beta=0.1).tolist() == pytest.approx(paid)


def test_reinforce_pp_credits_a_token_with_what_comes_after_it() -> None:
    rollout = rollout_of([1.0, 2.0], [0, 1], [1, 3], log_ratio=0.5)
    found = token_advantages(ReinforcePP(), rollout, beta=0.1)
    assert found.tolist() == pytest.approx([0.95, 1.85, 1.90, 1.95])


def test_wins_by_hand() -> None:
    """Prompt 0: answers worth 1 and 0 against 0 and 0; prompt 1: worth 2 against 0."""
    won = wins(torch.tensor([1.0, 0.0, 2.0]), torch.tensor([0, 0, 1]), torch.zeros(3), torch.tensor([0, 1, 0]))
    assert won.tolist() == pytest.approx([0.7311, 0.5, 0.8808], abs=1e-4)


@pytest.mark.parametrize("algorithm", ALL, ids=name)
def test_at_ratio_one_the_gradient_is_that_of_reinforce(algorithm: PolicyGradient) -> None:
    """With each algorithm's own averaging: Σ over a token's weight · A ∇log π, negated."""
    logprobs = torch.tensor([-1.0, -2.0, -0.5, -0.3], requires_grad=True)
    advantages = torch.tensor([0.7, 0.7, 0.7, -0.4])  # answers of three tokens and of one
    batch = batch_of([3, 1], logprobs.detach(), logprobs.detach(), advantages)
    (found,) = torch.autograd.grad(loss_of(algorithm, logprobs, batch), logprobs)
    match algorithm:
        case RLOO() | NashMD():  # the answer is one action: its log-probability is a sum
            weight = torch.tensor([0.5, 0.5, 0.5, 0.5])
        case DrGRPO():
            weight = torch.full((4,), 1 / (2 * LIMIT))
        case DAPO() | CISPO() | ReinforcePP():
            weight = torch.full((4,), 1 / 4)
        case _:
            weight = torch.tensor([1 / 6, 1 / 6, 1 / 6, 1 / 2])
    assert found.tolist() == pytest.approx((-weight * advantages).tolist(), abs=1e-6)


@pytest.mark.parametrize("algorithm", ALL, ids=name)
def test_gradients_are_those_of_finite_differences(algorithm: PolicyGradient) -> None:
    """Away from ratio 1, inside the clip range; CISPO's weight is a constant, so its loss has no such slope."""
    draw = torch.Generator().manual_seed(0)
    logprobs = (-torch.rand(6, generator=draw, dtype=torch.float64) - 0.1).requires_grad_()
    old = logprobs.detach() + 1e-4 * torch.randn(6, generator=draw, dtype=torch.float64)
    advantages = torch.repeat_interleave(torch.tensor([0.8, -0.5], dtype=torch.float64), torch.tensor([4, 2]))
    batch = batch_of([4, 2], old, old - 0.3, advantages, beta=0.2)
    if isinstance(algorithm, CISPO):
        fixed = (logprobs.detach() - old).exp()
        cost = surrogate(algorithm, fixed, logprobs, advantages).sum() / 6
        (found,) = torch.autograd.grad(cost, logprobs)
        assert found.tolist() == pytest.approx((-fixed * advantages / 6).tolist())
        return
    assert torch.autograd.gradcheck(lambda x: loss_of(algorithm, x, batch), logprobs, atol=1e-6)


@pytest.mark.parametrize(
    ("algorithm", "ratio", "advantage", "loss", "slope"),
    [
        (DAPO(), 1.25, 1.0, -1.25, -1.0),  # above .2, below .28: still free
        (DAPO(), 1.4, 1.0, -1.28, 0.0),
        (DAPO(), 0.7, -1.0, 0.8, 0.0),
        (GRPO(), 1.25, 1.0, -1.2, 0.0),
        (SAPO(), 1.0, 1.0, -2.0, -1.0),  # σ(0)·4/1 = 2, and slope −A at 1
        (SAPO(), 3.0, 1.0, -3.5232, -0.42),  # fading: 4 σ(2) (1 − σ(2))
        (SAPO(), 1.0, -1.0, 2.0 / 1.05, 1.0),
    ],
)
def test_what_a_moved_token_costs(
    algorithm: PolicyGradient, ratio: float, advantage: float, loss: float, slope: float
) -> None:
    moved = torch.tensor([ratio], requires_grad=True)
    found = surrogate(algorithm, moved, moved.log(), torch.tensor([advantage]))
    assert found.item() == pytest.approx(loss, abs=1e-4)
    assert torch.autograd.grad(found, moved)[0].item() == pytest.approx(slope, abs=1e-3)


def test_cispo_keeps_the_gradient_of_a_token_whose_weight_is_cut() -> None:
    logprobs = torch.tensor([2.0], requires_grad=True)
    found = surrogate(CISPO(clip_high=3.0), torch.tensor([7.0]), logprobs, torch.tensor([0.5]))
    assert found.item() == pytest.approx(-3.0 * 0.5 * 2.0)
    assert torch.autograd.grad(found, logprobs)[0].item() == pytest.approx(-1.5)


def test_gspo_takes_the_geometric_mean_of_an_answers_ratios() -> None:
    """log-ratios .1 and .3: s = e^.2, beyond the clip; e^.0002 is within it."""
    for moved, slope in ((0.2, 0.0), (0.0002, -0.5)):
        logprobs = torch.tensor([-1.0, -2.0], requires_grad=True)
        old = logprobs.detach() - torch.tensor([0.5 * moved, 1.5 * moved])
        loss = loss_of(GSPO(), logprobs, batch_of([2], old, old, torch.ones(2)))
        (found,) = torch.autograd.grad(loss, logprobs)
        assert found.tolist() == pytest.approx([slope, slope], abs=1e-3)


@pytest.mark.parametrize("algorithm", ALL, ids=name)
def test_any_split_gives_the_same_loss(algorithm: PolicyGradient) -> None:
    """Three answers in one batch, or one by one: sums and counts add up."""
    draw = torch.Generator().manual_seed(1)
    lengths = [3, 1, 2]
    logprobs, old, reference = (-torch.rand(6, generator=draw) for _ in range(3))
    advantages = torch.repeat_interleave(torch.randn(3, generator=draw), torch.tensor(lengths))
    exact = torch.rand(6, generator=draw)

    def parts(splits: list[list[int]]) -> tuple[float, float, list[float]]:
        loss, count, start, metrics = 0.0, 0.0, 0, torch.zeros(7)
        for part in splits:
            place = slice(start, start + sum(part))
            start += sum(part)
            batch = batch_of(part, old[place], reference[place], advantages[place], beta=0.3)
            out = critic_free_loss(logprobs[place], exact[place], logprobs[:0], batch, algorithm, limit=LIMIT)
            loss, count = loss + float(out.loss), count + float(out.count)
            metrics += torch.stack(list(out.metrics.values()))
        return loss, count, metrics.tolist()

    (loss, count, metrics), (loss_2, count_2, metrics_2) = parts([lengths]), parts([[n] for n in lengths])
    assert loss == pytest.approx(loss_2, abs=1e-5)
    assert count == count_2
    assert metrics == pytest.approx(metrics_2, abs=1e-5)


def test_what_is_logged_is_a_mean() -> None:
    """Ratio 2 at every token is a logged mean of 2, whatever the loss is divided by."""
    old = torch.tensor([-1.0, -1.0, -1.0])
    batch = batch_of([2, 1], old, old, torch.ones(3))
    for algorithm in (GRPO(), DrGRPO(), DAPO(), SAPO()):
        output = critic_free_loss(old + 0.6931, old, old[:0], batch, algorithm, limit=LIMIT)
        assert float(output.metrics["ratio/mean"] / output.count) == pytest.approx(2.0, abs=1e-3), name(algorithm)
        clipped = 0.0 if isinstance(algorithm, SAPO) else 1.0
        assert float(output.metrics["ratio/clipped"] / output.count) == pytest.approx(clipped)


def test_a_ratio_within_the_bounds_is_not_called_clipped() -> None:
    old = torch.tensor([-1.0])
    for algorithm, ratio, outside in (
        (CISPO(), 0.5, 0.0),
        (CISPO(), 6.0, 1.0),
        (SAPO(), 0.5, 0.0),
        (DAPO(), 1.25, 0.0),
        (DAPO(), 0.75, 1.0),
        (GRPO(), 0.85, 0.0),
    ):
        moved = old + torch.tensor(ratio).log()
        output = critic_free_loss(moved, old, old[:0], batch_of([1], old, old, old), algorithm, limit=LIMIT)
        assert output.metrics["ratio/clipped"].item() == outside, (name(algorithm), ratio)


def test_text_mixed_in_is_made_likelier_by_its_weight() -> None:
    text = torch.tensor([-1.0, -3.0], requires_grad=True)
    zero = torch.zeros(1)
    batch = replace(batch_of([1], zero, zero, zero), text=TextBatch(NOTHING, torch.tensor(0.5)))
    output = critic_free_loss(zero, zero, text, batch, RLOO(), limit=LIMIT)
    assert output.loss.item() == pytest.approx(2.0)
    assert torch.autograd.grad(output.loss, text)[0].tolist() == [-0.5, -0.5]


@pytest.mark.parametrize("algorithm", ALL, ids=name)
def test_importance_turns_another_samplers_expectation_into_the_policys(algorithm: PolicyGradient) -> None:
    """Enumerated: what the sampler says with probability q counts p/q, in the policy's part of the loss alone."""
    p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.3, 0.5])
    old, gains = p.log(), torch.tensor([1.0, -2.0, 0.5])
    theirs = replace(batch_of([1] * 3, old, old + 0.3, q * gains, beta=0.5), importance=p / q)
    mine = batch_of([1] * 3, old, old + 0.3, p * gains, beta=0.5)
    found, wanted = (
        critic_free_loss(old, old - old, old[:0], batch, algorithm, limit=LIMIT).metrics for batch in (theirs, mine)
    )
    assert found["loss/policy"].item() == pytest.approx(wanted["loss/policy"].item()) != 0.0
    assert found["loss/kl"].item() == pytest.approx(wanted["loss/kl"].item())


@pytest.mark.parametrize("penalty", ["k2", "k3_weighted", "exact"])
def test_expected_gradient_of_a_penalty_in_the_loss_is_that_of_the_kl(penalty: str) -> None:
    """Enumerated over outcomes, away from the reference; the published k3 has the other divergence's."""
    bandit = Bandit(REWARDS.double())
    p, reference = bandit.logprobs.detach(), REFERENCE.double()
    exact = (bandit.logprobs.exp() * (bandit.logprobs - reference)).sum()
    (wanted,) = torch.autograd.grad(exact, bandit.logits)

    def gradient(algorithm: GRPO) -> Tensor:
        log_p = bandit.logprobs
        kl = (log_p.exp() * (log_p - reference)).sum().expand(6)
        each = penalty_of(algorithm, log_p - reference, (log_p - p).exp(), kl)
        return torch.autograd.grad((p.exp() * each).sum(), bandit.logits)[0]

    assert gradient(GRPO(penalty=penalty)).tolist() == pytest.approx(wanted.tolist(), abs=1e-9)  # type: ignore[arg-type]
    backwards = (reference.exp() * (reference - bandit.logprobs)).sum()
    (other,) = torch.autograd.grad(backwards, bandit.logits)
    assert gradient(GRPO(penalty="k3")).tolist() == pytest.approx(other.tolist(), abs=1e-9)


def settle(algorithm: PolicyGradient, group: int, *, beta: float = BETA, answers: int = 2048) -> Tensor:
    """Where an algorithm ends: 150 iterations of answers in groups, one step each, the rate annealed."""
    iterations = 150
    draw, bandit = torch.Generator().manual_seed(0), Bandit(REFERENCE)
    objective = critic_free_objective(algorithm, 1.0, limit=1)
    optimizer = torch.optim.Adam(bandit.parameters(), lr=0.1)
    for iteration in range(iterations):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - iteration / iterations)
        log_p = bandit.logprobs.detach()
        tokens = torch.multinomial(log_p.exp(), answers, replacement=True, generator=draw)
        groups = torch.arange(answers) // group
        scores = REWARDS[tokens]
        if isinstance(algorithm, NashMD):
            mixed = ((1 - algorithm.mixture) * log_p + algorithm.mixture * REFERENCE).softmax(-1)
            theirs = torch.multinomial(mixed, answers, replacement=True, generator=draw)
            scores = wins(scores, groups, REWARDS[theirs], groups)
        rollout = Rollout(single_tokens(tokens), log_p[tokens], REFERENCE[tokens], scores, groups)
        advantages = token_advantages(algorithm, rollout, beta=beta)
        if isinstance(algorithm, ReinforcePP):
            advantages = advantages - advantages.mean()
        ones, weight = torch.ones(answers), torch.tensor(beta)
        batch = GroupBatch(rollout.packed, log_p[tokens], REFERENCE[tokens], advantages, ones, weight, NO_TEXT)
        output = objective(bandit, batch)
        optimizer.zero_grad()
        (output.loss / output.count).backward()
        optimizer.step()
    return bandit.logprobs.detach().exp()


@pytest.mark.parametrize(
    ("algorithm", "group"),
    [
        (RLOO(), 4),
        (ReinforcePP(whiten=False), 1),
        (GRPO(scale="none", penalty="reward"), 8),
        (GRPO(scale="none", penalty="exact"), 8),
        (GRPO(scale="none", penalty="k2"), 8),
        (DrGRPO(penalty="k3_weighted"), 8),
    ],
    ids=lambda value: f"{name(value)}-{getattr(value, 'penalty', '')}" if not isinstance(value, int) else "",
)
def test_fixed_point_is_the_reference_tilted_by_the_reward(algorithm: PolicyGradient, group: int) -> None:
    """Raw rewards, unscaled: π → π_ref exp(r/β')/Z. A group's mean that holds the answer itself shrinks the reward's
    pull by (G−1)/G, and with it the penalty's only where that stands in the reward."""
    shrunk = isinstance(algorithm, GRPO | DrGRPO) and algorithm.penalty != "reward"
    goal = (REFERENCE + (REWARDS * (group - 1) / group if shrunk else REWARDS) / BETA).softmax(-1)
    assert apart(settle(algorithm, group), goal) < 0.02


def test_published_grpo_reaches_an_optimum_of_its_own() -> None:
    """With the deviation and k3 in the loss: where π A − β (π − π_ref) = 0 in expectation, solved by following it."""
    logits, beta = REFERENCE.double().clone(), BETA
    for _ in range(6_000):
        p = logits.softmax(-1)
        mean = (p * REWARDS).sum()
        advantage = (REWARDS - mean) / (p * (REWARDS - mean).square()).sum().sqrt()
        logits += 0.15 * (p * advantage - beta * (p - REFERENCE.exp()))
    own = logits.softmax(-1)
    assert apart(own, GOAL.double()) == pytest.approx(0.48, abs=0.01)  # not what the closed form says
    assert apart(settle(GRPO(), 128), own.float()) < 0.01


def test_nash_md_reaches_the_equilibrium_against_its_mixture() -> None:
    """π ∝ π_ref exp(P(y beats the mixture)/β), the mixture made of π itself: iterated to its fixed point."""
    algorithm, beta = NashMD(mixture=0.25), 0.2
    beats = torch.sigmoid(REWARDS[:, None] - REWARDS[None, :])
    logits = REFERENCE.clone()
    for _ in range(500):
        mixed = (0.75 * torch.log_softmax(logits, -1) + 0.25 * REFERENCE).softmax(-1)
        logits = 0.5 * torch.log_softmax(logits, -1) + 0.5 * (REFERENCE + beats @ mixed / beta)
    goal = logits.softmax(-1)
    assert apart(goal, REFERENCE.exp()) > 0.2
    assert apart(settle(algorithm, 4, beta=beta, answers=512), goal) < 0.02
