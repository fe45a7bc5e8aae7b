"""Adapters: nothing at the start, off means the base exactly, merged means the same, and peft reads what is written."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
)

from heedful.config import Architecture, Lora
from heedful.data.chat import Chat, train_tokenizer
from heedful.data.packing import Example, pack
from heedful.errors import InputError
from heedful.models import folders
from heedful.models.classifiers import kind_of
from heedful.models.heads import Policy
from heedful.models.loading import (
    Affine,
    load_policy,
    load_reward_model,
    new_policy,
    reward_from_policy,
    save_policy,
    save_reward_model,
)
from heedful.models.lora import Underlying, adapters_off, add_lora, has_adapters, merge_adapters, whole_weight
from heedful.sampling import NativeSampler, SamplingParams, make_sampler

SHAPE = Architecture(vocabulary=300, hidden=16, layers=2, heads=2, kv_heads=1, feedforward=24, context=64)
BATCH = pack([Example((5, 9, 30, 77, 2)), Example((8, 8, 120))])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "model"
    chat = Chat(train_tokenizer(["two and two is four", "the cake is good"] * 4, 300))
    save_policy(new_policy(SHAPE, chat, seed=1), chat, folder)
    return folder


def adapted(base: Path, seed: int = 3) -> tuple[Policy, Chat]:
    policy, chat = load_policy(base, device="cpu")
    add_lora(policy.lm, Lora(rank=4), base, seed)
    return policy, chat


def disturb(model: torch.nn.Module) -> None:
    """As if something had been learnt."""
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn_like(parameter))


def by_peft(model: PreTrainedModel, adapter: Path) -> torch.Tensor:
    """What plain peft makes of an adapter folder: logits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for an attribute by its old name
        adapted_model = PeftModel.from_pretrained(model, adapter)
    return adapted_model(torch.tensor([[5, 9, 30, 77, 2]])).logits


