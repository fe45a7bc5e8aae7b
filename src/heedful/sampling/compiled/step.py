"""The decoding step: everything between a row's token and its next one, without Python.

Shapes: n tokens, H hidden size, Q query and K key heads of size D, F width of the feed-forward layer, V vocabulary,
R slots of the cache, N answers. Widths are padded to whole panels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from heedful.ops.compiled.jit import Floats, Integers, Pairs, Panels, kept, kernel, version
from heedful.ops.compiled.maths import clear
from heedful.ops.compiled.tiles import PANEL, add_product, pair_up
from heedful.sampling.compiled.parts import add, attend, copy, drawn, gated, normed, remember, turn
from heedful.sampling.compiled.team import Team, join, settle, share


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


class Desk(NamedTuple):
    """Where a team's rows lie."""

    slots: Integers  # (n,)
    columns: Integers  # (n,)
    x: Floats  # (n, H)
    h: Floats  # (n, H or Q · D)
    wide: Floats  # (n, (Q + 2K) · D or 2F)
    logits: Floats  # (n, V)
    pairs: Pairs  # (n, H, Q · D or F): what the next product reads; nothing in float32


class Corner(NamedTuple):
    """What a thread has for itself."""

    turn: Integers  # (3,) its place in the team's work
    scores: Floats  # (2 · Q / K, columns or D)
    blocks: Floats  # (V / 32,)
    pairs: Pairs  # (Q / K, columns or D); nothing in float32


@kernel()
def _round(x: Floats, panels: Panels, pairs: Pairs) -> None:
    """x as the product with these panels reads it, where that is bfloat16."""
    if panels.shape[3] == 2:
        pair_up(x[: 2 * panels.shape[1]], pairs)


@kernel()
def _multiply(
    t: Team, own: Corner, x: Floats, pairs: Pairs, panels: Panels, bias: Floats, out: Floats, n: int, onto: bool
) -> None:  # fmt: skip
    """out = x W + b for n rows, or out += x W + b. A share: neighbouring panels."""
    first, last = share(t, own.turn, len(panels))
    while first < last:
        begin, end = first * PANEL, last * PANEL
        for r in range(n):
            if not onto:
                clear(out[r, begin:end])
            add(bias[begin:end], out[r, begin:end])
        add_product(x, panels[first:last], out[:, begin:end], n, pairs)
        first, last = share(t, own.turn, len(panels))


@kernel()
def _norm(
    m: Model, t: Team, s: Desk, own: Corner, n: int, gain: Floats, panels: Panels
) -> None:  # fmt: skip
    """h = norm x, for these panels. A share: rows."""
    first, last = share(t, own.turn, n)
    while first < last:
        for r in range(first, last):
            normed(s.x[r], gain, m.eps, s.h[r])
            _round(s.h[r], panels, s.pairs[r])
        first, last = share(t, own.turn, n)


@kernel("contract")
def _attention(
    m: Model, states: States, t: Team, s: Desk, own: Corner, n: int, layer: int, only_remember: bool
) -> None:
    """x += attention(norm x), each token after those before it in its slot; or its keys and values alone."""
    keys, values, size, group = states.keys[layer], states.values[layer], 2 * m.angles.shape[1], m.heads // m.kv_heads
    both, every = m.heads + m.kv_heads, m.heads + 2 * m.kv_heads
    _norm(m, t, s, own, n, m.before_attention[layer], m.qkv[layer])
    _multiply(t, own, s.h, s.pairs, m.qkv[layer], m.qkv_bias[layer], s.wide, n, False)
    first, last = share(t, own.turn, n * m.kv_heads)
    while first < last:
        for unit in range(first, last):
            r, head = unit // m.kv_heads, unit % m.kv_heads
            slot, at = s.slots[r], s.columns[r]
            qkv = s.wide[r, : every * size].reshape(every, size)
            for which in range(group + 1):
                one = head * group + which if which < group else m.heads + head
                if len(m.head_gain):
                    normed(qkv[one], m.head_gain[layer, one], m.eps, qkv[one])
                turn(qkv[one], m.angles[at])
            remember(qkv[m.heads + head], qkv[both + head], at, keys[slot, head], values[slot, head])
        first, last = share(t, own.turn, n * m.kv_heads)
    if only_remember:
        return
    first, last = share(t, own.turn, n * m.kv_heads)
    while first < last:
        for unit in range(first, last):
            r, head = unit // m.kv_heads, unit % m.kv_heads
            slot, at = s.slots[r], s.columns[r]
            q = s.wide[r, head * group * size : (head + 1) * group * size].reshape(group, size)
            out = s.h[r, head * group * size : (head + 1) * group * size]
            begin = max(0, at + 1 - m.windows[layer])
            attend(q, begin, at, keys[slot, head], values[slot, head], m.scaling[layer], own.scores, own.pairs, out)
            if states.keys.shape[6] == 2:
                pair_up(out, s.pairs[r, head * group * size :])
        first, last = share(t, own.turn, n * m.kv_heads)
    _multiply(t, own, s.h, s.pairs, m.out[layer], m.out_bias[layer], s.x, n, True)


