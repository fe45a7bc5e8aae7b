"""What is measured: each benchmark's two sides, settings to choose from, unit and goal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from typing import Any, Literal

Settings = Mapping[str, Any]
Environment = Literal["ours", "trl", "trl-1.12", "vllm"]


@dataclass(frozen=True)
class Side:
    """One process that measures: `task` is `module:function` under benchmarks/.

    `choices` are questions of how it may be set, each with its answers; a pilot answers one after the other, and the
    fastest settings are measured.
    """

    environment: Environment
    task: str
    settings: Settings
    choices: Sequence[Sequence[Settings]] = ()
    label: str = ""
    alone: bool = False  # each of its settings needs a process of its own

    @property
    def device(self) -> str:
        """`cpu`, or `cuda`: an NVIDIA card."""
        return str(self.settings.get("device", "cpu"))


@dataclass(frozen=True)
class Benchmark:
    """Two sides and what is wanted of them."""

    name: str
    about: str
    unit: str
    goal: float | None  # least ratio, ours over the peer's (the peer's over ours where less is better)
    ours: Side
    peer: Side | None = None
    less_is_better: bool = False
    kind: Literal["pair", "points", "once"] = "pair"  # points: ours against its own prediction; once: no repeats
    short: Settings = field(default_factory=dict)  # what differs in runs that choose or warm up, and are not counted


FLOAT32, BFLOAT16 = {"precision": "float32"}, {"precision": "bfloat16"}
PRECISIONS = (FLOAT32, BFLOAT16)
SAMPLED = PRECISIONS  # what our own sampler computes in; each gives rows and choices below
SAMPLERS = tuple({"sampler": sampled["precision"]} for sampled in SAMPLED)  # the same, in a stage
CACHES = ({"cache": "dynamic"}, {"cache": "static"})  # transformers' own
CARD = "card/"  # what the names of benchmarks on a card begin with
# Sequences, or pairs, in a step of training; steps timed in a repeat, after one that is not.
ROWS = {"1m": 16, "15m": 16, "110m": 8, "0.5b": 32, "1.5b": 32, "8b": 8}
STEPS = {"1m": 10, "15m": 4, "110m": 2, "0.5b": 16, "1.5b": 8, "8b": 8}
EPISODES = {"1m": 64, "15m": 32, "110m": 16, "0.5b": 64}  # completions in a step on policy
CALLS = {"1m": 4, "15m": 4, "110m": 1, "0.5b": 2, "8b": 1}  # of the sampler in a repeat: the shortest lasts seconds
DECODED = {"1m": 32, "15m": 32, "110m": 32, "0.5b": 64, "8b": 64}  # rows together
ANSWER = {"1m": 128, "15m": 128, "110m": 128, "0.5b": 512, "8b": 512}  # most tokens
GROUP = 8  # completions of one prompt


def _training(stage: str, size: str, unit: str, goal: float | None, *choices: Sequence[Settings]) -> Benchmark:
    """Steps of a stage against steps of TRL's trainer; `choices` are what TRL's has besides the precision."""
    settings = {"stage": stage, "size": size, "rows": ROWS[size], "steps": STEPS[size]}
    whole = "one whole epoch: loading, the reference's log-probabilities, training and saving"
    return Benchmark(
        name=f"{stage}/{size}",
        about=whole if stage == "dpo" else f"training steps of {ROWS[size]} rows; start and saving left out",
        unit=unit,
        goal=goal,
        ours=Side("ours", "ours.training:task", settings, (PRECISIONS,)),
        peer=Side("trl", "peers.training:task", settings, (PRECISIONS, *choices), "TRL 1.16.0"),
        short={"steps": max(1, STEPS[size] // 3)},
    )


UNPADDED = ({}, {"padding_free": True})
PRECOMPUTED = ({}, {"precompute": True})  # the reference's log-probabilities, all before the first step


def _on_policy(
    stage: str,
    size: str,
    lengths: str,
    goal: float | None,
    version: Environment,
    label: str,
    *choices: Sequence[Settings],
) -> Benchmark:
    """The whole step against TRL's; `choices` are what TRL's has besides the precision."""
    settings = {
        "stage": stage,
        "size": size,
        "lengths": lengths,
        "episodes": EPISODES[size],
        "group": GROUP,
        "answer": ANSWER[size],
        "steps": max(1, STEPS[size] // 4),
    }
    return Benchmark(
        name=f"{stage}/{size}/{lengths}" if stage == "grpo" else f"{stage}/{size}",
        about=f"the whole step of {EPISODES[size]} completions: sampling, rewards, reference, update",
        unit="completions/s",
        goal=goal,
        ours=Side("ours", "ours.training:task", settings, (PRECISIONS, SAMPLERS)),
        peer=Side(version, f"peers.{stage}:task", settings, (PRECISIONS, *choices), label),
        short={"steps": 1},
    )


def _sampling(size: str, lengths: str, goal: float | None, precision: Settings) -> Benchmark:
    """Against `generate` in the same precision; the goal is float32's."""
    rows, answer = DECODED[size], ANSWER[size]
    settings = {"size": size, "lengths": lengths, "rows": rows, "answer": answer, "calls": CALLS[size]} | precision
    return Benchmark(
        name=f"sample/{size}/{lengths}" + ("" if precision is FLOAT32 else "/bfloat16"),
        about=f"{rows} rows, answers up to {answer} tokens, {lengths} lengths, {precision['precision']}",
        unit="tokens/s",
        goal=goal if precision is FLOAT32 else None,
        ours=Side("ours", "ours.sampling:task", settings),
        peer=Side("trl", "peers.generate:task", settings, (CACHES,), "transformers generate"),
        short={"answer": 48} if size == "110m" else {},
    )


