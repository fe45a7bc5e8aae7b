"""What a training step takes of memory, from the shape of what learns and the tokens of one forward pass: a prediction,
right within a factor of 1.5 (Llama). Plain arithmetic: the loop asks before a step, a dry run before anything.

Shapes: H hidden size, F feed-forward width, K width of all key heads, V vocabulary, T tokens of one forward pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FLOAT = 4  # bytes; weights, gradients and moments are float32 in any precision
LEARNING = 3 * FLOAT  # a weight's gradient and AdamW's two moments, beside the weight
HALF = 0.75  # of what is kept in float32 is kept where products are bfloat16: norms and sums stay
ONE_STEP = ("llama", "mistral")  # whose blocks compute as one step on a processor (`models.fused`)
RETAINED = 2**30  # bytes that the allocator keeps of what is freed while a processor trains (`train.processes`)
LOGITS = 2**27  # bytes of log-probabilities that are kept for the backward pass at most (`linear_logprobs`)


@dataclass(frozen=True, slots=True)
class Network:
    """What of a transformer's shape says how much a forward pass leaves behind."""

    hidden: int = 0
    layers: int = 0
    feedforward: int = 0
    keys: int = 0
    vocabulary: int = 0  # 0: it makes no logits
    one_step: bool = False  # whether a block keeps only what its gradient needs

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Network:
        """From a config.json; zeros where it does not say."""
        config = config.get("text_config") or config

        def first(*names: str) -> int:
            return next((int(config[name]) for name in names if config.get(name)), 0)

        hidden = first("hidden_size", "n_embd", "d_model")
        heads = first("num_attention_heads", "n_head") or 1  # mutants: equivalent
        return cls(
            hidden=hidden,
            layers=first("num_hidden_layers", "n_layer"),
            feedforward=first("intermediate_size", "n_inner") or 4 * hidden,
            keys=(first("num_key_value_heads") or heads) * (first("head_dim") or hidden // heads),
            vocabulary=first("vocab_size"),
            one_step=config.get("model_type") in ONE_STEP,
        )

    def kept(self, tokens: float, *, recompute: bool, half: bool) -> float:
        """Bytes that a forward and backward pass over T tokens holds at its peak, beside weights and gradients.

        A block keeps 10 H + 4 K + 4 F numbers a token, and one block's more are the backward pass's own. As one step it
        keeps 6 H + 2 K + 3 F, of which 2 H stay float32, and gives back as much as its backward pass takes. Where
        blocks are computed again they keep their inputs, but for the last, and one is whole at a time.
        """
        if self.one_step:
            products = 4 * self.hidden + 2 * self.keys + 3 * self.feedforward
            block, stream, more = 2 * self.hidden + products / (2 if half else 1), float(self.hidden), 0
        else:
            share = HALF if half else 1.0
            block, stream, more = (
                (10 * self.hidden + 4 * (self.keys + self.feedforward)) * share,
                share * self.hidden,
                1,
            )
        numbers = self.layers * stream + (1 + more) * block if recompute else (self.layers + more) * block
        return FLOAT * tokens * numbers + min(LOGITS, FLOAT * tokens * self.vocabulary)

    def cache(self, rows: float, columns: float) -> float:
        """Bytes of the keys and values of so many rows of so many tokens, while answers are sampled."""
        return 2.0 * FLOAT * self.layers * self.keys * rows * columns


def adapters(network: Network, rank: int) -> float:
    """Parameters of adapters of this rank beside every linear layer of all blocks: r (in + out) each."""
    h, f, k = network.hidden, network.feedforward, network.keys
    return float(network.layers * rank * (4 * h + 2 * (h + k) + 3 * (h + f)))