def test_at_the_start_adapters_change_nothing_and_come_from_their_seed(base: Path) -> None:
    plain, _ = load_policy(base, device="cpu")
    one, same, other = (adapted(base, seed)[0] for seed in (3, 3, 4))
    torch.testing.assert_close(one(BATCH), plain(BATCH))
    drawn = [p.lm.get_submodule("model.layers.0.mlp.up_proj.lora_A.default").weight for p in (one, same, other)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_only_adapters_learn_and_the_counts_are_right(base: Path) -> None:
    policy, _ = load_policy(base, device="cpu")
    total = sum(p.numel() for p in policy.parameters())
    said = add_lora(policy.lm, Lora(rank=4), base, 0)
    # q (16→16), k and v (16→8), o (16→16), gate and up (16→24), down (24→16): in + out for each, times rank and layers
    learning = 4 * 2 * (32 + 24 + 24 + 32 + 40 + 40 + 40)
    assert sum(p.numel() for p in policy.parameters() if p.requires_grad) == learning
    assert f"on 14 layers: {learning:,} parameters learn beside {total:,} frozen ones" in said
    policy(BATCH).sum().backward()
    assert {n for n, p in policy.named_parameters() if p.grad is not None} == {
        n for n, _ in policy.named_parameters() if "lora_" in n
    }


def test_chosen_layers_and_scale(base: Path) -> None:
    policy, _ = load_policy(base, device="cpu")
    add_lora(policy.lm, Lora(rank=2, alpha=10, layers=["q_proj"]), base, 0)
    layer = policy.lm.get_submodule("model.layers.1.self_attn.q_proj")
    disturb(policy)
    a, b = (layer.get_submodule(f"lora_{which}.default").weight for which in "AB")
    torch.testing.assert_close(whole_weight(layer), layer.base_layer.weight + 10 / 2 * b @ a)
    assert not hasattr(policy.lm.get_submodule("model.layers.1.self_attn.k_proj"), "lora_A")


def test_off_means_the_base_exactly_and_the_reference_is_no_copy(base: Path) -> None:
    plain, _ = load_policy(base, device="cpu")
    policy, _ = adapted(base)
    disturb(policy)
    assert not torch.equal(policy(BATCH), plain(BATCH))
    reference = Underlying(policy.lm)
    torch.testing.assert_close(reference(BATCH), plain(BATCH))
    with adapters_off(policy.lm):
        assert torch.equal(policy(BATCH), reference(BATCH))
    assert {p.data_ptr() for p in reference.parameters()} == {p.data_ptr() for p in policy.parameters()}
    assert all(p.requires_grad for n, p in policy.named_parameters() if "lora_" in n)
    divergence = policy.divergence(reference, BATCH)
    torch.testing.assert_close(divergence.logprobs - divergence.other_logprobs, policy(BATCH) - plain(BATCH))


def test_merged_is_the_same_model_without_adapters(base: Path) -> None:
    policy, _ = adapted(base)
    names = set(load_file(base / "model.safetensors"))
    disturb(policy)
    before = policy(BATCH).detach()
    assert merge_adapters(policy.lm) < 1e-5
    assert not has_adapters(policy.lm)
    assert names <= set(policy.lm.state_dict())
    torch.testing.assert_close(policy(BATCH), before, atol=1e-5, rtol=1e-5)


def test_a_merge_that_changes_the_model_is_not_saved(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy, _ = adapted(base)
    disturb(policy)
    monkeypatch.setattr("heedful.models.lora.whole_weight", lambda layer: layer.base_layer.weight)
    with pytest.raises(ValueError, match="changed its outputs"):
        merge_adapters(policy.lm)


def test_plain_peft_reads_the_adapters_and_plain_transformers_the_merged_model(base: Path, tmp_path: Path) -> None:
    policy, chat = adapted(base)
    disturb(policy)
    before = policy(BATCH).detach()
    save_policy(policy, chat, tmp_path / "model")
    ids = torch.tensor([[5, 9, 30, 77, 2]])
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "model")(ids).logits
    theirs = by_peft(AutoModelForCausalLM.from_pretrained(base), tmp_path / "adapter")
    torch.testing.assert_close(theirs, merged, atol=1e-5, rtol=1e-5)
    for folder in ("model", "adapter"):  # heedful opens both
        torch.testing.assert_close(load_policy(tmp_path / folder, device="cpu")[0](BATCH), before, atol=1e-5, rtol=1e-5)


def test_a_reward_model_keeps_its_new_head_in_both(base: Path, tmp_path: Path) -> None:
    model, chat = reward_from_policy(base, seed=2)
    drawn = model.classifier.score.weight.detach().clone()
    add_lora(model.classifier, Lora(rank=2), base, 0)
    assert model.classifier.score.weight.requires_grad
    disturb(model)
    assert not torch.equal(model.classifier.score.weight, drawn)
    before = model(BATCH).detach()
    save_reward_model(model, chat, Affine(0.5, 2.0), tmp_path / "model")
    loaded, _, affine = load_reward_model(tmp_path / "model", device="cpu")
    torch.testing.assert_close(loaded(BATCH), before, atol=1e-5, rtol=1e-5)
    assert affine == Affine(0.5, 2.0)
    fresh = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    theirs = by_peft(fresh, tmp_path / "adapter")
    torch.testing.assert_close(theirs.flatten(), before[:1], atol=1e-5, rtol=1e-5)


def test_adapters_alone_are_a_reward_model_of_their_bases_kind(tmp_path: Path) -> None:
    for kind in ("pairwise", "criteria"):
        base, adapter = tmp_path / kind, tmp_path / f"on-{kind}"
        for folder, name, told in (
            (base, "config.json", {f"heedful_{kind}": [1]}),
            (adapter, "adapter_config.json", {"task_type": "SEQ_CLS", "base_model_name_or_path": str(base)}),
        ):
            folder.mkdir()
            (folder / name).write_text(json.dumps(told))
        (adapter / "adapter_model.safetensors").touch()
        assert kind_of(adapter) == kind


def test_gpt2_adapts_and_merges_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=41, n_embd=16, n_layer=1, n_head=2, n_positions=32, eos_token_id=1, bos_token_id=1)
    policy = Policy(GPT2LMHeadModel(config).eval())
    add_lora(policy.lm, Lora(rank=2), "nowhere", 0)
    disturb(policy)
    batch = pack([Example((5, 9, 30, 7, 2))])
    before = policy(batch).detach()
    assert isinstance(make_sampler(policy), NativeSampler)
    merge_adapters(policy.lm)
    torch.testing.assert_close(policy(batch), before, atol=1e-5, rtol=1e-5)


