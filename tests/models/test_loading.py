"""Models in and out: what is saved is plain transformers', and what can't be trained well is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

from heedful.config import Architecture
from heedful.data.chat import Chat, train_tokenizer
from heedful.data.packing import Example, pack
from heedful.errors import InputError
from heedful.models import loading
from heedful.models.folders import quiet
from heedful.models.heads import Policy
from heedful.models.loading import (
    Affine,
    critic_from_reward,
    load_policy,
    load_reward_model,
    new_policy,
    reward_from_policy,
    save_policy,
    save_reward_model,
)
from heedful.records import Message

SHAPE = {"vocabulary": 300, "hidden": 16, "layers": 1, "heads": 2, "kv_heads": 1, "feedforward": 24, "context": 64}
ASKED = (Message("user", "What is two and two?"),)


@pytest.fixture(scope="module")
def chat() -> Chat:
    return Chat(train_tokenizer(["two and two is four", "the cake is good"] * 4, 300))


@pytest.fixture
def folder(chat: Chat, tmp_path: Path) -> Path:
    path = tmp_path / "model"
    save_policy(new_policy(Architecture(**SHAPE), chat, seed=1), chat, path)
    return path


def examples(chat: Chat) -> list[Example]:
    return [chat.example(ASKED, text) for text in ("four", "it is four, I think", "cake")]


def padded(sequences: list[Example], pad: int) -> torch.Tensor:
    longest = max(len(e.ids) for e in sequences)
    return torch.tensor([list(e.ids) + [pad] * (longest - len(e.ids)) for e in sequences])


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_a_new_policy_comes_from_its_seed_alone(chat: Chat, family: str) -> None:
    shape = Architecture(**SHAPE | {"family": family})
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = (new_policy(shape, chat, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    batch = pack(examples(chat))
    assert torch.equal(one(batch), same(batch))
    assert not torch.equal(one(batch), other(batch))
    assert one.vocabulary == len(chat.tokenizer)
    assert one.context == 64


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"heads": 3}, "hidden = 16 is no multiple of architecture.heads = 3"),
        ({"heads": 4, "kv_heads": 3}, "heads = 4 is no multiple of architecture.kv_heads = 3"),
        ({"heads": 16, "kv_heads": 1}, "must be even"),
    ],
)
def test_an_impossible_shape_is_refused(chat: Chat, change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        new_policy(Architecture(**SHAPE | change), chat, 1)


def test_a_saved_policy_is_plain_transformers(chat: Chat, folder: Path) -> None:
    policy, loaded_chat = load_policy(folder, device="cpu")
    sequences = examples(chat)
    plain = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = padded(sequences, chat.pad_id)
    logits = plain(rows, attention_mask=(rows != chat.pad_id).long()).logits
    log_p = torch.log_softmax(logits[:, :-1], -1).gather(-1, rows[:, 1:, None]).squeeze(-1)
    expected = torch.cat([log_p[i, e.answer - 1 : len(e.ids) - 1] for i, e in enumerate(sequences)])
    torch.testing.assert_close(policy(pack(sequences)), expected, rtol=1e-4, atol=1e-5)
    assert tuple(
        tokenizer.apply_chat_template(
            [{"role": "user", "content": ASKED[0].content}], return_dict=False, add_generation_prompt=True
        )
    ) == loaded_chat.prompt_ids(ASKED)
    assert plain.generation_config.eos_token_id == chat.eos_id
    assert plain.config.pad_token_id == chat.pad_id
    assert "heedful" not in (folder / "config.json").read_text()


def test_saving_twice_gives_the_same_bytes(chat: Chat, folder: Path, tmp_path: Path) -> None:
    policy, loaded = load_policy(folder, device="cpu")
    save_policy(policy, loaded, tmp_path / "again")
    for path in folder.iterdir():
        if path.name != "tokenizer_config.json":  # transformers notes there how a tokenizer was loaded
            assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_tokenizer_without_pad_and_template_is_completed_aloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GPT-2's case: EOS alone. PAD is a new token, so the embeddings grow, at the mean of the old."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(special_tokens=["<|eos|>"], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(["two and two"], trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|eos|>").save_pretrained(tmp_path)
    torch.manual_seed(0)
    rows = tokenizer.get_vocab_size()
    shape = {"vocab_size": rows, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64}
    lm = GPT2LMHeadModel(GPT2Config(**shape, bos_token_id=0, eos_token_id=0))
    with quiet():
        lm.save_pretrained(tmp_path)
    old = lm.transformer.wte.weight.detach().clone()
    sentences: list[str] = []
    monkeypatch.setattr(loading, "say", sentences.append)

    policy, chat = load_policy(tmp_path, device="cpu")

    said = " ".join(sentences)
    assert "no PAD" in said
    assert "no chat template" in said
    assert f"grew from {rows} to {rows + 1}" in said
    assert chat.pad_id == rows == policy.lm.config.pad_token_id
    assert chat.eos_id == 0
    assert policy.vocabulary == policy.lm.config.vocab_size == rows + 1
    for layer in (policy.lm.get_input_embeddings(), policy.lm.get_output_embeddings()):
        torch.testing.assert_close(layer.weight[:rows], old)
        torch.testing.assert_close(layer.weight[rows], old.mean(0))


def test_a_reward_model_is_plain_transformers_and_keeps_its_scale(chat: Chat, folder: Path, tmp_path: Path) -> None:
    model, _ = reward_from_policy(folder, seed=3)
    again, _ = reward_from_policy(folder, seed=3)
    other, _ = reward_from_policy(folder, seed=4)
    sequences = examples(chat)
    scores = model(pack(sequences))
    assert torch.equal(scores, again(pack(sequences)))
    assert not torch.allclose(scores, other(pack(sequences)))
    save_reward_model(model, chat, Affine(mean=0.5, std=2.0), tmp_path / "reward")
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "reward")
    rows = padded(sequences, chat.pad_id)
    right_padded = plain(rows, attention_mask=(rows != chat.pad_id).long()).logits.squeeze(-1)
    torch.testing.assert_close(right_padded, scores, rtol=1e-4, atol=1e-5)
    loaded, _, affine = load_reward_model(tmp_path / "reward", device="cpu")
    torch.testing.assert_close(loaded(pack(sequences)), scores)
    assert affine == Affine(0.5, 2.0)


def test_the_critic_begins_with_the_normalised_score(chat: Chat, folder: Path, tmp_path: Path) -> None:
    model, _ = reward_from_policy(folder, seed=3)
    save_reward_model(model, chat, Affine(mean=0.5, std=2.0), tmp_path / "reward")
    ids = chat.example(ASKED, "four").ids
    score = model(pack([Example(ids)]))
    last = pack([Example((*ids, 7), answer=len(ids))])  # the value before the token that follows
    scaled = critic_from_reward(tmp_path / "reward", device="cpu")(last)
    raw = critic_from_reward(tmp_path / "reward", device="cpu", affine=False)(last)
    torch.testing.assert_close(scaled, (score - 0.5) / 2.0)
    torch.testing.assert_close(raw, score)


def _edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def _pickle_only(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _cut_weights(folder: Path) -> None:
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-100])


def _remove_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / "model.safetensors").unlink(), "holds no weights"),
        (_pickle_only, "pickled weights"),
        (_cut_weights, "its weights are damaged"),
        (lambda f: (f / "config.json").unlink(), "no config.json"),
        (lambda f: (f / "config.json").write_text("{"), "not valid JSON"),
        (_remove_tokenizer, "no tokenizer"),
        (lambda f: _edit(f / "config.json", auto_map={"AutoModelForCausalLM": "m.M"}), "'auto_map' asks to run code"),
        (lambda f: _edit(f / "tokenizer_config.json", auto_map={"AutoTokenizer": "m.T"}), "'auto_map' asks to run"),
        (lambda f: _edit(f / "config.json", sub={"trust_remote_code": True}), "'trust_remote_code' asks to run"),
        (lambda f: _edit(f / "config.json", attn_implementation="some/kernel"), "asks to run code"),
        (lambda f: _edit(f / "config.json", model_type="unheard-of"), "is no architecture that transformers"),
        (lambda f: _edit(f / "config.json", num_hidden_layers=2), "the weights lack model.layers.1"),
        (lambda f: _edit(f / "config.json", architectures=["LlamaForTokenClassification"]), "is a reward model"),
    ],
)
def test_a_folder_that_is_no_sound_model_is_refused(folder: Path, spoil: Any, words: str) -> None:
    spoil(folder)
    with pytest.raises(InputError, match=words) as caught:
        load_policy(folder, device="cpu")
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_folder_and_no_reward_model(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such model folder"):
        load_policy(tmp_path / "nothing", device="cpu")
    with pytest.raises(InputError, match=r"the weights lack score\.weight"):
        load_reward_model(folder, device="cpu")


def test_a_reward_model_is_no_policy(chat: Chat, folder: Path, tmp_path: Path) -> None:
    model, _ = reward_from_policy(folder, seed=3)
    save_reward_model(model, chat, Affine(mean=0.0, std=1.0), tmp_path / "reward")
    with pytest.raises(InputError, match=r"reward: this is a reward model \(LlamaForSequenceClassification\)"):
        load_policy(tmp_path / "reward", device="cpu")


def test_a_stages_folder_is_not_its_models(folder: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_policy(folder.parent, device="cpu")
    assert f"did you mean {folder}?" in str(caught.value)


def test_a_model_that_mixes_tokens_otherwise_is_refused(chat: Chat, folder: Path, monkeypatch: Any) -> None:
    from heedful.models import agreement

    monkeypatch.setattr(agreement, "packed_hidden", lambda model, batch, at: torch.zeros(15, 16))
    with pytest.raises(InputError, match="other results on packed sequences"):
        load_policy(folder, device="cpu")


def test_weights_that_hold_nan_are_named(chat: Chat, folder: Path, tmp_path: Path) -> None:
    model, _ = reward_from_policy(folder, seed=3)
    with torch.no_grad():
        model.classifier.score.weight[0, 0] = torch.nan  # type: ignore[index,union-attr]
    save_reward_model(model, chat, Affine(mean=0.0, std=1.0), tmp_path / "broken")
    with pytest.raises(InputError, match=r"its weights hold NaN or infinity \(score\.weight\)"):
        load_reward_model(tmp_path / "broken", device="cpu")


def test_quiet_leaves_things_as_they_were() -> None:
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    with quiet():
        assert not logging.is_progress_bar_enabled()
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_policy_of_a_folder_trains(folder: Path) -> None:
    policy, chat = load_policy(folder, device="cpu")
    assert isinstance(policy, Policy)
    policy(pack(examples(chat))).sum().backward()
    assert all(p.grad is not None for p in policy.parameters())
