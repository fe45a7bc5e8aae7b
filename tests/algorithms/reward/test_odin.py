"""ODIN: the penalty by hand, its gradients' directions, and that quality is left without length."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from heedful.algorithms.reward.bradley_terry import bradley_terry_objective
from heedful.algorithms.reward.odin import correlation, odin_objective, odin_penalty
from heedful.batches import PackedBatch, PairBatch
from heedful.config.reward import Odin
from heedful.data.packing import Example
from heedful.data.pairs import RankedExamples, pack_pairs


def test_correlation_by_hand_and_where_nothing_varies() -> None:
    a = torch.tensor([1.0, 2.0, 3.0])
    assert correlation(a, 5 - 2 * a).item() == pytest.approx(-1.0)
    assert correlation(a, torch.tensor([1.0, 3.0, 2.0])).item() == pytest.approx(0.5)
    assert correlation(a, torch.ones(3)).item() == 0.0


def test_the_penalty_frees_quality_and_binds_length() -> None:
    tokens = torch.tensor([1.0, 2.0, 3.0])
    assert odin_penalty(tokens, tokens, tokens).item() == pytest.approx(0.0)  # |1| − 1
    assert odin_penalty(torch.tensor([1.0, -2.0, 1.0]), tokens, tokens).item() == pytest.approx(-1.0)
    assert odin_penalty(-tokens, -tokens, tokens).item() == pytest.approx(2.0)  # |−1| + 1
    quality = torch.tensor([0.0, 1.5, 2.0], requires_grad=True)
    length = torch.tensor([0.0, 1.5, -1.0], requires_grad=True)
    odin_penalty(quality, length, tokens).backward()
    assert quality.grad is not None and length.grad is not None
    with torch.no_grad():
        assert correlation(quality - 0.1 * quality.grad, tokens) < correlation(quality, tokens)
        assert correlation(length - 0.1 * length.grad, tokens) > correlation(length, tokens)


class Said(nn.Module):
    """Two heads whose scores of two answers are given: the first is better by 2 in quality, and by 1 in length."""

    def forward(self, batch: PackedBatch, at: Tensor) -> Tensor:
        return torch.tensor([[2.0, 1.0], [0.0, 0.0]])


def test_the_whole_loss_by_hand() -> None:
    """Answers of 1 and 3 tokens, the shorter one chosen: −log σ(3) = .0486; both heads' ρ is −1, so that the penalty is
    |−1| + 1 = 2, at .5; W_Q · W_L = .5, at .2; a ranking that weighs 3."""
    ranked = RankedExamples((Example((0, 1), 1), Example((0, 1, 2, 3), 1)), (0,), (1,), (1.0,), (0.0,), (3.0,))
    head = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[1.0, 0.0], [0.5, 1.0]]))
    output = odin_objective(head, decorrelation=0.5, orthogonality=0.2)(Said(), pack_pairs([ranked]))
    assert output.count.item() == 3.0
    assert output.loss.item() == pytest.approx(3 * (0.0486 + 0.5 * 2 + 0.2 * 0.5), abs=1e-3)


class Linear(nn.Module):
    """Two heads on two features of an answer: its quality, the first token, and its length."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.head = nn.Linear(2, heads, bias=False)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[0.1, 0.1], [-0.1, 0.1]])[:heads])

    def forward(self, batch: PackedBatch, at: Tensor) -> Tensor:
        first = batch.input_ids[batch.ends - batch.lengths + 2].float()
        return self.head(torch.stack([(first - 50) / 10, (batch.target_lengths.float() - 15) / 5], 1))


class Scalar(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.heads = Linear(1)

    def forward(self, batch: PackedBatch) -> Tensor:
        return self.heads(batch, batch.ends).squeeze(-1)


def batch(generator: torch.Generator) -> PairBatch:
    """Pairs judged by quality and, as strongly, by length; the two are independent."""
    ranked = []
    for _ in range(64):
        quality = torch.randint(30, 70, (2,), generator=generator)
        length = torch.randint(5, 25, (2,), generator=generator)
        gap = (quality[0] - quality[1]) / 10 + (length[0] - length[1]) / 5
        best = int(torch.rand((), generator=generator) > torch.sigmoid(gap))
        texts = tuple(Example((0, int(q), *[7] * (int(n) - 1)), 1) for q, n in zip(quality, length, strict=True))
        ranked.append(RankedExamples(texts, (best,), (1 - best,), (1.0,), (0.0,), (1.0,)))
    return pack_pairs(ranked)


@pytest.mark.parametrize("decorrelation", [1.0, Odin().decorrelation])
def test_on_labels_that_love_length_the_quality_head_is_freed_of_it(decorrelation: float) -> None:
    generator = torch.Generator().manual_seed(0)
    plain, odin = Scalar(), Linear(2)
    learnt = odin_objective(odin.head, decorrelation=decorrelation, orthogonality=1.0)
    for model, objective in ((plain, bradley_terry_objective()), (odin, learnt)):
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        for _ in range(150):
            optimizer.zero_grad()
            out = objective(model, batch(generator))
            (out.loss / out.count).backward()
            optimizer.step()
    seen = batch(generator)
    tokens = seen.packed.target_lengths.float()
    quality = seen.packed.input_ids[seen.packed.ends - seen.packed.lengths + 2].float()
    with torch.no_grad():
        one, two = plain(seen.packed), odin(seen.packed, seen.packed.ends)
    assert correlation(one, tokens) > 0.55  # half of what it pays for is length
    assert abs(correlation(two[:, 0], tokens)) < 0.15 and correlation(two[:, 0], quality) > 0.95
    assert correlation(two[:, 1], tokens) > 0.95
    assert abs(odin.head.weight[0] @ odin.head.weight[1]) < 0.3


def test_penalties_weigh_as_the_mean_over_rankings() -> None:
    one = batch(torch.Generator().manual_seed(1))
    model = Linear(2)
    bare = odin_objective(model.head, decorrelation=0.0, orthogonality=0.0)(model, one)
    both = odin_objective(model.head, decorrelation=0.5, orthogonality=2.0)(model, one)
    heads = model(one.packed, one.packed.ends)
    tokens = one.packed.target_lengths.float()
    penalty = (
        0.5 * odin_penalty(heads[:, 0], heads[:, 1], tokens) + 2 * (model.head.weight[0] @ model.head.weight[1]).abs()
    )
    assert ((both.loss - bare.loss) / 64).item() == pytest.approx(penalty.item(), abs=1e-5)
    scores = heads.sum(1)
    gap = scores[one.chosen] - scores[one.rejected]
    assert bare.loss.item() == pytest.approx(-nn.functional.logsigmoid(gap).sum().item(), abs=1e-4)
