"""Which engine samples: heedful's own, or another behind the same interface."""

from __future__ import annotations

from typing import Literal

from heedful.config.sections import Section


class SamplerConfig(Section):
    """What writes the policy's answers; all engines give tokens and their log-probabilities."""

    type: Literal["native", "transformers", "vllm"] = "native"
    """`native`: heedful's own, or transformers for families that it doesn't know. `transformers`: always that, several
    times slower. `vllm`: vLLM in this process, where it is installed beside heedful."""
