"""Packed layers give what plain ones give; whether to pack hangs on what is to be decoded alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from transformers import PreTrainedModel

from heedful.models.heads import Policy
from heedful.sampling import NativeSampler, SamplingParams, linear, native
from heedful.sampling.linear import PACK_ROWS, PACK_SIZE, PACK_STEPS, Packed, Packing, Plain

Tiny = Callable[..., PreTrainedModel]
on_x86 = pytest.mark.skipif(
    not linear._can_pack(torch.device("cpu"), torch.float32), reason="weights are packed on x86 processors alone"
)
ENOUGH = Packing(PACK_ROWS, PACK_STEPS)
LARGE = torch.randn(512, PACK_SIZE // 512, generator=torch.Generator().manual_seed(0))  # (O, I)


@on_x86
@pytest.mark.parametrize("bias", [None, torch.arange(512.0)])
@pytest.mark.parametrize("rows", [1, 5, 300])
def test_packed_layers_give_what_plain_ones_give(bias: torch.Tensor | None, rows: int) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(rows, LARGE.shape[1], generator=generator)
    residual = torch.randn(rows, 512, generator=generator)
    packed, plain = ENOUGH.linear(LARGE, bias), Packing(1, 1).linear(LARGE, bias)
    assert isinstance(packed, Packed)
    assert isinstance(plain, Plain)
    expected = x.double() @ LARGE.double().T + (0 if bias is None else bias.double())
    with torch.inference_mode():
        for layer in (packed, plain):
            torch.testing.assert_close(layer(x).double(), expected, atol=1e-3, rtol=1e-5)
            both = layer.onto(x, residual).double()
            torch.testing.assert_close(both, residual.double() + expected, atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize(
    ("packing", "weight"),
    [
        (Packing(PACK_ROWS - 1, PACK_STEPS), LARGE),
        (Packing(PACK_ROWS, PACK_STEPS - 1), LARGE),
        (ENOUGH, LARGE[:-1]),
        (ENOUGH, LARGE.bfloat16()),
    ],
    ids=["few rows", "few steps", "small", "other precision"],
)
def test_what_packing_would_not_speed_up_stays_plain(packing: Packing, weight: torch.Tensor) -> None:
    assert isinstance(packing.linear(weight, None), Plain)


@on_x86
@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2"])
def test_answers_from_packed_weights_are_those_from_plain_ones(
    tiny: Tiny, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "can_compile", lambda policy: False)
    prompts = [[3, 1, 4], [9], [2, 6, 5, 3, 5], [8, 9, 7]] * 4
    params = SamplingParams(temperature=1.0, max_new_tokens=12, batch=8, eos_id=5, pad_id=0)
    sampler = NativeSampler(Policy(tiny(family)))
    plain = sampler.sample(prompts, params, range(16))
    made = []
    monkeypatch.setattr(linear, "PACK_STEPS", 1)
    monkeypatch.setattr(linear, "PACK_SIZE", 1)
    monkeypatch.setattr(linear, "Packed", lambda *parts: made.append(Packed(*parts)) or made[-1])
    packed = sampler.sample(prompts, params, range(16))
    assert len(made) == 3 * 4 + 1, "four products in each layer, and the head"
    assert [answer.token_ids for answer in packed] == [answer.token_ids for answer in plain]
    for one, other in zip(packed, plain, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)
