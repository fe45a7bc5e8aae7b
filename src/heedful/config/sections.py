"""Sections that several stages share. A field's doc string is what `--help` and the docs print."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


class IsPath:
    """Marks a config value that names a file or folder the stage reads."""


class IsCode:
    """Marks a config value that names Python code: `module:name`, or `file.py:name`, whose file the stage reads."""


class IsManner:
    """Marks a config value that says how something is computed and not what: a stage may go on with another.

    The result is the same but for rounding; where an engine samples, one of the same distribution.
    """


def _names_code(given: str) -> str:
    if not re.fullmatch(r"[^:]+:[A-Za-z_]\w*", given):
        raise ValueError("a function is named as module:function or file.py:function")
    return given


def _is_name(given: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", given):
        raise ValueError("a name has letters, digits, '.', '_' and '-', 64 at most, and begins with a letter or digit")
    return given


InputPath = Annotated[str, IsPath()]
CodePath = Annotated[str, IsCode(), AfterValidator(_names_code)]
CodePathOrNone = Annotated[str, IsCode(), AfterValidator(lambda given: _names_code(given) if given else given)]
Name = Annotated[str, AfterValidator(_is_name)]


class Section(BaseModel):
    """A part of a config: frozen, typos refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _keep_defaults(cls, given: Any) -> Any:
        """A section that is given in part keeps, for the rest, the defaults of the stage that it stands in."""
        if not isinstance(given, dict):
            return given
        defaults = {name: field.default for name, field in cls.model_fields.items()}
        return given | {
            name: defaults[name].model_dump() | part
            for name, part in given.items()
            if isinstance(part, dict)
            and isinstance(default := defaults.get(name), Section)
            and part.get("type") in (None, getattr(default, "type", None))  # another kind has other fields
        }


def changed(section: Section, *names: str) -> str:
    """The first of these keys that does not stand at its default; empty: none."""
    fields = type(section).model_fields
    return next((name for name in names if getattr(section, name) != fields[name].default), "")


class Architecture(Section):
    """The shape of a model trained from nothing."""

    family: Literal["llama", "qwen3"] = "llama"
    """Which transformers architecture to build."""
    vocabulary: int = Field(2048, ge=300)
    """Size of the byte-level BPE, special tokens included."""
    hidden: int = Field(128, ge=8)
    """Width of the residual stream."""
    layers: int = Field(3, ge=1)
    """Number of transformer blocks."""
    heads: int = Field(4, ge=1)
    """Attention heads."""
    kv_heads: int = Field(4, ge=1)
    """Key and value heads; fewer than `heads` shares them among groups."""
    feedforward: int = Field(384, ge=8)
    """Width of the gated feed-forward layer."""
    context: int = Field(256, ge=16)
    """Longest sequence in tokens."""


class Optim(Section):
    """AdamW and its schedule."""

    lr: float = Field(gt=0)
    """Peak learning rate."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """How the rate falls after warm-up."""
    final: float = Field(0.0, ge=0, le=1)
    """The last rate as a fraction of the peak."""
    warmup: int = Field(0, ge=0)
    """Steps of linear warm-up."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay on matrices."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Adam's moment decays."""
    eps: float = Field(1e-5, gt=0)
    """Adam's epsilon; 1e-5 keeps early updates gentle (Huang 2024, detail 14)."""
    clip: float = Field(1.0, gt=0)
    """Largest global gradient norm."""
    gain_rate: float = Field(1.0, gt=0)
    """Multiplies the rate of norm gains and biases. Gains are near 1 or 2 and matrix entries near 1/√width, so that one
    rate moves gains, and with them how sharp a policy is, by far less of their size."""


class EarlyStop(Section):
    """End training when a metric no longer gets better, and keep the weights of its best."""

    metric: str = ""
    """A logged metric: `heldout/loss` (or `heldout/` and any other metric of the stage's loss) is measured on held-out
    data, all others are those of metrics.jsonl; empty: off."""
    better: Literal["lower", "higher"] = "lower"
    """Which way is better."""
    patience: int = Field(3, ge=1)
    """Looks without a better value before training ends."""
    every: int = Field(50, ge=1)
    """Steps between two looks at held-out data; other metrics are looked at whenever they are logged."""

    @model_validator(mode="after")
    def _is_a_result(self) -> Self:
        if self.metric.startswith(("time/", "memory/")):
            raise ValueError(
                f"metric {self.metric} differs from run to run: choose one that does not measure the machine"
            )
        if not self.metric and self != EarlyStop.model_construct():
            raise ValueError("no metric is named, so nothing ends early: set metric, such as heldout/loss")
        return self


