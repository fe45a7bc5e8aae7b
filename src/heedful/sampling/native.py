"""The native sampler: batched decoding over a policy's own weights, with cached keys and values.

Continuous batching: a finished row leaves at once (the last row takes its place), and waiting prompts join when enough
places are free. A prompt that several consecutive answers share is computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from heedful.data.packing import Example, groups_by_tokens, pack
from heedful.models.heads import Policy, context_of
from heedful.models.layout import Layout, band
from heedful.sampling.answers import Answers, Room
from heedful.sampling.cache import Cache
from heedful.sampling.linear import Packing
from heedful.sampling.protocol import Sampled, SamplingParams
from heedful.sampling.waiting import Waiting
from heedful.sampling.weights import Block, Weights, can_compile, read_weights

if TYPE_CHECKING:
    from heedful.sampling.compiled.rows import CompiledRows

PREFILL_TOKENS = 8192  # prompt tokens computed together


class NativeSampler:
    """For the families that `can_read` names. Raises InputError where a prompt leaves no room for an answer.

    products: what products read, keys and values included, float32 or bfloat16. In bfloat16 torch's calls compute over
    a copy of the policy, made at each call, and otherwise in the policy's own dtype.
    """

    def __init__(self, policy: Policy, products: torch.dtype = torch.float32) -> None:
        self._policy, self._products = policy, products
        self._room = Room(context_of(policy.lm))

    def update(self, model: Policy) -> None:
        self._policy = model
        self._room.context = context_of(model.lm)

    @torch.inference_mode()
    def sample(self, prompts: Sequence[Sequence[int]], params: SamplingParams, seeds: Sequence[int]) -> list[Sampled]:
        limits = self._room.limits(prompts, params.max_new_tokens)
        answers = Answers(limits, params, seeds, self._policy.lm.device)
        if prompts:
            columns = max(len(prompt) + limit for prompt, limit in zip(prompts, limits, strict=True))
            waiting = Waiting(prompts, min(params.batch, len(prompts)))
            rows = _rows(self._policy, self._products, waiting, columns, max(limits))
            while rows.wait_for(answers):
                rows.step(answers)
        return answers.finished()


def _rows(policy: Policy, products: torch.dtype, waiting: Waiting, columns: int, steps: int) -> CompiledRows | Rows:
    if can_compile(policy):
        from heedful.sampling.compiled.rows import CompiledRows

        return CompiledRows(policy, waiting, columns, products)
    return Rows(_halved(policy) if products == torch.bfloat16 else policy, waiting, columns, steps)


def _halved(policy: Policy) -> Policy:
    """A copy whose parameters are bfloat16."""
    parameters = {id(p): nn.Parameter(p.detach().bfloat16(), requires_grad=False) for p in policy.parameters()}
    return deepcopy(policy, parameters)  # type: ignore[arg-type]


class Rows:
    """The rows being decoded. Row r stands for answer samples[r], has lengths[r] tokens cached and feeds tokens[r]."""

    def __init__(self, policy: Policy, waiting: Waiting, columns: int, steps: int) -> None:
        slots, self._waiting = waiting.slots, waiting
        embeddings = policy.lm.get_input_embeddings().weight
        self._weights: Weights = read_weights(policy, columns, Packing(slots, steps))
        self._cache = Cache(self._weights, slots, columns, embeddings)
        self.samples = self.lengths = self.tokens = torch.zeros(0, dtype=torch.long, device=embeddings.device)

    def wait_for(self, answers: Answers) -> bool:
        """Let prompts join where there is room. False when all answers are finished."""
        if samples := self._waiting.join(self._waiting.slots - len(self.samples)):
            self._join(samples)
        return len(self.samples) > 0

    def _join(self, samples: list[int]) -> None:
        """Cache all but the last token of each prompt."""
        beginnings, shared = self._waiting.beginnings(samples)
        first = len(self.samples)
        for group in groups_by_tokens([len(ids) for ids in beginnings], PREFILL_TOKENS):
            rows = [index - group[0] for index in shared if group[0] <= index <= group[-1]]
            self._prefill([Example(beginnings[index]) for index in group], rows, first)
            first += len(rows)
        lengths = [len(self._waiting.prompts[sample]) - 1 for sample in samples]
        last = [self._waiting.prompts[sample][-1] for sample in samples]
        self.samples = torch.cat([self.samples, self.samples.new_tensor(samples)])
        self.lengths = torch.cat([self.lengths, self.lengths.new_tensor(lengths)])
        self.tokens = torch.cat([self.tokens, self.tokens.new_tensor(last)])

    def _prefill(self, beginnings: list[Example], shared: list[int], first: int) -> None:
        """Run packed prompts through the model; row first + i gets the keys and values of beginnings[shared[i]]."""
        packed = pack(beginnings).to(self.tokens.device)
        layout = Layout.of(packed)
        everything = torch.arange(len(packed.input_ids), device=self.tokens.device)
        ranges = torch.split_with_sizes(everything, [len(example.ids) for example in beginnings])
        source = torch.cat([ranges[index] for index in shared])  # a token for every place to fill
        lengths = packed.lengths[self.tokens.new_tensor(shared)]
        rows = torch.arange(first, first + len(shared), device=lengths.device).repeat_interleave(lengths)
        columns = packed.position_ids[source]
        place = self._weights.place(packed.position_ids)
        x = self._weights.embed(packed.input_ids, packed.position_ids)
        for layer, block in enumerate(self._weights.blocks):
            q, k, v = block.project(x, place)
            self._cache.fill(layer, rows, columns, k[source], v[source])
            if layer + 1 < len(self._weights.blocks):  # nobody reads what the last layer would make of the prompt
                x = block.finish(x, _attend_packed(q, k, v, layout, block))

    def step(self, answers: Answers) -> None:
        """One more token for every row; rows that end leave."""
        reaches = {window: self._cache.reach(self.lengths, window) for window in self._weights.windows}
        place = self._weights.place(self.lengths)
        x = self._weights.embed(self.tokens, self.lengths)
        for layer, block in enumerate(self._weights.blocks):
            q, k, v = block.project(x, place)
            x = block.finish(x, self._cache.attend(layer, q, k, v, reaches[block.window], block.scaling))
        self.tokens, ended = answers.extend(self.samples, self._weights.head(self._weights.norm(x)))
        self.lengths = self.lengths + 1
        if bool(ended.any()):
            self._leave(ended)

    def _leave(self, ended: Tensor) -> None:
        """Close the gaps: rows from the end take the places of those that ended."""
        kept = int((~ended).sum())
        gaps = ended[:kept].nonzero().squeeze(-1)
        movers = (~ended[kept:]).nonzero().squeeze(-1) + kept
        if len(gaps):
            self._cache.move(movers, gaps, int(self.lengths.max()))
        for rows in (self.samples, self.lengths, self.tokens):
            rows[gaps] = rows[movers]
        self.samples, self.lengths, self.tokens = self.samples[:kept], self.lengths[:kept], self.tokens[:kept]


def _attend_packed(q: Tensor, k: Tensor, v: Tensor, layout: Layout, block: Block) -> Tensor:
    """Each prompt attends to itself, causally and within the block's window. q (T, Q, D) -> (T, Q·D)"""
    queries, keys, values = (layout.spread(states.transpose(0, 1)[None]) for states in (q, k, v))
    inside = band(layout.longest, block.window, q.device) if layout.longest > block.window else None
    out = scaled_dot_product_attention(
        queries,
        keys,
        values,
        attn_mask=inside,
        is_causal=inside is None,
        scale=block.scaling,
        enable_gqa=q.shape[1] != k.shape[1],
    )
    return layout.gather(out)[0].flatten(1)
