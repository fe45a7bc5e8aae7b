"""What is measured: each benchmark's two sides, settings to choose from, unit and goal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any, Literal

Settings = Mapping[str, Any]
Environment = Literal["ours", "trl", "trl-1.12", "vllm"]


@dataclass(frozen=True)
class Side:
    """One process that measures: `task` is `module:function` under benchmarks/, `candidates` what it may be set to.

    A short pilot tries each candidate, and the fastest one is measured.
    """

    environment: Environment
    task: str
    settings: Settings
    candidates: Sequence[Settings] = ({},)
    label: str = ""


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
    size: str = ""


FLOAT32, BFLOAT16 = {"precision": "float32"}, {"precision": "bfloat16"}
PRECISIONS = (FLOAT32, BFLOAT16)
ROWS = 16  # sequences, or pairs, in a step of training
STEPS = {"1m": 10, "15m": 4, "110m": 2}  # timed in a repeat, after one that is not
EPISODES = {"1m": 64, "15m": 64, "110m": 16}  # completions in a step on policy
GROUP = 8  # completions of one prompt
ANSWER = 128  # most tokens in an answer


def _training(stage: str, unit: str, goals: Mapping[str, float]) -> list[Benchmark]:
    """sft and reward: steps of a stage against steps of TRL's trainer."""
    made = []
    for size, goal in goals.items():
        settings = {"stage": stage, "size": size, "rows": ROWS, "steps": STEPS[size]}
        padded = ({"padding_free": True},) if stage == "sft" else ()
        made.append(
            Benchmark(
                name=f"{stage}/{size}",
                about=f"training steps of {ROWS} rows; start and saving left out",
                unit=unit,
                goal=goal,
                ours=Side("ours", "ours.training:task", settings, PRECISIONS),
                peer=Side(
                    "trl", "peers.training:task", settings, (*PRECISIONS, *(FLOAT32 | p for p in padded)), "TRL 1.16.0"
                ),
                size=size,
            )
        )
    return made


def _dpo(goals: Mapping[str, float]) -> list[Benchmark]:
    made = []
    for size, goal in goals.items():
        settings = {"stage": "dpo", "size": size, "rows": ROWS, "steps": STEPS[size]}
        reference = ({"precompute": True}, {"precompute": False})
        made.append(
            Benchmark(
                name=f"dpo/{size}",
                about="one whole epoch: loading, the reference's log-probabilities, training and saving",
                unit="pairs/s",
                goal=goal,
                ours=Side("ours", "ours.training:task", settings, PRECISIONS),
                peer=Side(
                    "trl",
                    "peers.training:task",
                    settings,
                    tuple(p | r for p in PRECISIONS for r in reference),
                    "TRL 1.16.0",
                ),
                size=size,
            )
        )
    return made


