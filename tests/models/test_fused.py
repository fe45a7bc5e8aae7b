"""Blocks that compute as one step are transformers' own blocks: states, gradients, and who else may be asked."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, PreTrainedModel

from heedful.data.packing import Example, pack
from heedful.models.fused import layer as fused
from heedful.models.fused.block import _attend, _attend_back
from heedful.models.heads import Policy
from heedful.models.lora import Lora, add_lora
from heedful.ops.compiled.tiles import HAS_PAIRS

SHAPE = {
    "vocab_size": 64,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
}
HALF = pytest.param("bfloat16", marks=pytest.mark.skipif(not HAS_PAIRS, reason="no bfloat16 products here"))


def build(name: str, kv_heads: int = 2, head_dim: int = 12) -> Policy:
    """With weights large enough that attention matters."""
    torch.manual_seed(0)
    shape = SHAPE | {"num_key_value_heads": kv_heads, "head_dim": head_dim}
    model: PreTrainedModel
    match name:
        case "llama":
            model = LlamaForCausalLM(LlamaConfig(**shape))
        case _:
            model = MistralForCausalLM(MistralConfig(**shape, sliding_window=37))
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(4.0) if weight.ndim > 1 else weight.add_(0.3 * torch.randn_like(weight))
    return Policy(model)


def examples(*lengths: int, shared: int = 0, prompt: int = 3) -> list[Example]:
    """Sequences whose prompts are no targets; the first `shared` tokens are the same in each."""
    generator = torch.Generator().manual_seed(1)
    drawn = [torch.randint(1, 64, (length,), generator=generator).tolist() for length in lengths]
    return [Example((*drawn[0][:shared], *ids[shared:]), prompt) for ids in drawn]


def both(
    policy: Policy, given: list[Example], monkeypatch: pytest.MonkeyPatch, half: bool
) -> list[dict[str, torch.Tensor]]:
    """Log-probabilities and gradients by transformers' blocks, then by ours."""
    batch, found = pack(given), []
    own = fused._dtype
    for dtype in (lambda _: None, own):
        monkeypatch.setattr(fused, "_dtype", dtype)
        policy.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logprobs = policy(batch)
        weights = torch.linspace(-1, 1, len(logprobs))
        (logprobs * weights).sum().backward()
        found.append({name: p.grad.clone() for name, p in policy.named_parameters()} | {"logprobs": logprobs.detach()})
    return found