def test_the_fast_sampler_reads_adapters(base: Path) -> None:
    policy, chat = adapted(base)
    sampler = make_sampler(policy)
    assert isinstance(sampler, NativeSampler)
    disturb(policy)
    sampler.update(policy)
    params = SamplingParams(temperature=1.0, max_new_tokens=8, batch=4, eos_id=chat.eos_id, pad_id=chat.pad_id)
    (one,) = sampler.sample([(5, 9, 30)], params, [11])
    example = Example((5, 9, 30, *one.token_ids), answer=3)
    torch.testing.assert_close(torch.tensor(one.logprobs), policy(pack([example])).detach(), atol=1e-5, rtol=1e-5)


def move_base(base: Path, adapter: Path) -> None:
    shutil.rmtree(base)


def other_base(base: Path, adapter: Path) -> None:
    tensors = load_file(base / "model.safetensors")
    tensors["model.norm.weight"] += 1.0
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})


def no_weights(base: Path, adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").unlink()


def other_shape(base: Path, adapter: Path) -> None:
    """As from another tool, which keeps no hash, on a base of another width."""
    chat = Chat.load(base)
    save_policy(new_policy(SHAPE.model_copy(update={"hidden": 32}), chat, seed=1), chat, base)
    (adapter / "heedful.json").unlink()
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": str(base)}))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (move_base, "its base model is not at"),
        (other_base, "were trained on another model than"),
        (no_weights, "no adapter_model.safetensors"),
        (other_shape, "don't fit their base model"),
    ],
)
def test_adapters_without_their_base_are_refused(
    base: Path, tmp_path: Path, harm: Callable[[Path, Path], None], words: str
) -> None:
    own = tmp_path / "01-sft" / "model"
    shutil.copytree(base, own)
    policy, chat = adapted(own)
    save_policy(policy, chat, tmp_path / "02-dpo" / "model")
    adapter = tmp_path / "02-dpo" / "adapter"
    load_policy(adapter, device="cpu")
    harm(own, adapter)
    with pytest.raises(InputError, match=words):
        load_policy(adapter, device="cpu")


def test_adapters_without_a_hash_of_their_base_are_taken_with_a_warning(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As plain peft leaves them: another model of the same layers would do as well."""
    said: list[str] = []
    monkeypatch.setattr(folders, "say", said.append)
    policy, chat = adapted(base)
    save_policy(policy, chat, tmp_path / "model")
    load_policy(tmp_path / "adapter", device="cpu")
    assert said == []
    (tmp_path / "adapter" / "heedful.json").unlink()
    load_policy(tmp_path / "adapter", device="cpu")
    (warning,) = said
    assert f"it can't be checked that {base} is what they were trained on" in warning


def test_adapters_find_their_base_after_the_run_moved(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "run" / "01-sft" / "model")
    policy, chat = adapted(tmp_path / "run" / "01-sft" / "model")
    disturb(policy)
    before = policy(BATCH).detach()
    save_policy(policy, chat, tmp_path / "run" / "02-dpo" / "model")
    os.replace(tmp_path / "run", tmp_path / "moved")
    moved, _ = load_policy(tmp_path / "moved" / "02-dpo" / "adapter", device="cpu")
    torch.testing.assert_close(moved(BATCH), before, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layer", ["query", "lm_head"])
def test_unknown_layers_are_told_with_those_that_are(base: Path, layer: str) -> None:
    """The output head is none: the reference has the adapters off in its hidden states alone."""
    policy, _ = load_policy(base, device="cpu")
    told = f"names {layer}, but the linear layers of LlamaForCausalLM that take adapters are down_proj, gate"
    with pytest.raises(InputError, match=told):
        add_lora(policy.lm, Lora(rank=2, layers=["q_proj", layer]), base, 0)


def test_a_score_head_takes_no_adapters(base: Path) -> None:
    model, _ = reward_from_policy(base, seed=0)
    with pytest.raises(InputError, match="names score, but the linear layers"):
        add_lora(model.classifier, Lora(rank=2, layers=["score"]), base, 0)
