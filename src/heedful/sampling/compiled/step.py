"""The decoding step: everything between a row's token and its next one, without Python.

Shapes: n tokens, H hidden size, Q query and K key heads of size D, F width of the feed-forward layer, V vocabulary,
R slots of the cache, N answers. Widths are padded to whole panels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from heedful.ops.compiled.jit import Floats, Integers, Pairs, Panels, kept, kernel, version
from heedful.ops.compiled.tiles import add_product
from heedful.sampling.compiled.parts import add, attend, copy, drawn, gated, normed, remember, turn


class Model(NamedTuple):
    """Weights as the step reads them; first axis: layers, where there is one for each."""

    heads: int  # Q
    kv_heads: int  # K
    embeddings: Floats  # (V, H)
    angles: Floats  # (columns, D / 2, 2)
    eps: np.float32
    before_attention: Floats  # (layers, H)
    qkv: Panels  # of (H, (Q + 2K) · D)
    qkv_bias: Floats
    head_gain: Floats  # (layers, Q + K, D), or no layers where heads have no norm
    scaling: Floats  # (layers,)
    windows: Integers  # (layers,)
    out: Panels  # of (Q · D, H)
    out_bias: Floats
    before_feedforward: Floats  # (layers, H)
    gate_up: Panels  # of (H, 2F)
    gate_up_bias: Floats
    width: int  # F
    down: Panels  # of (F, H)
    down_bias: Floats
    norm: Floats  # (H,)
    head: Panels  # of (H, V)
    head_bias: Floats


class States(NamedTuple):
    """Keys and values, in the layout of `parts.remember`."""

    keys: Panels  # (layers, R, …)
    values: Panels  # (layers, R, …)


class Slots(NamedTuple):
    """What stands in the cache."""

    samples: Integers  # (R,) the answer; −1: none
    lengths: Integers  # (R,) tokens that are cached
    tokens: Integers  # (R,) the token to feed next


class Written(NamedTuple):
    """The answers so far, as `answers.Answers` has them."""

    made: Integers  # (N,)
    limits: Integers  # (N,)
    tokens: Integers  # (N, longest)
    logprobs: Floats  # (N, longest)
    uniforms: Floats  # (N, longest)
    ends: Integers


class Prompt(NamedTuple):
    """Tokens to cache, each prompt's in order."""

    tokens: Integers  # (n,)
    slots: Integers  # (n,)
    columns: Integers  # (n,)


class Scratch(NamedTuple):
    """One thread's workplace."""

    slots: Integers  # (n,)
    tokens: Integers  # (n,)
    columns: Integers  # (n,)
    x: Floats  # (n, H)
    h: Floats  # (n, H or Q · D)
    wide: Floats  # (n, (Q + 2K) · D or 2F)
    scores: Floats  # (2 · Q / K, columns or D)
    logits: Floats  # (n, V)
    blocks: Floats  # (V / 32,)
    pairs: Pairs  # (n or Q / K, the widest input of a product or columns); nothing in float32


@kernel("contract")
def _attention(m: Model, states: States, s: Scratch, n: int, layer: int, only_remember: bool) -> None:
    """x += attention(norm x), each token after those before it in its slot; or its keys and values alone."""
    keys, values = states.keys[layer], states.values[layer]
    size, both, every = 2 * m.angles.shape[1], m.heads + m.kv_heads, m.heads + 2 * m.kv_heads
    for r in range(n):
        normed(s.x[r], m.before_attention[layer], m.eps, s.h[r])
        copy(m.qkv_bias[layer], s.wide[r])
    add_product(s.h, m.qkv[layer], s.wide, n, s.pairs)
    for r in range(n):
        slot, at = s.slots[r], s.columns[r]
        qkv = s.wide[r, : every * size].reshape(every, size)
        for head in range(both):
            if len(m.head_gain):
                normed(qkv[head], m.head_gain[layer, head], m.eps, qkv[head])
            turn(qkv[head], m.angles[at])
        remember(qkv[m.heads : both], qkv[both:], at, keys[slot], values[slot])
        if not only_remember:
            begin = max(0, at + 1 - m.windows[layer])
            attend(qkv[: m.heads], begin, at, keys[slot], values[slot], m.scaling[layer], s.scores, s.pairs, s.h[r])
            add(m.out_bias[layer], s.x[r])
    if not only_remember:
        add_product(s.h, m.out[layer], s.x, n, s.pairs)


