"""How the cost of a token grows, each point through the same stages and sampler, beside what is predicted.

A prediction is relative: the first point is measured, and the others should cost in proportion.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks import material
from benchmarks.ours import sampling, training
from benchmarks.worker import Task
from heedful.config import Optim, SFTConfig, Training
from heedful.data.chat import Chat
from heedful.models.heads import Policy
from heedful.models.loading import save_policy
from heedful.run import Run, read_metrics
from heedful.stages import run_stage

Precision = Literal["float32", "bfloat16"]


@dataclass
class Point:
    """`measure(repeat)` gives tokens and seconds; `predicted` is a cost in any unit that all points share."""

    at: float
    predicted: float
    measure: Callable[[int], tuple[float, float]]


def task(settings: dict[str, Any]) -> Task:
    """Settings: axis, precision where it trains and, but for `parameters`, size.

    Every repeat measures all points, in alternating order.
    """
    scratch = Path(tempfile.mkdtemp(prefix="heedful-bench-"))
    points = points_of(settings, scratch)

    def repeat(number: int) -> Mapping[str, Any]:
        found: dict[float, tuple[float, float]] = {}
        for point in points if number % 2 else reversed(points):
            found[point.at] = point.measure(number)
        rows = [{"at": p.at, "cost": 1e6 * found[p.at][1] / found[p.at][0], "predicted": p.predicted} for p in points]
        tokens, seconds = (sum(pair[i] for pair in found.values()) for i in (0, 1))
        return {"work": tokens, "seconds": seconds, "points": rows}

    return Task(repeat, {"axis": settings["axis"]})


def points_of(settings: Mapping[str, Any], scratch: Path) -> list[Point]:
    """The points of an axis, smallest first."""
    axis, size, precision = settings["axis"], settings.get("size", ""), settings.get("precision", "float32")
    toy = size == "tiny"
    match axis:
        case "parameters":
            sizes = ["tiny", "1m"] if toy else ["1m", "15m", "110m"]
            return [_sized(name, precision, scratch) for name in sizes]
        case "length":
            return [_long(size, tokens, precision, scratch) for tokens in ((64, 128) if toy else (128, 256, 512, 1024))]
        case "batch":
            return [_batched(size, rows, precision, scratch) for rows in ((4, 8) if toy else (4, 8, 16, 32, 64))]
        case "vocabulary":
            words = (1024, 4096) if toy else (4096, 16_000, 32_000, 64_000, 128_000)
            return [_worded(size, count, precision, scratch) for count in words]
        case "rows":
            return [_sampled(size, rows, rows, 1) for rows in ((4, 8) if toy else (8, 16, 32, 64))]
        case "completions":
            return [_sampled(size, group, 16, group) for group in ((1, 2) if toy else (1, 2, 4, 8, 16))]
    raise ValueError(f"no axis {axis}")


# Training: cost of a token ~ operations of the matrix products: 6 for each weight, and attention's own


def operations(size: str, *, length: float, vocabulary: int, answered: float = 1.0) -> float:
    """Of a token: 6 for each weight of the body; 6·L·d·T for causal attention; the head where there is an answer."""
    shape = material.SHAPES[size]
    layers, hidden = shape["layers"], shape["hidden"]
    body = layers * (4 * hidden**2 + 3 * hidden * shape["feedforward"])
    return 6 * body + 6 * layers * hidden * length + 6 * answered * vocabulary * hidden


def _sized(size: str, precision: Precision, scratch: Path) -> Point:
    folder = material.material(size)
    rows = 8
    data = training.first_rows(folder / "data.jsonl", 2 * rows, scratch)
    target = scratch / f"{size}.jsonl"
    data.rename(target)
    return Point(
        material.parameters(size), 6.0 * material.parameters(size), _sft(folder / "skewed", target, precision, scratch)
    )


def _long(size: str, length: int, precision: Precision, scratch: Path) -> Point:
    folder = material.material(size)
    rows = max(2, 2048 // length)
    rng = np.random.default_rng(length)
    words = _words(folder)
    target = scratch / f"length-{length}.jsonl"
    _write(target, material.fixed_rows(words, rng, 2 * rows, length))
    cost = operations(size, length=length, vocabulary=material.SHAPES[size]["vocabulary"], answered=7 / 8)
    return Point(length, cost, _sft(folder / "skewed", target, precision, scratch))


def _batched(size: str, rows: int, precision: Precision, scratch: Path) -> Point:
    folder = material.material(size)
    target = scratch / f"batch-{rows}.jsonl"
    training.first_rows(folder / "data.jsonl", 2 * rows, scratch).rename(target)
    return Point(rows, 1.0, _sft(folder / "skewed", target, precision, scratch))


def _worded(size: str, vocabulary: int, precision: Precision, scratch: Path) -> Point:
    folder = material.material(size)
    target, model = scratch / f"words-{vocabulary}.jsonl", scratch / f"model-{vocabulary}"
    training.first_rows(folder / "data.jsonl", 2 * training_rows(size), scratch).rename(target)
    chat = Chat.load(folder / "skewed")
    save_policy(Policy(material.new_model(size, chat.tokenizer, vocabulary)), chat, model)
    lengths = [_length(row) for row in map(json.loads, target.read_text().splitlines())]
    answered = sum(a for _, a in lengths) / sum(p + a for p, a in lengths)
    mean = sum(p + a for p, a in lengths) / len(lengths)
    return Point(
        vocabulary,
        operations(size, length=mean, vocabulary=vocabulary, answered=answered),
        _sft(model, target, precision, scratch),
    )


def training_rows(size: str) -> int:
    return 4 if size == "tiny" else 16


def _length(row: Mapping[str, Any]) -> tuple[int, int]:
    """Words of a row's prompt and answer: about its tokens."""
    asked, answer = row["prompt"][0]["content"], row["completion"][0]["content"]
    return asked.count(" ") + 6, answer.count(" ") + 2


def _words(folder: Path) -> list[str]:
    rows = (json.loads(line) for line in islice((folder / "data.jsonl").open(), 64))
    return sorted({word for row in rows for word in row["completion"][0]["content"].split()})


def _sft(model: Path, data: Path, precision: Precision, scratch: Path) -> Callable[[int], tuple[float, float]]:
    """Two steps of the stage, the second one timed."""
    tokens = training.tokens_in(data, model)
    config = SFTConfig(
        model=str(model),
        data=str(data),
        tokens_per_step=tokens // 2,
        optim=Optim(lr=training.LR),
        training=Training(epochs=1, log_every=1, precision=precision),
    )

    def measure(number: int) -> tuple[float, float]:
        folder = Path(tempfile.mkdtemp(dir=scratch))
        run_stage(config, Run(folder, "sft", seed=number))
        rows = read_metrics(folder / "metrics.jsonl")
        return rows[-1]["tokens"] - rows[0]["tokens"], sum(seconds for _, seconds in training.behind_the_first(rows, 1))

    return measure


# Sampling: more rows, or more answers to one prompt, must not cost more a token


def _sampled(size: str, at: float, rows: int, group: int) -> Point:
    """`group` answers to each of so many prompts that `rows` stand together."""
    answer = 16 if size == "tiny" else 128
    inner = sampling.task({"size": size, "lengths": "uniform", "rows": rows, "group": group, "answer": answer})

    def measure(number: int) -> tuple[float, float]:
        row = inner.repeat(number)
        return float(row["work"]), float(row["seconds"])

    return Point(at, 1.0, measure)


def _write(path: Path, rows: Any) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
