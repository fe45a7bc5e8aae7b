"""Which engine samples: heedful's own, or another behind the same interface."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from heedful.config.sections import IsManner, Section, changed


class SamplerConfig(Section):
    """What writes the policy's answers; all engines give tokens and their log-probabilities."""

    type: Annotated[Literal["native", "transformers", "vllm", "vllm_server"], IsManner()] = "native"
    """`native`: heedful's own, or transformers for families that it doesn't know. `transformers`: always that, several
    times slower. `vllm`: vLLM in this process, where it is installed beside heedful. `vllm_server`: a vLLM server that
    you started."""
    precision: Annotated[Literal["float32", "bfloat16"], IsManner()] = "float32"
    """What products, keys and values are in; on processors sums stay in float32. `bfloat16`: `native` on cards that
    have it and on processors with AVX512_BF16 (elsewhere it says so and takes float32), `vllm`, and a server that was
    started with it. Old log-probabilities are the trainer's own either way; `importance_cap` corrects for the gap."""
    url: Annotated[str, IsManner()] = Field("http://127.0.0.1:8000", pattern=r"^https?://[^\s/]+(/\S*)?$")
    """Where the server of `vllm_server` listens."""
    folder: Annotated[str, IsManner()] = ""
    """Where new weights are left for that server, a folder that both see; empty: this machine's temporary one."""

    @model_validator(mode="after")
    def _reads_what_is_set(self) -> Self:
        if self.type != "vllm_server" and (idle := changed(self, "url", "folder")):
            raise ValueError(f"{idle} is read by type = 'vllm_server' alone: set that type, or leave {idle} out")
        if self.type == "transformers" and changed(self, "precision"):
            raise ValueError("type = 'transformers' samples in the policy's own precision: leave precision out")
        return self