@kernel("contract")
def _feedforward(m: Model, s: Scratch, n: int, layer: int) -> None:
    """x += down(silu(gate) · up)"""
    width = m.width
    for r in range(n):
        normed(s.x[r], m.before_feedforward[layer], m.eps, s.h[r])
        copy(m.gate_up_bias[layer], s.wide[r])
    add_product(s.h, m.gate_up[layer], s.wide, n, s.pairs)
    for r in range(n):
        gated(s.wide[r, :width], s.wide[r, width : 2 * width])
        add(m.down_bias[layer], s.x[r])
    add_product(s.wide, m.down[layer], s.x, n, s.pairs)


@kernel()
def _embed(m: Model, s: Scratch, n: int) -> None:
    for r in range(n):
        copy(m.embeddings[s.tokens[r]], s.x[r])


@kernel()
def _read(m: Model, states: States, s: Scratch, prompt: Prompt) -> None:
    layers, count = len(m.windows), len(prompt.tokens)
    for begin in range(0, count, len(s.tokens)):
        n = min(count - begin, len(s.tokens))
        for r in range(n):
            s.tokens[r], s.slots[r] = prompt.tokens[begin + r], prompt.slots[begin + r]
            s.columns[r] = prompt.columns[begin + r]
        _embed(m, s, n)
        for layer in range(layers):
            _attention(m, states, s, n, layer, layer + 1 == layers)  # nobody reads what the last layer would make of it
            if layer + 1 < layers:
                _feedforward(m, s, n, layer)


@kernel()
def _write(m: Model, slots: Slots, written: Written, s: Scratch, n: int, temperature: np.float32) -> int:
    """Draw each row's next token. Returns how many rows go on, −1 where probabilities are no numbers."""
    left = 0
    for r in range(n):
        slot = s.slots[r]
        sample = slots.samples[slot]
        made = written.made[sample]
        logits = s.logits[r, : len(m.embeddings)]
        token, logprob, total = drawn(logits, written.uniforms[sample, made], temperature, s.blocks)
        if not np.isfinite(total):
            return -1
        written.tokens[sample, made], written.logprobs[sample, made] = token, logprob
        written.made[sample] = made + 1
        slots.tokens[slot], slots.lengths[slot] = token, slots.lengths[slot] + 1
        ended = made + 1 == written.limits[sample]
        for end in written.ends:
            ended |= token == end
        if ended:
            slots.samples[slot] = -1
        else:
            s.slots[left] = slot
            left += 1
    return left


@kernel()
def _decode(
    m: Model, states: States, slots: Slots, written: Written, s: Scratch,
    mine: Integers, temperature: np.float32, steps: int, leave: int,
) -> bool:  # fmt: skip
    n = len(mine)
    copy(mine, s.slots)
    for _ in range(steps):
        if n <= 0 or len(mine) - n >= leave:
            break
        for r in range(n):
            s.tokens[r], s.columns[r] = slots.tokens[s.slots[r]], slots.lengths[s.slots[r]]
        _embed(m, s, n)
        for layer in range(len(m.windows)):
            _attention(m, states, s, n, layer, False)
            _feedforward(m, s, n, layer)
        for r in range(n):
            normed(s.x[r], m.norm, m.eps, s.h[r])
            copy(m.head_bias, s.logits[r])
        add_product(s.h, m.head, s.logits, n, s.pairs)
        n = _write(m, slots, written, s, n, temperature)
    return n >= 0


def _entry(sources: int) -> Callable[..., bool]:
    """What Python calls: one function, compiled once. The number of the sources stands in it, so that what was kept of
    others is not taken."""

    def decode(
        m: Model, states: States, slots: Slots, written: Written, s: Scratch,
        prompt: Prompt, mine: Integers, temperature: np.float32, steps: int, leave: int,
    ) -> bool:  # fmt: skip
        """Cache prompts' tokens; then up to `steps` tokens for rows in the slots `mine`, fewer when `leave` have ended.

        Slots of rows that end get sample −1. False: probabilities that are no numbers.
        """
        _ = sources
        _read(m, states, s, prompt)
        return _decode(m, states, slots, written, s, mine, temperature, steps, leave)

    return kept(decode)


decode = _entry(version(__file__))