def _continuous(size: str) -> Benchmark:
    rows, answer = DECODED[size], ANSWER[size]
    settings = {"size": size, "lengths": "skewed", "rows": rows, "answer": answer, "calls": CALLS[size]} | FLOAT32
    return Benchmark(
        name=f"sample/{size}/continuous",
        about=f"{rows} rows, answers up to {answer} tokens, skewed lengths, float32",
        unit="tokens/s",
        goal=None,
        ours=Side("ours", "ours.sampling:task", settings),
        peer=Side("trl", "peers.generate:task", settings | {"cache": "continuous"}, (), "transformers generate_batch"),
    )


def _vllm(size: str, goal: float) -> Benchmark:
    settings = {"size": size, "lengths": "uniform", "rows": 64, "answer": ANSWER[size], "calls": CALLS[size]}
    return Benchmark(
        name=f"sample/{size}/vllm",
        about=f"64 rows, answers of {ANSWER[size]} tokens, each side in its faster precision; start-up left out",
        unit="tokens/s",
        goal=goal,
        ours=Side("ours", "ours.sampling:task", settings, (SAMPLED,)),
        peer=Side("vllm", "peers.vllm:task", settings, (PRECISIONS,), "vLLM on CPU, compiled", alone=True),
    )


def _limit(size: str, goal: float | None, lora: int = 0) -> Benchmark:
    """lora: rank of adapters that learn alone: frozen weights need no gradient of their own, so 4·N operations."""
    adapters = {"lora": lora} if lora else {}
    settings = {"stage": "sft", "size": size, "rows": ROWS[size], "steps": STEPS[size]} | adapters
    learning, operations = ("adapters' training", 4) if lora else ("training", 6)
    return Benchmark(
        name=f"limit/train/{size}",
        about=f"{learning} against {operations}·N operations a token at the fastest matrix product measured beside it",
        unit="tokens/s",
        goal=goal,
        ours=Side("ours", "ours.training:task", settings, (PRECISIONS,)),
        peer=Side("ours", "ours.limit:task", {"size": size} | adapters, (PRECISIONS,), "the matrix products' limit"),
        short={"steps": max(1, STEPS[size] // 3)},
    )


def _memory(stage: str, size: str, goal: float | None) -> Benchmark:
    settings = {
        "stage": stage,
        "size": size,
        "lengths": "uniform",
        "episodes": EPISODES[size],
        "group": GROUP,
        "answer": ANSWER[size],
        "steps": 1,
        "precision": "float32",
    }
    return Benchmark(
        name=f"memory/{stage}/{size}",
        about=f"peak memory over two steps of {EPISODES[size]} completions",
        unit="GiB",
        goal=goal,
        ours=Side("ours", "ours.training:task", settings),
        peer=Side("trl", "peers.grpo:task", settings, (), "TRL 1.16.0") if stage == "grpo" else None,
        less_is_better=True,
        kind="once",
    )


def _scaling(name: str, about: str, goal: float | None, settings: Settings, *choices: Sequence[Settings]) -> Benchmark:
    return Benchmark(
        name=f"scaling/{name}",
        about=about,
        unit="µs/token",
        goal=goal,
        ours=Side("ours", "ours.scaling:task", {"axis": name} | settings, choices),
        kind="points",
    )


def _on_card(benchmark: Benchmark) -> Benchmark:
    """The same on an NVIDIA card, in bfloat16."""

    def there(side: Side) -> Side:
        asked = [question for question in side.choices if question is not PRECISIONS]
        return replace(side, settings=dict(side.settings) | BFLOAT16 | {"device": "cuda"}, choices=asked)

    return replace(
        benchmark,
        name=CARD + benchmark.name.removesuffix("/bfloat16"),
        about=f"{benchmark.about}; on a card",
        ours=there(benchmark.ours),
        peer=there(benchmark.peer) if benchmark.peer else None,
    )


TRL: tuple[Environment, str] = ("trl", "TRL 1.16.0")
TRL_PPO: tuple[Environment, str] = ("trl-1.12", "TRL 1.12.0")
GOALS = {  # of sampling
    "uniform": {"1m": 4.0, "15m": 3.0, "110m": 2.5},
    "skewed": {"1m": 8.0, "15m": 7.0, "110m": 5.0},
}
ON_CARDS = [  # no goals were set for them
    _training("sft", "0.5b", "tokens/s", None, UNPADDED),
    _training("sft", "1.5b", "tokens/s", None, UNPADDED),
    _training("reward", "0.5b", "pairs/s", None),
    _training("dpo", "0.5b", "pairs/s", None, UNPADDED, PRECOMPUTED),
    _on_policy("grpo", "0.5b", "uniform", None, *TRL, CACHES),
    _on_policy("grpo", "0.5b", "skewed", None, *TRL, CACHES),
    _on_policy("ppo", "0.5b", "skewed", None, *TRL_PPO),
    _sampling("0.5b", "uniform", None, BFLOAT16),
    _sampling("0.5b", "skewed", None, BFLOAT16),
    _sampling("8b", "uniform", None, BFLOAT16),
    _limit("0.5b", None),
    _limit("1.5b", None),
    _limit("8b", None, lora=16),
    _memory("grpo", "0.5b", None),
]
BENCHMARKS: list[Benchmark] = [
    *(_training("sft", s, "tokens/s", g, UNPADDED) for s, g in (("1m", 6.0), ("15m", 4.0), ("110m", 3.0))),
    *(_training("reward", s, "pairs/s", g) for s, g in (("1m", 3.0), ("15m", 2.0))),
    *(_training("dpo", s, "pairs/s", g, UNPADDED, PRECOMPUTED) for s, g in (("1m", 7.0), ("15m", 4.0))),
    _on_policy("grpo", "1m", "uniform", 4, *TRL, CACHES),
    _on_policy("grpo", "15m", "uniform", 3, *TRL, CACHES),
    _on_policy("grpo", "1m", "skewed", 6, *TRL, CACHES),
    _on_policy("grpo", "15m", "skewed", 4, *TRL, CACHES),
    _on_policy("ppo", "1m", "skewed", 5, *TRL_PPO),
    _on_policy("ppo", "15m", "skewed", 3, *TRL_PPO),
    *(_sampling(s, lengths, g, p) for lengths, goals in GOALS.items() for s, g in goals.items() for p in SAMPLED),
    _continuous("15m"),
    _vllm("1m", 1.5),
    _vllm("15m", 1.1),
    _limit("15m", 0.4),
    _limit("110m", 0.5),
    _memory("grpo", "110m", 1.4),
    _memory("ppo", "110m", None),
    _scaling("parameters", "training: cost a token from 1m to 110m, predicted by 6·N", None, {}, PRECISIONS),
    _scaling("length", "training 15m: cost a token from 128 to 1,024 tokens a row", 0.8, {"size": "15m"}, PRECISIONS),
    _scaling("batch", "training 15m: cost a token from 4 to 64 rows a step", None, {"size": "15m"}, PRECISIONS),
    _scaling("vocabulary", "training: cost a token from 4,096 to 128,000 words", 0.8, {"size": "15m"}, PRECISIONS),
    _scaling("rows", "sampling 15m: cost a token from 8 to 64 rows together", 0.8, {"size": "15m"}),
    _scaling("completions", "sampling 15m: cost a token from 1 to 16 answers a prompt", None, {"size": "15m"}),
    *map(_on_card, ON_CARDS),
]


def chosen(patterns: Sequence[str]) -> list[Benchmark]:
    """The benchmarks whose names a pattern fits: a whole name, its beginning, or with `*`. No pattern: all.

    ValueError: a pattern fits none.
    """
    if not patterns:
        return BENCHMARKS
    for pattern in patterns:
        if not any(_fits(b.name, pattern) for b in BENCHMARKS):
            raise ValueError(f"no benchmark is called '{pattern}': see python -m benchmarks --list")
    return [b for b in BENCHMARKS if any(_fits(b.name, pattern) for pattern in patterns)]


def _fits(name: str, pattern: str) -> bool:
    whole = any(benchmark.name == pattern for benchmark in BENCHMARKS)
    return fnmatch(name, pattern) or (not whole and name.startswith(pattern.rstrip("/") + "/"))
