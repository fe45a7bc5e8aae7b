"""What is measured: each benchmark's two sides, settings to choose from, unit and goal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
CACHES = ({"cache": "dynamic"}, {"cache": "static"})  # transformers' own
ROWS = {"1m": 16, "15m": 16, "110m": 8}  # sequences, or pairs, in a step of training
STEPS = {"1m": 10, "15m": 4, "110m": 2}  # timed in a repeat, after one that is not
EPISODES = {"1m": 64, "15m": 32, "110m": 16}  # completions in a step on policy
CALLS = {"1m": 4, "15m": 4, "110m": 1}  # of the sampler in a repeat, so that the shortest lasts seconds
GROUP = 8  # completions of one prompt
ANSWER = 128  # most tokens in an answer


def _training(stage: str, size: str, unit: str, goal: float, *choices: Sequence[Settings]) -> Benchmark:
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
    stage: str, size: str, lengths: str, goal: float, version: Environment, label: str, *choices: Sequence[Settings]
) -> Benchmark:
    """The whole step against TRL's; `choices` are what TRL's has besides the precision."""
    settings = {
        "stage": stage,
        "size": size,
        "lengths": lengths,
        "episodes": EPISODES[size],
        "group": GROUP,
        "answer": ANSWER,
        "steps": max(1, STEPS[size] // 4),
    }
    samplers = tuple({"sampler": sampled["precision"]} for sampled in SAMPLED)
    return Benchmark(
        name=f"{stage}/{size}/{lengths}" if stage == "grpo" else f"{stage}/{size}",
        about=f"the whole step of {EPISODES[size]} completions: sampling, rewards, reference, update",
        unit="completions/s",
        goal=goal,
        ours=Side("ours", "ours.training:task", settings, (PRECISIONS, samplers)),
        peer=Side(version, f"peers.{stage}:task", settings, (PRECISIONS, *choices), label),
        short={"steps": 1},
    )


def _sampling(size: str, lengths: str, goal: float, precision: Settings) -> Benchmark:
    """Against `generate` in the same precision; the goal is float32's."""
    settings = {"size": size, "lengths": lengths, "rows": 32, "answer": ANSWER, "calls": CALLS[size]} | precision
    return Benchmark(
        name=f"sample/{size}/{lengths}" + ("" if precision is FLOAT32 else "/bfloat16"),
        about=f"32 rows, answers up to {ANSWER} tokens, {lengths} lengths, {precision['precision']}",
        unit="tokens/s",
        goal=goal if precision is FLOAT32 else None,
        ours=Side("ours", "ours.sampling:task", settings),
        peer=Side("trl", "peers.generate:task", settings, (CACHES,), "transformers generate"),
        short={"answer": 48} if size == "110m" else {},
    )


def _continuous(size: str) -> Benchmark:
    settings = {"size": size, "lengths": "skewed", "rows": 32, "answer": ANSWER, "calls": CALLS[size]} | FLOAT32
    return Benchmark(
        name=f"sample/{size}/continuous",
        about=f"32 rows, answers up to {ANSWER} tokens, skewed lengths, float32",
        unit="tokens/s",
        goal=None,
        ours=Side("ours", "ours.sampling:task", settings),
        peer=Side("trl", "peers.generate:task", settings | {"cache": "continuous"}, (), "transformers generate_batch"),
    )


def _vllm(size: str, goal: float) -> Benchmark:
    settings = {"size": size, "lengths": "uniform", "rows": 64, "answer": ANSWER, "calls": CALLS[size]}
    return Benchmark(
        name=f"sample/{size}/vllm",
        about=f"64 rows, answers of {ANSWER} tokens, each side in its faster precision; start-up left out",
        unit="tokens/s",
        goal=goal,
        ours=Side("ours", "ours.sampling:task", settings, (SAMPLED,)),
        peer=Side("vllm", "peers.vllm:task", settings, (PRECISIONS,), "vLLM on CPU, compiled", alone=True),
    )


def _limit(size: str, goal: float) -> Benchmark:
    settings = {"stage": "sft", "size": size, "rows": ROWS[size], "steps": STEPS[size]}
    return Benchmark(
        name=f"limit/train/{size}",
        about="training against 6·N operations a token at the fastest matrix product measured beside it",
        unit="tokens/s",
        goal=goal,
        ours=Side("ours", "ours.training:task", settings, (PRECISIONS,)),
        peer=Side("ours", "ours.limit:task", {"size": size}, (PRECISIONS,), "the matrix products' limit"),
        short={"steps": max(1, STEPS[size] // 3)},
    )


def _memory(stage: str, goal: float | None) -> Benchmark:
    settings = {
        "stage": stage,
        "size": "110m",
        "lengths": "uniform",
        "episodes": EPISODES["110m"],
        "group": GROUP,
        "answer": ANSWER,
        "steps": 1,
        "precision": "float32",
    }
    return Benchmark(
        name=f"memory/{stage}/110m",
        about=f"peak memory of the process over two steps of {EPISODES['110m']} completions",
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


TRL: tuple[Environment, str] = ("trl", "TRL 1.16.0")
TRL_PPO: tuple[Environment, str] = ("trl-1.12", "TRL 1.12.0")
GOALS = {  # of sampling
    "uniform": {"1m": 4.0, "15m": 3.0, "110m": 2.5},
    "skewed": {"1m": 8.0, "15m": 7.0, "110m": 5.0},
}
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
    _memory("grpo", 1.4),
    _memory("ppo", None),
    _scaling("parameters", "training: cost a token from 1m to 110m, predicted by 6·N", None, {}, PRECISIONS),
    _scaling("length", "training 15m: cost a token from 128 to 1,024 tokens a row", 0.8, {"size": "15m"}, PRECISIONS),
    _scaling("batch", "training 15m: cost a token from 4 to 64 rows a step", None, {"size": "15m"}, PRECISIONS),
    _scaling("vocabulary", "training: cost a token from 4,096 to 128,000 words", 0.8, {"size": "15m"}, PRECISIONS),
    _scaling("rows", "sampling 15m: cost a token from 8 to 64 rows together", 0.8, {"size": "15m"}),
    _scaling("completions", "sampling 15m: cost a token from 1 to 16 answers a prompt", None, {"size": "15m"}),
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
