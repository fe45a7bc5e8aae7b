"""The modules that `fit` trains: each wraps a transformers model and takes packed batches.

All work happens in `forward`, so that data-parallel and sharding wrappers see it.
"""

from __future__ import annotations

import sys
from math import sqrt

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from heedful.batches import PackedBatch
from heedful.models.attention import packed_hidden, use_packed_attention
from heedful.ops.linear_logprobs import linear_logprobs
from heedful.ops.logprobs import Divergence, chunked_collision, chunked_divergence, chunked_logprobs

SCALES = ("logits_scaling", "logit_scale", "final_logit_softcapping")  # what `Policy.head` knows of besides a product


def context_of(model: PreTrainedModel) -> int:
    """The most tokens that a model takes in one sequence."""
    return context_in(model.config)


def context_in(config: PretrainedConfig) -> int:
    """The same, of a model that is not loaded."""
    return int(getattr(config, "max_position_embeddings", None) or sys.maxsize)


def disable_dropout(model: nn.Module) -> None:
    """Dropout to 0 everywhere: the ratio of PPO is 1 at step zero only without it."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0  # type: ignore[assignment]


def _is_linear(lm: PreTrainedModel) -> bool:
    """Whether logits are h Wᵀ and nothing else, on a CPU, whose cache `linear_logprobs` is made for."""
    layer, config = lm.get_output_embeddings(), lm.config
    changed = any(getattr(config, name, None) for name in SCALES)
    here = type(layer.weight) is nn.Parameter and layer.weight.device.type == "cpu"  # whole, no sharded tensor
    return type(layer) is nn.Linear and layer.bias is None and not changed and here


class Policy(nn.Module):
    """A causal language model on packed batches."""

    def __init__(self, lm: PreTrainedModel) -> None:
        super().__init__()
        self.lm = lm
        disable_dropout(lm)
        use_packed_attention(lm)

    @property
    def vocabulary(self) -> int:
        return int(self.lm.get_output_embeddings().weight.shape[0])

    @property
    def context(self) -> int:
        return context_of(self.lm)

    def head(self, hidden: Tensor) -> Tensor:
        """Logits of hidden states, scaled and capped as the architecture asks. (n, H) -> (n, V)"""
        logits: Tensor = self.lm.get_output_embeddings()(hidden)
        config = self.lm.config
        if scale := getattr(config, "logits_scaling", None):  # Granite divides
            logits = logits / scale
        if scale := getattr(config, "logit_scale", None):  # Cohere multiplies
            logits = logits * scale
        if cap := getattr(config, "final_logit_softcapping", None):  # Gemma 2
            logits = torch.tanh(logits / cap) * cap
        return logits

    def hidden(self, batch: PackedBatch) -> Tensor:
        """The states from which each target is predicted: those of the token before it. -> (N, H)"""
        return packed_hidden(self.lm.base_model, batch, batch.targets - 1)

    def logprobs(self, hidden: Tensor, tokens: Tensor, temperature: float = 1.0) -> Tensor:
        """Log-probability of each token where these states stand. (n, H), (n,) -> (n,)"""
        if _is_linear(self.lm) and hidden.dtype == torch.float32:
            weight: Tensor = self.lm.get_output_embeddings().weight
            half = torch.is_autocast_enabled(hidden.device.type)
            return linear_logprobs(hidden if temperature == 1.0 else hidden / temperature, weight, tokens, half=half)
        return chunked_logprobs(hidden, tokens, self.head, vocabulary=self.vocabulary, temperature=temperature)

    def forward(self, batch: PackedBatch, temperature: float = 1.0) -> Tensor:
        """Log-probability of every target at this temperature. -> (N,)"""
        return self.logprobs(self.hidden(batch), batch.target_ids, temperature)

    @torch.no_grad()
    def divergence(self, reference: Policy, batch: PackedBatch, temperature: float = 1.0) -> Divergence:
        """What this policy and another say about every target, each network run once. -> (N,) each"""
        return chunked_divergence(
            self.hidden(batch),
            self.head,
            reference.hidden(batch),
            reference.head,
            batch.target_ids,
            vocabulary=self.vocabulary,
            temperature=temperature,
        )


class ConcentratedPolicy(nn.Module):
    """A policy that also tells how concentrated its next-token distributions are (for WPO), its network run once."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, batch: PackedBatch) -> tuple[Tensor, Tensor]:
        """Log-probability of every target, and without gradient log Σ_v π(v)² where it stands. -> (N,), (N,)"""
        hidden, head, vocabulary = self.policy.hidden(batch), self.policy.head, self.policy.vocabulary
        return self.policy.logprobs(hidden, batch.target_ids), chunked_collision(hidden, head, vocabulary=vocabulary)


class Classifier(nn.Module):
    """A transformers classifier that takes packed batches."""

    def __init__(self, classifier: PreTrainedModel) -> None:
        super().__init__()
        self.classifier = classifier
        disable_dropout(classifier)
        use_packed_attention(classifier)

    @property
    def context(self) -> int:
        return context_of(self.classifier)


class RewardModel(Classifier):
    """A sequence classifier with one label: the score stands at each sequence's last token."""

    def forward(self, batch: PackedBatch) -> Tensor:
        """Log-odds scores, before any affine. -> (B,)"""
        hidden = packed_hidden(self.classifier.base_model, batch, batch.ends)
        scores: Tensor = self.classifier.score(hidden)  # type: ignore[operator]
        return scores.squeeze(-1).float()


class Heads(Classifier):
    """A sequence or token classifier with K labels: K numbers at each position asked for."""

    @property
    def head(self) -> nn.Linear:
        """(K, H)"""
        head: nn.Linear = self.classifier.score  # type: ignore[assignment]
        return head

    def forward(self, batch: PackedBatch, at: Tensor) -> Tensor:
        """What the heads say behind each token of `at`, positions in (T,). (S,) -> (S, K)"""
        hidden = packed_hidden(self.classifier.base_model, batch, at)
        scores: Tensor = self.head(hidden)
        return scores.float()


class ValueModel(nn.Module):
    """The critic: one value for the state before each target."""

    def __init__(self, backbone: PreTrainedModel, score: nn.Linear) -> None:
        super().__init__()
        self.backbone = backbone
        self.score = score
        disable_dropout(backbone)
        use_packed_attention(backbone)

    def forward(self, batch: PackedBatch) -> Tensor:
        """-> (N,)"""
        hidden = packed_hidden(self.backbone, batch, batch.targets - 1)
        values: Tensor = self.score(hidden)
        return values.squeeze(-1).float()


class ActorCritic(nn.Module):
    """Policy and critic side by side, two networks, so that `fit` sees one model."""

    def __init__(self, policy: Policy, critic: ValueModel) -> None:
        super().__init__()
        self.policy = policy
        self.critic = critic

    def forward(self, batch: PackedBatch, text: PackedBatch, temperature: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probability of, and value before, every target; and of every target of a text mixed in, at temperature 1.

        `text` may hold no sequence at all. -> (N,), (N,), (targets of the text,)
        """
        logprobs, values = self.policy(batch, temperature), self.critic(batch)
        return logprobs, values, self.policy(text) if len(text.input_ids) else logprobs.new_zeros(0)


def init_score_head(score: nn.Linear, generator: torch.Generator) -> None:
    """Draw scalar heads with standard deviation 1/√(h+1) (Stiennon 2020; Huang 2024, detail 7)."""
    with torch.no_grad():
        score.weight.normal_(0.0, 1.0 / sqrt(score.in_features + 1), generator=generator)
        if score.bias is not None:
            score.bias.zero_()