class Training(Section):
    """How a stage walks over its data."""

    epochs: float = Field(1.0, gt=0)
    """Passes over the data; a fraction is allowed."""
    tokens_per_batch: Annotated[int, IsManner()] = Field(16384, ge=64)
    """Most tokens in one forward pass; a step that holds more is accumulated. Lower it when memory is short."""
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    """Arithmetic of forward passes, those of reward models in a rollout included; weights and optimizer stay in
    float32. `auto`: bfloat16 on a card that has it; a processor is measured once."""
    sharding: Annotated[Literal["none", "full"], IsManner()] = "none"
    """Of several processes each holds all weights, gradients and moments, or its share of each (`full`, FSDP2)."""
    checkpoint_every: Annotated[int, IsManner()] = Field(200, ge=1)
    """Steps between checkpoints."""
    keep_checkpoints: Annotated[int, IsManner()] = Field(2, ge=1)
    """How many of the newest checkpoints to keep while the stage runs."""
    log_every: int = Field(10, ge=1)
    """Steps between lines in metrics.jsonl."""
    gradient_checkpointing: Annotated[bool, IsManner()] = False
    """Compute blocks again in the backward pass instead of keeping what they made: a third more time, less memory."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Decay of a running average of the weights, 0.99 for example; the stage saves the average. 0: off."""
    early_stop: EarlyStop = EarlyStop()


class Lora(Section):
    """Low-rank adapters instead of all weights (Hu 2021): far less memory; rates about ten times higher suit them."""

    rank: int = Field(0, ge=0)
    """r, 16 is usual; 0: off, all weights learn."""
    alpha: float = Field(0.0, ge=0)
    """α: adapters weigh α/r; 0: twice the rank."""
    layers: list[str] = []
    """Names of the layers that get adapters, such as `q_proj`; empty: every linear layer but the head."""

    @model_validator(mode="after")
    def _no_idle_settings(self) -> Self:
        if not self.rank and (self.alpha or self.layers):
            raise ValueError("rank is 0, so no adapters are made: set rank (16 is usual), or leave the section out")
        return self


class Generation(Section):
    """How a policy is sampled."""

    temperature: float = Field(1.0, ge=0)
    """Divides the logits; 0 is greedy."""
    max_new_tokens: int = Field(96, ge=1)
    """Where an answer is cut."""
    batch: Annotated[int, IsManner()] = Field(256, ge=1)
    """Rows decoded together."""


class KLControl(Section):
    """The leash: how much reward a nat of divergence from the reference costs."""

    type: Literal["fixed", "adaptive"] = "fixed"
    """`adaptive` steers `coefficient` towards `target` (Ziegler 2019)."""
    coefficient: float = Field(0.1, ge=0)
    """β, in units of the reward as paid."""
    target: float = Field(6.0, gt=0)
    """Sequence KL in nats that the adaptive controller aims at."""
    horizon: int = Field(10_000, ge=1)
    """Episodes over which the adaptive controller reacts."""
    stop: float = Field(100.0, gt=0)
    """Early stop: training ends, last good weights kept, when the sequence KL passes this many nats."""
    ema: float = Field(0.0, ge=0, lt=1)
    """How far the reference follows the policy after each rollout: reference ← (1 − ema) reference + ema policy. 0: it
    stays where it is. Above 0 the KL, and `stop` with it, is to the reference as it has become."""
    apart: bool = False
    """`reference` is meant to be another model than `model`, so that KL begins above 0; else such a one is refused."""

    @model_validator(mode="after")
    def _steers_what_is_set(self) -> Self:
        if self.type == "adaptive" and not self.coefficient:
            raise ValueError("coefficient is 0, and adaptive multiplies it: set kl.coefficient above 0 (0.1 is usual)")
        if self.type == "fixed" and (idle := changed(self, "target", "horizon")):
            raise ValueError(f"{idle} is read by type = 'adaptive' alone: set that type, or leave {idle} out")
        return self
