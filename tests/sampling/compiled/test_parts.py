"""Compiled arithmetic against torch's: products of every number of rows, exponentials, attention and draws by hand."""

from __future__ import annotations

from itertools import product
from math import log
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from heedful.ops.compiled.tiles import HAS_PAIRS, MOST, PANEL, TOGETHER, add_product, pair_up
from heedful.sampling.compiled.parts import attend, drawn, exponentials, gated, remember
from heedful.sampling.draw import BLOCK, draw

Floats = NDArray[np.float32]


def random(*shape: int) -> Floats:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


KINDS = [
    np.float32,
    pytest.param(np.uint16, marks=pytest.mark.skipif(not HAS_PAIRS, reason="no AVX512_BF16 here")),
]


def halved(x: Floats) -> NDArray[np.uint16]:
    """Nearest bfloat16."""
    return torch.from_numpy(x).bfloat16().view(torch.int16).numpy().view(np.uint16)


def as_held(x: Floats, kind: type) -> NDArray[np.float64]:
    """What is left of numbers in arrays of this dtype."""
    return torch.from_numpy(x).to(torch.bfloat16 if kind is np.uint16 else torch.float32).double().numpy()


def panels_of(matrix: Floats, kind: type) -> NDArray[Any]:
    depth, width = matrix.shape
    pair = 2 if kind is np.uint16 else 1
    held = halved(matrix) if pair == 2 else matrix
    return np.ascontiguousarray(held.reshape(depth // pair, pair, width // PANEL, PANEL).transpose(2, 0, 3, 1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", range(1, TOGETHER + 3))
def test_products_of_any_number_of_rows_give_each_row_the_same_bits(kind: type, count: int) -> None:
    most, depth = 2 * MOST + 5, 20
    x, matrix, start = random(most, depth), random(depth, count * PANEL), random(most, count * PANEL)
    panels, pairs = panels_of(matrix, kind), np.zeros((most, depth), np.uint16)
    pair_up(x.reshape(-1), pairs.reshape(-1))
    whole = start.copy()
    add_product(x, panels, whole, most, pairs)
    np.testing.assert_allclose(whole, start + as_held(x, kind) @ as_held(matrix, kind), atol=1e-5)
    for rows in range(1, most):
        out = start.copy()
        add_product(x, panels, out, rows, pairs)
        assert (out[:rows] == whole[:rows]).all()
        assert (out[rows:] == start[rows:]).all()


@pytest.mark.skipif(not HAS_PAIRS, reason="no AVX512_BF16 here")
def test_numbers_are_rounded_to_the_nearest_bfloat16() -> None:
    x = np.concatenate([random(1001), [np.inf, -np.inf, 0.0, -0.0, 1 + 2**-8, 1 + 3 * 2**-8]]).astype(np.float32)
    pairs = np.zeros(len(x), np.uint16)
    pair_up(x, pairs)
    assert (pairs == halved(x)).all()
    pair_up(np.array([np.nan, -np.nan], np.float32), pairs)
    assert np.isnan(torch.from_numpy(pairs[:2].view(np.int16)).view(torch.bfloat16).float().numpy()).all()


def test_exponentials_and_gates() -> None:
    x = np.array([-200.0, -87.5, -50.0, -1.0, 0.0, 0.3, 20.0, 87.0], np.float32)
    made = x.copy()
    total = exponentials(made, np.float32(0.5))
    expected = np.exp(0.5 * (x - np.float32(87)).astype(float))
    np.testing.assert_allclose(made, np.where(expected < np.exp(-87.0), 0.0, expected), rtol=3e-7)
    assert total == pytest.approx(expected.sum(), rel=1e-6)
    gate = np.array([-300.0, -30.0, -1.0, 0.0, 2.0, 300.0], np.float32)
    wanted = torch.nn.functional.silu(torch.from_numpy(gate.copy())).numpy() * np.float32(1.5)
    gated(gate, np.full(6, 1.5, np.float32))
    np.testing.assert_allclose(gate, wanted, rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize("place", [0, 3, 7])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_is_seen(place: int, bad: float) -> None:
    x = random(8)
    x[place] = bad
    assert not np.isfinite(exponentials(x, np.float32(1)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("queries", [6, 2])
@pytest.mark.parametrize(
    ("window", "at"), [(1 << 30, 40), (1 << 30, 0), (1 << 30, 95), (5, 40), (16, 31), (6, 40), (1, 41), (2, 63)]
)
def test_attention_is_softmax_over_a_rows_own_columns(kind: type, queries: int, window: int, at: int) -> None:
    kv_heads, size, columns, pair = 2, 20, 96, 2 if kind is np.uint16 else 1
    q, k, v = random(queries, size), random(columns, kv_heads, size), random(columns, kv_heads, size)[::-1].copy()
    unwritten = 1e9 if pair == 1 else halved(np.full(1, 1e9, np.float32))[0]  # must not count
    keys = np.full((kv_heads, columns // PANEL, size // pair, PANEL, pair), unwritten, kind)
    values = np.full((kv_heads, -(-size // PANEL), columns // pair, PANEL, pair), unwritten, kind)
    for column, head in product(range(at + 1), range(kv_heads)):
        remember(k[column, head], v[column, head], column, keys[head], values[head])
    begin = max(0, at + 1 - window)
    out, group = np.zeros(queries * size, np.float32), queries // kv_heads
    scores, pairs = np.zeros((2 * group, columns), np.float32), np.zeros((group, columns), np.uint16)
    for head in range(kv_heads):
        own = slice(head * group, (head + 1) * group)
        attended = out.reshape(queries, size)[own].reshape(-1)
        attend(q[own], begin, at, keys[head], values[head], np.float32(0.3), scores, pairs, attended)
    seen = slice(begin, at + 1)
    q, k, v = (as_held(x, kind) for x in (q, k, v))
    for head in range(queries):
        logits = 0.3 * (k[seen, head // group] @ q[head])
        weights = np.exp(logits - logits.max())
        expected = weights @ v[seen, head // group] / weights.sum()
        np.testing.assert_allclose(out[head * size : (head + 1) * size], expected, atol=1e-5 if pair == 1 else 1e-2)


def drawn_from(logits: Floats, uniform: float, temperature: float) -> tuple[int, float]:
    token, logprob, total = drawn(
        logits.copy(), np.float32(uniform), np.float32(temperature), np.zeros(-(-len(logits) // BLOCK), np.float32)
    )
    assert np.isfinite(total)
    return token, logprob


@pytest.mark.parametrize(
    ("uniform", "token"), [(0.0, 0), (0.099, 0), (0.101, 1), (0.299, 1), (0.301, 2), (0.9999999, 2), (1.0, 2)]
)
def test_inverse_cdf_by_hand(uniform: float, token: int) -> None:
    logits = (np.log([0.1, 0.2, 0.7]) + 5.0).astype(np.float32)
    assert drawn_from(logits, uniform, 1.0) == (token, pytest.approx(log([0.1, 0.2, 0.7][token]), abs=1e-6))


@pytest.mark.parametrize("temperature", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("vocabulary", [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5])
def test_draws_are_those_of_torch(vocabulary: int, temperature: float) -> None:
    logits, uniform = 3 * random(200, vocabulary), np.random.default_rng(1).random(200).astype(np.float32)
    expected = draw(torch.from_numpy(logits), torch.from_numpy(uniform), temperature)
    made = [drawn_from(row, u, temperature) for row, u in zip(logits, uniform, strict=True)]
    same = [token == other for (token, _), other in zip(made, expected.tokens.tolist(), strict=True)]
    assert np.mean(same) > 0.99  # float32 may round a boundary
    for (_, logprob), other, equal in zip(made, expected.logprobs.tolist(), same, strict=True):
        assert not equal or logprob == pytest.approx(other, abs=2e-6)


def test_tokens_without_mass_are_never_drawn() -> None:
    logits = np.full(2 * BLOCK + 3, -np.inf, np.float32)
    logits[5] = logits[BLOCK + 1] = 0.0
    tokens = [drawn_from(logits, u, 1.0)[0] for u in (0.0, 0.25, 0.4999, 0.5001, 0.75, 0.99999994, 1.0)]
    assert tokens == [5, 5, 5, BLOCK + 1, BLOCK + 1, BLOCK + 1, BLOCK + 1]
