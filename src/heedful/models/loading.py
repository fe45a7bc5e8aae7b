"""Everyone's models in and out: transformers folders with safetensors weights, tokenizer and chat template."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from heedful.config import Architecture
from heedful.data.chat import Chat
from heedful.data.ratings import Criterion
from heedful.errors import InputError
from heedful.models.adapters import base_of, is_adapter
from heedful.models.agreement import check_policy, check_reward_model
from heedful.models.folders import open_config, open_model, quiet, say
from heedful.models.heads import Policy, RewardModel, ValueModel, context_in, init_score_head
from heedful.models.lora import has_adapters, merge_adapters, write_adapters
from heedful.run import atomic_folder

Device = torch.device | str
HEAD = "score.weight"


@dataclass(frozen=True, slots=True)
class Affine:
    """The scale of a reward model's scores on SFT samples: normalised = (score − mean)/std."""

    mean: float
    std: float


def new_policy(architecture: Architecture, chat: Chat, seed: int) -> Policy:
    """A model of random weights, drawn from the seed, with the tokenizer's vocabulary."""
    shape = architecture
    for name, heads in (("heads", shape.heads), ("kv_heads", shape.kv_heads)):
        divided, what = (shape.hidden, "hidden") if name == "heads" else (shape.heads, "heads")
        if divided % heads:
            raise InputError(f"architecture.{what} = {divided} is no multiple of architecture.{name} = {heads}")
    if shape.hidden // shape.heads % 2:
        raise InputError(
            f"architecture.hidden / heads = {shape.hidden // shape.heads} must be even: rotary positions turn pairs"
        )
    match shape.family:
        case "llama":
            kind, configure = LlamaForCausalLM, LlamaConfig
        case "qwen3":
            kind, configure = Qwen3ForCausalLM, Qwen3Config
    config = configure(
        vocab_size=len(chat.tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=shape.feedforward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.hidden // shape.heads,
        max_position_embeddings=shape.context,
        tie_word_embeddings=True,
        initializer_range=sqrt(2 / (5 * shape.hidden)),  # "small init" (Nguyen & Salazar 2019): .02 starves narrow ones
        bos_token_id=chat.tokenizer.bos_token_id,
        eos_token_id=chat.document_end,
        pad_token_id=chat.pad_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        lm = kind(config)
    _name_special_tokens(lm, chat)
    return Policy(lm)


def load_policy(folder: str | Path, *, device: Device) -> tuple[Policy, Chat]:
    """A causal language model and its tokenizer, completed where it lacks PAD, EOS or a template.

    InputError: see `open_model`; also where packed sequences would change what the model says.
    """
    policy = Policy(open_model(AutoModelForCausalLM, folder))
    chat = join(policy.lm, folder)
    check_policy(policy)
    return policy.to(device), chat


def reader_of(folder: str | Path) -> tuple[Chat, int]:
    """A policy's tokenizer and the most tokens that it takes, without its weights. InputError: see `open_model`."""
    return Chat.load(_with_tokenizer(Path(folder))), context_in(open_config(folder))


def save_policy(policy: Policy, chat: Chat, folder: Path) -> None:
    """A folder that plain transformers loads; there whole or not at all. Adapters: see `_merged`."""
    save(policy.lm, chat, folder)


def reward_from_policy(policy_folder: str | Path, seed: int) -> tuple[RewardModel, Chat]:
    """A policy's backbone under a new scalar head, drawn from the seed."""
    classifier = open_model(AutoModelForSequenceClassification, policy_folder, new=frozenset({HEAD}), num_labels=1)
    init_score_head(_score_head(classifier, policy_folder), torch.Generator().manual_seed(seed))
    chat = join(classifier, policy_folder)
    model = RewardModel(classifier)
    check_reward_model(model)
    return model, chat


def load_reward_model(folder: str | Path, *, device: Device) -> tuple[RewardModel, Chat, Affine]:
    """A sequence classifier with one label, its tokenizer, and the scale of its scores (0 and 1 where none is)."""
    classifier = open_model(AutoModelForSequenceClassification, folder)
    _score_head(classifier, folder)
    chat = join(classifier, folder)
    model = RewardModel(classifier)
    check_reward_model(model)
    return model.to(device), chat, affine_of(classifier)


def save_reward_model(model: RewardModel, chat: Chat, affine: Affine, folder: Path) -> None:
    """A classifier in log-odds that plain transformers loads, the affine in its config. Adapters: see `_merged`."""
    model.classifier.config.heedful_score_mean = affine.mean
    model.classifier.config.heedful_score_std = affine.std
    save(model.classifier, chat, folder)


def critic_from_reward(folder: str | Path, *, device: Device, affine: bool = True) -> ValueModel:
    """A critic that begins with the reward model's opinion of unfinished answers, in the units that PPO is paid in.

    affine: scores are paid as (score − mean)/std, so the head is scaled the same way.
    """
    classifier = open_model(AutoModelForSequenceClassification, folder)
    weight, bias = scalar_head(classifier, folder)
    scale = affine_of(classifier) if affine else Affine(0.0, 1.0)
    score = nn.Linear(weight.shape[1], 1)
    with torch.no_grad():
        score.weight.copy_(weight / scale.std)
        score.bias.copy_((bias - scale.mean) / scale.std)
    return ValueModel(classifier.base_model, score).to(device)


def affine_of(classifier: PreTrainedModel) -> Affine:
    """The scale that a classifier's config holds; 0 and 1 where it holds none."""
    config = classifier.config
    return Affine(float(getattr(config, "heedful_score_mean", 0.0)), float(getattr(config, "heedful_score_std", 1.0)))


def _score_head(classifier: PreTrainedModel, folder: str | Path) -> nn.Linear:
    """The linear head of a decoder with one label."""
    head = getattr(classifier, "score", None)
    if not isinstance(head, nn.Linear) or head.out_features != 1:
        raise InputError(
            f"{folder}: {type(classifier).__name__} is no reward model: it needs a linear head `score` with one label"
        )
    return head


def criteria_in(classifier: PreTrainedModel) -> tuple[Criterion, ...]:
    """The heads' names, scales and weights that a classifier's config holds; none where it has one head."""
    return tuple(Criterion(**row) for row in getattr(classifier.config, "heedful_criteria", None) or ())


def scalar_head(classifier: PreTrainedModel, folder: str | Path) -> tuple[Tensor, Tensor]:
    """The linear map from a hidden state to the reward; of several heads, their weighted sum. (1, H), (1,)"""
    criteria = criteria_in(classifier)
    head = classifier.score if criteria else _score_head(classifier, folder)
    mix = torch.tensor([[c.weight * c.std for c in criteria] or [1.0]])
    bias = head.bias.detach() if head.bias is not None else torch.zeros(head.out_features)
    return mix @ head.weight.detach(), mix @ bias + sum(c.weight * c.mean for c in criteria)


def join(model: PreTrainedModel, folder: str | Path) -> Chat:
    """The folder's tokenizer, and the model made to know all of its tokens."""
    chat = Chat.load(_with_tokenizer(Path(folder)))
    for note in chat.notes:
        say(f"{folder}: {note}")
    rows, tokens = model.get_input_embeddings().weight.shape[0], max(chat.tokenizer.get_vocab().values()) + 1
    if tokens > rows:
        _grow(model, rows, tokens)
        say(f"{folder}: embeddings grew from {rows} to {tokens} tokens; the new ones begin at the mean of the old")
    _name_special_tokens(model, chat)
    return chat


def _with_tokenizer(folder: Path) -> Path:
    """Adapters that came without a tokenizer use their base's."""
    bare = is_adapter(folder) and not (folder / "tokenizer_config.json").exists()
    return _with_tokenizer(base_of(folder)) if bare else folder


def _grow(model: PreTrainedModel, rows: int, tokens: int) -> None:
    """New rows at the mean of the old: no token becomes likely by chance (Hewitt 2021)."""
    with quiet():
        model.resize_token_embeddings(tokens, mean_resizing=False)
    with torch.no_grad():
        for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
            if layer is not None:
                layer.weight[rows:] = layer.weight[:rows].mean(0)


def _name_special_tokens(model: PreTrainedModel, chat: Chat) -> None:
    """PAD and EOS in the configs, so that other tools pad and stop as heedful does."""
    model.config.pad_token_id = chat.pad_id
    model.config.eos_token_id = chat.document_end
    if model.can_generate():
        ends = list(dict.fromkeys([chat.eos_id, chat.document_end]))
        model.generation_config.pad_token_id = chat.pad_id
        model.generation_config.eos_token_id = ends if len(ends) > 1 else ends[0]


def _merged(model: PreTrainedModel, chat: Chat, folder: Path) -> None:
    """Training with adapters ends here: they are written to `adapter/` beside the folder, and merged into the model."""
    if not has_adapters(model):
        return
    home = folder.with_name("adapter")
    with atomic_folder(home) as scratch:
        write_adapters(model, scratch, home)
        chat.tokenizer.save_pretrained(scratch)
    gap = merge_adapters(model)
    say(f"{folder}: adapters merged, outputs equal within {gap:.1g}; the adapters alone are in {home}")


def save(model: PreTrainedModel, chat: Chat, folder: Path) -> None:
    """A model as transformers writes it, with its tokenizer. Adapters: see `_merged`."""
    _merged(model, chat, folder)
    with atomic_folder(folder) as scratch, quiet():
        model.save_pretrained(scratch)
        chat.tokenizer.save_pretrained(scratch)
