"""Drawing: hand-worked inverse CDFs, log-probabilities, and uniform numbers that depend on seed and place alone."""

from __future__ import annotations

from math import log

import pytest
import torch

from heedful.errors import DivergedError
from heedful.sampling.draw import BLOCK, draw, uniforms

LOGITS = torch.tensor([0.1, 0.2, 0.7]).log() + 5.0  # a constant changes nothing


@pytest.mark.parametrize(
    ("uniform", "token"), [(0.0, 0), (0.099, 0), (0.101, 1), (0.299, 1), (0.301, 2), (0.9999999, 2), (1.0, 2)]
)
def test_inverse_cdf_by_hand(uniform: float, token: int) -> None:
    drawn = draw(LOGITS[None], torch.tensor([uniform]), 1.0)
    assert drawn.tokens.tolist() == [token]
    assert drawn.logprobs.item() == pytest.approx(log([0.1, 0.2, 0.7][token]), abs=1e-6)


def test_temperature_divides_the_logits() -> None:
    # at T = 0.5 probabilities are squared: .01 .04 .49 of .54
    drawn = draw(LOGITS.repeat(3, 1), torch.tensor([0.018, 0.019, 0.093]), 0.5)
    assert drawn.tokens.tolist() == [0, 1, 2]
    expected = torch.tensor([0.01, 0.04, 0.49]).div(0.54).log()
    torch.testing.assert_close(drawn.logprobs, expected, atol=1e-6, rtol=0)


def test_greedy_takes_the_best_and_reports_it_at_temperature_one() -> None:
    drawn = draw(LOGITS[None], torch.tensor([0.0]), 0.0)
    assert drawn.tokens.tolist() == [2]
    assert drawn.logprobs.item() == pytest.approx(log(0.7), abs=1e-6)


@pytest.mark.parametrize("vocabulary", [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5])
def test_blocks_give_what_one_cumulative_sum_gives(vocabulary: int) -> None:
    torch.manual_seed(0)
    logits = torch.randn(500, vocabulary, dtype=torch.float64) * 3
    uniform = torch.rand(500)
    expected = (logits.softmax(-1).cumsum(-1) <= uniform.double()[:, None]).sum(-1).clamp(max=vocabulary - 1)
    drawn = draw(logits.float(), uniform, 1.0)
    assert (drawn.tokens == expected).float().mean() > 0.995  # float32 may round a boundary
    chosen = logits.log_softmax(-1).gather(-1, drawn.tokens[:, None]).squeeze(-1)
    torch.testing.assert_close(drawn.logprobs.double(), chosen, atol=2e-6, rtol=0)


def test_tokens_without_mass_are_never_drawn() -> None:
    logits = torch.full((7, 2 * BLOCK + 3), -torch.inf)
    logits[:, 5], logits[:, BLOCK + 1] = 0.0, 0.0
    drawn = draw(logits, torch.tensor([0.0, 0.25, 0.4999, 0.5001, 0.75, 0.99999994, 1.0]), 1.0)
    assert drawn.tokens.tolist() == [5, 5, 5, BLOCK + 1, BLOCK + 1, BLOCK + 1, BLOCK + 1]


def test_uniforms_depend_on_seed_and_place_alone() -> None:
    short, long = uniforms([3, 2**62 + 1], 4), uniforms([2**62 + 1, 5, 3], 9)
    assert torch.equal(short[0], long[2, :4])
    assert torch.equal(short[1], long[0, :4])
    assert not torch.equal(short[0], short[1])


def test_uniforms_are_uniform() -> None:
    numbers = uniforms(range(400), 50)
    assert numbers.min() >= 0
    assert numbers.max() <= 1
    counts = torch.histc(numbers, bins=20, min=0, max=1)
    assert (counts - 1000).abs().max() < 5 * 1000**0.5
    columns = torch.corrcoef(numbers[:, :5].T) - torch.eye(5)
    assert columns.abs().max() < 5 / 400**0.5


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_weights_that_diverged_are_said_so(bad: float, temperature: float) -> None:
    logits = LOGITS.repeat(2, 1)
    logits[1, 2] = bad
    with pytest.raises(DivergedError, match="not finite"):
        draw(logits, torch.tensor([0.5, 0.5]), temperature)