@kernel("contract")
def _feedforward(m: Model, t: Team, s: Desk, own: Corner, n: int, layer: int) -> None:
    """x += down(silu(gate) · up)"""
    width = m.width
    _norm(m, t, s, own, n, m.before_feedforward[layer], m.gate_up[layer])
    _multiply(t, own, s.h, s.pairs, m.gate_up[layer], m.gate_up_bias[layer], s.wide, n, False)
    first, last = share(t, own.turn, n)
    while first < last:
        for r in range(first, last):
            gated(s.wide[r, :width], s.wide[r, width : 2 * width])
            _round(s.wide[r], m.down[layer], s.pairs[r])
        first, last = share(t, own.turn, n)
    _multiply(t, own, s.wide, s.pairs, m.down[layer], m.down_bias[layer], s.x, n, True)


@kernel()
def _read(m: Model, states: States, t: Team, s: Desk, own: Corner, prompt: Prompt) -> None:
    layers, count = len(m.windows), len(prompt.tokens)
    for begin in range(0, count, len(s.slots)):
        n = min(count - begin, len(s.slots))
        first, last = share(t, own.turn, n)
        while first < last:
            for r in range(first, last):
                s.slots[r], s.columns[r] = prompt.slots[begin + r], prompt.columns[begin + r]
                copy(m.embeddings[prompt.tokens[begin + r]], s.x[r])
            first, last = share(t, own.turn, n)
        for layer in range(layers):
            only_remember = layer + 1 == layers  # nobody reads what the last layer would make of it
            _attention(m, states, t, s, own, n, layer, only_remember)
            if not only_remember:
                _feedforward(m, t, s, own, n, layer)


@kernel()
def _write(
    m: Model, t: Team, slots: Slots, written: Written, s: Desk, own: Corner, n: int, temperature: np.float32, step: int
) -> None:  # fmt: skip
    """Draw each row's next token; then those that go on move up, and make the next step's rows."""
    first, last = share(t, own.turn, n)
    while first < last:
        for r in range(first, last):
            slot = s.slots[r]
            sample = slots.samples[slot]
            made = written.made[sample]
            logits = s.logits[r, : len(m.embeddings)]
            token, logprob, total = drawn(logits, written.uniforms[sample, made], temperature, own.blocks)
            written.tokens[sample, made], written.logprobs[sample, made] = token, logprob
            written.made[sample] = made + 1
            slots.tokens[slot], slots.lengths[slot] = token, slots.lengths[slot] + 1
            ended = made + 1 == written.limits[sample]
            for end in written.ends:
                ended |= token == end
            if ended or not np.isfinite(total):
                slots.samples[slot] = -1
            if not np.isfinite(total):
                t.rows[step + 1] = -1
        first, last = share(t, own.turn, n)
    first, last = share(t, own.turn, 1)
    while first < last:
        if t.rows[step + 1] == 0:
            left = 0
            for r in range(n):
                if slots.samples[s.slots[r]] >= 0:
                    s.slots[left] = s.slots[r]
                    left += 1
            t.rows[step + 1] = left
        first, last = share(t, own.turn, 1)


@kernel()
def _decode(
    m: Model, states: States, t: Team, slots: Slots, written: Written, s: Desk, own: Corner,
    mine: Integers, temperature: np.float32, leave: int,
) -> bool:  # fmt: skip
    first, last = share(t, own.turn, 1)
    while first < last:
        copy(mine, s.slots)
        first, last = share(t, own.turn, 1)
    n = len(mine)
    for step in range(len(t.rows) - 1):
        if n <= 0 or len(mine) - n >= leave:
            break
        first, last = share(t, own.turn, n)
        while first < last:
            for r in range(first, last):
                s.columns[r] = slots.lengths[s.slots[r]]
                copy(m.embeddings[slots.tokens[s.slots[r]]], s.x[r])
            first, last = share(t, own.turn, n)
        for layer in range(len(m.windows)):
            _attention(m, states, t, s, own, n, layer, False)
            _feedforward(m, t, s, own, n, layer)
        _norm(m, t, s, own, n, m.norm, m.head)
        _multiply(t, own, s.h, s.pairs, m.head, m.head_bias, s.logits, n, False)
        _write(m, t, slots, written, s, own, n, temperature, step)
        settle(t, own.turn)
        n = t.rows[step + 1]
    return n >= 0


def _entry(sources: int) -> Callable[..., bool]:
    """What Python calls: one function, compiled once. The number of the sources stands in it, so that what was kept of
    others is not taken."""

    def decode(
        m: Model, states: States, t: Team, slots: Slots, written: Written, s: Desk, own: Corner,
        prompt: Prompt, mine: Integers, temperature: np.float32, leave: int,
    ) -> bool:  # fmt: skip
        """Cache prompts' tokens; then tokens for rows in the slots `mine`, until the team's steps are done or `leave`
        rows have ended. Every thread of the team calls it, with a corner of its own.

        Slots of rows that end get sample −1. False: probabilities that are no numbers.
        """
        _ = sources
        join(t, own.turn)
        _read(m, states, t, s, own, prompt)
        sound = _decode(m, states, t, slots, written, s, own, mine, temperature, leave)
        settle(t, own.turn)
        return sound

    return kept(decode)


decode = _entry(version(__file__))