def _on_policy(stage: str, size: str, lengths: str, goal: float, version: Environment, label: str) -> Benchmark:
    settings = {
        "stage": stage,
        "size": size,
        "lengths": lengths,
        "episodes": EPISODES[size],
        "group": GROUP,
        "answer": ANSWER,
        "steps": max(1, STEPS[size] // 4),
    }
    return Benchmark(
        name=f"{stage}/{size}/{lengths}" if stage == "grpo" else f"{stage}/{size}",
        about="the whole step: sampling, rewards, reference, update",
        unit="completions/s",
        goal=goal,
        ours=Side("ours", "ours.training:task", settings, PRECISIONS),
        peer=Side(version, f"peers.{stage}:task", settings, PRECISIONS, label),
        size=size,
    )


def _sampling(
    size: str,
    lengths: str,
    rows: int,
    goal: float | None,
    peer: Side,
    name: str,
    precisions: Sequence[Settings] = ({},),
) -> Benchmark:
    """`precisions`: what our side may take; a peer names its own among its candidates."""
    words = " or ".join(str(each.get("precision", "float32")) for each in precisions)
    settings = {"size": size, "lengths": lengths, "rows": rows, "answer": ANSWER} | FLOAT32
    return Benchmark(
        name=f"sample/{size}/{name}",
        about=f"{rows} rows, answers up to {ANSWER} tokens, {lengths} lengths, {words}",
        unit="tokens/s",
        goal=goal,
        ours=Side("ours", "ours.sampling:task", settings, precisions),
        peer=Side(peer.environment, peer.task, settings, peer.candidates, peer.label),
        size=size,
    )


GENERATE = Side("trl", "peers.generate:task", {}, ({"cache": "dynamic"}, {"cache": "static"}), "transformers generate")
CONTINUOUS = Side("trl", "peers.generate:task", {}, ({"cache": "continuous"},), "transformers generate_batch")
VLLM = Side("vllm", "peers.vllm:task", {}, tuple({"compiled": True} | p for p in PRECISIONS), "vLLM on CPU, compiled")


def _limit(size: str, goal: float) -> Benchmark:
    settings = {"stage": "sft", "size": size, "rows": ROWS, "steps": STEPS[size]}
    return Benchmark(
        name=f"limit/train/{size}",
        about="training against 6·N operations a token at the fastest matrix product measured beside it",
        unit="tokens/s",
        goal=goal,
        ours=Side("ours", "ours.training:task", settings, PRECISIONS),
        peer=Side("ours", "ours.limit:task", {"size": size}, PRECISIONS, "the matrix products' limit"),
        size=size,
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
        ours=Side("ours", "ours.training:task", settings | {"measure": "memory"}),
        peer=Side("trl", "peers.grpo:task", settings | {"measure": "memory"}, ({},), "TRL 1.16.0")
        if stage == "grpo"
        else None,
        less_is_better=True,
        kind="once",
        size="110m",
    )


def _scaling(name: str, about: str, goal: float | None, unit: str, settings: Settings) -> Benchmark:
    return Benchmark(
        name=f"scaling/{name}",
        about=about,
        unit=unit,
        goal=goal,
        ours=Side("ours", "ours.scaling:task", {"axis": name} | settings),
        kind="points",
    )


TRL, TRL_PPO = ("trl", "TRL 1.16.0"), ("trl-1.12", "TRL 1.12.0")
BENCHMARKS: list[Benchmark] = [
    *_training("sft", "tokens/s", {"1m": 6, "15m": 4, "110m": 3}),
    *_training("reward", "pairs/s", {"1m": 3, "15m": 2}),
    *_dpo({"1m": 7, "15m": 4}),
    _on_policy("grpo", "1m", "uniform", 4, *TRL),  # type: ignore[arg-type]
    _on_policy("grpo", "15m", "uniform", 3, *TRL),  # type: ignore[arg-type]
    _on_policy("grpo", "1m", "skewed", 6, *TRL),  # type: ignore[arg-type]
    _on_policy("grpo", "15m", "skewed", 4, *TRL),  # type: ignore[arg-type]
    _on_policy("ppo", "1m", "skewed", 5, *TRL_PPO),  # type: ignore[arg-type]
    _on_policy("ppo", "15m", "skewed", 3, *TRL_PPO),  # type: ignore[arg-type]
    *(_sampling(s, "uniform", 32, g, GENERATE, "uniform") for s, g in (("1m", 4.0), ("15m", 3.0), ("110m", 2.5))),
    *(_sampling(s, "skewed", 32, g, GENERATE, "skewed") for s, g in (("1m", 8.0), ("15m", 7.0), ("110m", 5.0))),
    _sampling("15m", "skewed", 32, None, CONTINUOUS, "continuous"),
    _sampling("1m", "uniform", 64, 1.5, VLLM, "vllm", PRECISIONS),
    _sampling("15m", "uniform", 64, 1.1, VLLM, "vllm", PRECISIONS),
    _limit("15m", 0.4),
    _limit("110m", 0.5),
    _memory("grpo", 1.4),
    _memory("ppo", None),
    _scaling("parameters", "training: cost a token from 1m to 110m, predicted by 6·N", None, "µs/token", {}),
    _scaling("length", "training 15m: cost a token from 128 to 1,024 tokens a row", 0.8, "µs/token", {"size": "15m"}),
    _scaling("batch", "training 15m: cost a token from 4 to 64 rows a step", None, "µs/token", {"size": "15m"}),
    _scaling("vocabulary", "training: cost a token from 4,096 to 128,000 words", 0.8, "µs/token", {"size": "15m"}),
    _scaling("rows", "sampling 15m: cost a token from 8 to 64 rows together", 0.8, "µs/token", {"size": "15m"}),
    _scaling(
        "completions", "sampling 15m: cost a token from 1 to 16 answers a prompt", None, "µs/token", {"size": "15m"}
    ),
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
    return fnmatch(name, pattern) or name.startswith(pattern.rstrip("/") + "/")