@pytest.mark.parametrize("name", ["llama", "mistral"])
@pytest.mark.parametrize(("kv_heads", "head_dim"), [(4, 12), (2, 32), (1, 40)])
@pytest.mark.parametrize(
    "given",
    [
        examples(5),
        examples(130, 50, 49, 48, 4, 9),
        examples(150, 120, 60, shared=40, prompt=40),
        examples(70, 30, prompt=28),
    ],
    ids=["one", "some", "shared", "few asked"],
)  # fmt: skip
def test_states_and_gradients_are_those_of_transformers(
    name: str, kv_heads: int, head_dim: int, given: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, ours = both(build(name, kv_heads, head_dim), given, monkeypatch, half=False)
    for key, expected in theirs.items():
        scale = float(expected.abs().max())
        assert float((ours[key] - expected).abs().max()) <= 2e-5 * scale, key


@pytest.mark.parametrize("precision", [HALF])
def test_in_16_bits_they_are_as_near_to_float32_as_transformers_own(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, given = build("llama"), examples(130, 50, 49, 9)
    exact, _ = both(policy, given, monkeypatch, half=False)
    theirs, ours = both(policy, given, monkeypatch, half=precision == "bfloat16")
    for key, expected in exact.items():
        off = [float((found[key] - expected).norm() / expected.norm()) for found in (theirs, ours)]
        assert off[1] <= 1.5 * off[0] + 1e-3, (key, off)
    assert not torch.equal(ours["logprobs"], exact["logprobs"])


def test_a_run_gives_the_same_bits_again_with_any_number_of_threads() -> None:
    """What adds to the gradient of a beginning that sequences share comes in one order."""
    plan_of = build("llama", 2, 32)
    batch = pack(examples(150, 120, 60, shared=40))
    seen = []
    for threads in (1, 2, 3):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            seen.append(attended(plan_of, batch))
        finally:
            torch.set_num_threads(before)
    for other in seen[1:]:
        assert all(torch.equal(one, two) for one, two in zip(seen[0], other, strict=True))


def attended(policy: Policy, batch: object) -> tuple[torch.Tensor, ...]:
    """A block's attention and its gradient, of drawn queries, keys and values."""
    caught: list[fused.Plan] = []
    own = fused.block

    def watching(plan: fused.Plan, kept: torch.Tensor | None, x: torch.Tensor, weights: fused.Weights) -> torch.Tensor:
        caught.append(plan)
        return own(plan, kept, x, weights)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused, "block", watching)
        policy(batch)  # type: ignore[arg-type]
    plan = caught[0]
    tokens, size = len(plan.cos), 2 * plan.cos.shape[1]
    generator = torch.Generator().manual_seed(3)
    qkv = torch.randn(tokens, (plan.heads + 2 * plan.kv_heads) * size, generator=generator)
    d_out = torch.randn(tokens, plan.heads * size, generator=generator)
    out, logsums = _attend(plan, qkv)
    return out, logsums, _attend_back(plan, qkv, out, logsums, d_out)


def test_who_has_adapters_biases_or_listeners_goes_by_transformers_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    policy, batch = build("llama"), pack(examples(9, 7))
    expected = policy(batch)
    assert fused.is_fused(policy.lm, half=False)
    adapted, biased, heard, counted = *(copy.deepcopy(policy) for _ in range(3)), []
    add_lora(adapted.lm, Lora(rank=2), "base", 0)
    for layer in biased.lm.model.layers:
        layer.mlp.down_proj.bias = torch.nn.Parameter(torch.zeros(48))
    heard.lm.model.layers[1].self_attn.q_proj.register_forward_hook(lambda *_: counted.append(1))
    for other in (adapted, biased, heard):
        assert not fused.is_fused(other.lm, half=False)
        torch.testing.assert_close(other(batch), expected)
    assert counted
    adapted(batch).sum().backward()
    learnt = [p.grad for n, p in adapted.named_parameters() if "lora_B" in n]
    assert learnt and all(gradient is not None and gradient.abs().sum() > 0 for gradient in learnt)
    monkeypatch.setattr(fused, "divides", lambda: False)  # another runtime than torch's usual ones
    assert fused._dtype(expected) is None and not fused.is_fused(policy.lm, half=False)


def test_frozen_weights_have_no_gradient_and_the_others_have_theirs() -> None:
    policy, batch = build("llama"), pack(examples(9, 7))
    policy(batch).sum().backward()
    whole = {name: p.grad for name, p in policy.named_parameters()}
    policy.zero_grad()
    frozen = ("k_proj.weight", "up_proj.weight", "input_layernorm.weight")
    for name, weight in policy.named_parameters():
        weight.requires_grad_(not name.endswith(frozen))
    policy(batch).sum().backward()
    for name, weight in policy.named_parameters():
        assert (weight.grad is None) if name.endswith(frozen) else torch.equal(weight.grad, whole[name]), name


def test_a_backward_pass_inside_autocast_is_that_of_its_forward_pass() -> None:
    policy, batch = build("llama"), pack(examples(9, 7))
    policy(batch).sum().backward()
    expected = {name: p.grad.clone() for name, p in policy.named_parameters() if "layers" in name}
    policy.zero_grad()
    total = policy(batch).sum()
    with torch.autocast("cpu", torch.bfloat16):
        total.backward()
    for name, gradient in expected.items():
        found = policy.get_parameter(name).grad
        assert float((found - gradient).abs().max()) < 0.05 * float(gradient.abs().max()), name


def test_second_derivatives_are_refused_and_not_wrong() -> None:
    policy = build("llama")
    (first,) = torch.autograd.grad(
        policy(pack(examples(9))).sum(), [policy.lm.model.layers[0].mlp.up_proj.weight], create_graph=True
    )
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_a_copy_computes_with_its_own_weights() -> None:
    policy, batch = build("llama"), pack(examples(9, 7))
    other, expected = copy.deepcopy(policy), policy(batch)
    with torch.no_grad():
        for weight in other.parameters():
            weight.mul_(1.1)
    assert torch.equal(policy(batch), expected)
    assert not torch.allclose(other(batch), expected)


def test_nothing_at_all_is_computed_of_nothing() -> None:
    """A rank whose share of texts is empty runs the network as often as the others."""
    policy = build("llama")
    assert policy(pack([Example((3,))])).shape == (0,)


def test_who_compiles_computes_as_who_loads(tmp_path: Path) -> None:
    """Else a first run that is killed and goes on would not end as an unbroken one."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-W", "ignore", str(Path(__file__).parent / "cold.py")]
    cold, warm = (subprocess.check_output(command, env=environment, text=True) for _ in range(2))
    assert list(tmp_path.rglob("*.nbc"))
    assert cold == warm
