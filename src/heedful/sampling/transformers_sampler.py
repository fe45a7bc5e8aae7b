"""The fallback: any causal model through its own transformers forward pass, slower than the native sampler.

The loop is ours, because `generate` neither seeds each sample by itself nor returns exact log-probabilities cheaply.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache

from heedful.models.attention import plain_attention
from heedful.models.heads import Policy, context_of
from heedful.sampling.answers import Answers, Room
from heedful.sampling.protocol import Sampled, SamplingParams

THIN = 0.5  # finished rows leave when no more than this share is left


class TransformersSampler:
    """Left-padded batches with position ids and a growing cache."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._room = Room(context_of(policy.lm))

    def update(self, model: Policy) -> None:
        self._policy = model
        self._room.context = context_of(model.lm)

    @torch.inference_mode()
    def sample(self, prompts: Sequence[Sequence[int]], params: SamplingParams, seeds: Sequence[int]) -> list[Sampled]:
        limits = self._room.limits(prompts, params.max_new_tokens)
        device = self._policy.lm.device
        answers = Answers(limits, params, seeds, device)
        with plain_attention(self._policy.lm):  # packed attention keeps no cache
            for first in range(0, len(prompts), params.batch):
                part = prompts[first : first + params.batch]
                self._batch(part, torch.arange(first, first + len(part), device=device), answers)
        return answers.finished()

    def _batch(self, prompts: Sequence[Sequence[int]], samples: Tensor, answers: Answers) -> None:
        """Answer some prompts together until all have ended."""
        longest = max(len(prompt) for prompt in prompts)
        pad = answers.params.pad_id
        tokens = samples.new_tensor([[pad] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
        lengths = samples.new_tensor([len(prompt) for prompt in prompts])
        mask = (torch.arange(longest, device=samples.device) >= longest - lengths[:, None]).long()  # (n, longest)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        cache = DynamicCache(config=self._policy.lm.config)
        ended = torch.zeros_like(samples, dtype=torch.bool)
        while True:
            logits = self._logits(tokens, mask, positions, cache)
            alive = (~ended).nonzero().squeeze(-1)
            drawn, done = answers.extend(samples[alive], logits[alive])
            ended[alive] = done
            tokens = tokens[:, -1].index_put((alive,), drawn)[:, None]  # ended rows repeat themselves, unread
            mask, positions = torch.cat([mask, mask[:, -1:]], -1), positions[:, -1:] + 1
            left = len(done) - int(done.sum())
            if left == 0:
                return
            if left <= THIN * len(samples):
                kept = (~ended).nonzero().squeeze(-1)
                cache.batch_select_indices(kept)
                samples, tokens, mask, positions = samples[kept], tokens[kept], mask[kept], positions[kept]
                ended = ended[kept]

    def _logits(self, tokens: Tensor, mask: Tensor, positions: Tensor, cache: DynamicCache) -> Tensor:
        """Logits after each row's last token. -> (n, V)"""
        output = self._policy.lm.base_model(
            input_ids=tokens, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
        )
        return self._policy.head(output.last_hidden_state[:, -1])
