"""`heedful run --dry-run`: the stages, their time and their memory, from counts and a measured matrix rate.

Memory is that of the largest step that the settings allow, as `ops/footprint.py` predicts it.

An estimate, right within about a factor of two: real text, prompts and answers are taken to be as long as the built-in
world's where no file says otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rich.table import Table

from heedful.config import (
    Architecture,
    AverageConfig,
    BlendConfig,
    DPOConfig,
    EvaluateConfig,
    Generation,
    LabelConfig,
    Lora,
    PPOConfig,
    PretrainConfig,
    Recipe,
    RewardConfig,
    Rewards,
    RLConfig,
    SampleConfig,
    SelectConfig,
    SFTConfig,
    StageConfig,
    Training,
    WorldConfig,
)
from heedful.data.json_rows import Located
from heedful.data.rows import read_rows
from heedful.ops.footprint import FLOAT, LEARNING, Network, adapters
from heedful.ops.memory import memory_free_on
from heedful.run import Manifest, console
from heedful.run.folder import RunFolder

PAGE, PROMPT, ANSWER = 59, 16, 24  # tokens, as in the built-in world
CANDIDATES = 4  # answers to a prompt that is ranked
LOOKED_AT = 200  # rows of a file of rankings
OVERHEAD = 4e-6  # seconds a token costs in Python and small kernels, whatever the model's size
EFFICIENCY = 0.35  # of the matrix rate, in training and scoring
DECODE_EFFICIENCY = 0.08
CRITIC_AND_REFERENCE = 3.0  # forward passes in a PPO rollout beside sampling and rewards: policy, reference, critic
REFERENCE = 2.0  # the same without a critic
PROGRAM = 6e8  # bytes of Python and its libraries


@dataclass(frozen=True)
class Estimate:
    """Seconds of work and peak bytes of one stage."""

    seconds: float
    memory: float


def parameters_of(architecture: Architecture) -> float:
    """Parameters of a model with tied embeddings."""
    a = architecture
    head = a.hidden // a.heads
    attention = a.hidden * head * (2 * a.heads + 2 * a.kv_heads)
    return a.vocabulary * a.hidden + a.layers * (attention + 3 * a.hidden * a.feedforward)


def _shape_of(a: Architecture) -> Network:
    return Network(
        a.hidden,
        a.layers,
        a.feedforward,
        a.kv_heads * (a.hidden // a.heads),
        a.vocabulary,
        one_step=a.family == "llama",
    )


def _at_most(limit: float, count: float) -> float:
    """0 is no limit."""
    return min(limit, count) if limit else count


def _tokens(sets: float) -> float:
    """Of the candidates of so many prompts, each with its prompt."""
    return sets * CANDIDATES * (PROMPT + ANSWER)


def _answers_of(row: dict[str, Any]) -> list[Any]:
    """In the order that its rater saw them in, which is another for each."""
    return row.get("completions") or [row.get("chosen"), row.get("rejected")]


class Estimator:
    """Walks a recipe and knows, for every stage, how large its model and how many its rows are."""

    def __init__(self, recipe: Recipe, rate: float) -> None:
        self.rate = rate
        self.parameters: dict[str, float] = {}  # stage name -> parameters of its model
        self.shapes: dict[str, Network] = {}  # stage name -> shape of its model
        self.rows: dict[str, float] = {}  # "@stage/file" -> rows
        self.blended: dict[str, list[str]] = {}  # blend stage -> the models that its parts read with
        self.recipe = recipe
        self.in_world = any(isinstance(stage, WorldConfig) for stage in recipe.stages)  # whose texts are short

    def _model(self, path: str) -> float:
        if path.startswith("@"):
            return self.parameters.get(path[1:].split("/")[0], 1e6)
        weights = sum(p.stat().st_size for p in self._file(path).glob("*.safetensors")) if path else 0
        return weights / 4 or 1e6

    def _shape(self, path: str) -> Network:
        if path.startswith("@"):
            return self.shapes.get(path[1:].split("/")[0], Network())
        file = self._file(path) / "config.json" if path else Path()
        return Network.of(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else Network()

    def _notes(self, name: str, model: str) -> float:
        """A stage's model is of the shape and size of the one that it begins with. Returns its parameters."""
        self.shapes[name], self.parameters[name] = self._shape(model), self._model(model)
        return self.parameters[name]

    def _count(self, path: str, default: float = 1000) -> float:
        if path.startswith("@"):
            return self.rows.get(path, default)
        file = self._file(path)
        if not file.is_file():
            return default
        with file.open("rb") as lines:
            return float(sum(1 for _ in lines))

    def _sets(self, path: str) -> float:
        """Sets of answers that are ranked. In a file each rater of a set has a row: its first rows tell how many do."""
        rows = self._count(path, 5000)
        file = self._file(path)
        if path.startswith("@") or not file.is_file():
            return rows
        first = [item.row for item in islice(read_rows(file), LOOKED_AT) if isinstance(item, Located)]
        judged = {json.dumps([row.get("prompt"), *sorted(map(str, _answers_of(row)))]) for row in first}
        return rows * len(judged) / max(1, len(first))

    def _file(self, path: str) -> Path:
        """`$input/file` as the user gave it."""
        first, *rest = Path(path).parts
        return Path(self.recipe.inputs.get(first[1:], "") if first.startswith("$") else first, *rest)

    def _work(self, tokens: float, parameters: float, passes: float) -> float:
        """Seconds for `passes` forward passes' worth (training is three) of `tokens`."""
        return tokens * passes * (2 * parameters / (self.rate * EFFICIENCY) + OVERHEAD)

    def _decode(self, tokens: float, parameters: float) -> float:
        return tokens * (2 * parameters / (self.rate * DECODE_EFFICIENCY) + 10 * OVERHEAD)

    def stage(self, config: StageConfig) -> Estimate:
        """The estimate of one stage; notes what later stages will read of it."""
        name = config.name
        match config:
            case WorldConfig():
                self._note_world(config)
                return Estimate(15, 4e8)
            case PretrainConfig():
                if config.model:
                    self._notes(name, config.model)
                else:
                    self.shapes[name] = _shape_of(config.architecture)
                    self.parameters[name] = parameters_of(config.architecture)
                tokens = self._count(config.data) * PAGE * config.training.epochs
                return self._training(tokens, name, config.training, Lora(), config.tokens_per_step)
            case SFTConfig():
                self._notes(name, config.model)
                tokens = self._count(config.data, 500) * (PROMPT + ANSWER) * config.training.epochs
                return self._training(tokens, name, config.training, config.lora, config.tokens_per_step)
            case SampleConfig():
                rows = _at_most(config.limit, self._count(config.prompts)) * config.completions
                self.rows[f"@{name}/completions.jsonl"] = rows
                size = self._model(config.model)
                cache = self._cache(config.model, config.generation)
                return Estimate(self._decode(rows * ANSWER, size) + 3, PROGRAM + 2 * FLOAT * size + cache)
            case LabelConfig():
                answers = _at_most(CANDIDATES * config.prompts, sum(self._count(path) for path in config.completions))
                self.rows[f"@{name}/rankings.jsonl"] = answers / CANDIDATES * (1 - config.holdout)
                return Estimate(2 + answers * 3e-4, 3e8)
            case RewardConfig() | DPOConfig():
                return self._preferences(config)
            case PPOConfig():
                algorithm = config.algorithm
                answers = algorithm.iterations * algorithm.prompts
                passes = CRITIC_AND_REFERENCE + 2 * 3 * algorithm.epochs  # policy and critic, trained
                return self._practice(config, answers, passes, algorithm.prompts / algorithm.minibatches)
            case BlendConfig():
                rankings = sum(self._count(path, 500) for path in config.data)
                answers = CANDIDATES * rankings + sum(self._count(path) for path in config.calibration)
                parts = config.parts.values()
                self.blended[name] = [path for part in parts for path in (part.model, part.reference) if path]
                return self._reading(answers, self.blended[name])
            case AverageConfig():
                return Estimate(5, 3e8 + 20 * self._notes(name, config.models[0]))
            case RLConfig():
                practice = config.practice
                rollout = practice.prompts * practice.completions
                passes = REFERENCE + 3 * practice.epochs
                return self._practice(config, practice.iterations * rollout, passes, rollout / practice.minibatches)
            case SelectConfig():
                answers = sum(self._count(path) for path in config.completions)
                self.rows[f"@{name}/demonstrations.jsonl"] = answers / CANDIDATES * config.keep * config.share
                return self._reading(answers, self._readers(config.rewards))
            case EvaluateConfig():
                prompts = self._count(config.prompts, 600)
                answers = prompts * (config.draws + 1) * len(config.models)
                return Estimate(10 + self._decode(answers * ANSWER, max(self.parameters.values(), default=1e6)), 7e8)
            case _:
                return Estimate(5, 3e8)

    def _preferences(self, config: RewardConfig | DPOConfig) -> Estimate:
        self._notes(config.name, config.model)
        sets = sum(map(self._sets, config.data))
        sets = _at_most(config.limit, sets) if isinstance(config, DPOConfig) else sets * config.members
        longest = _tokens(config.prompts_per_step) if self.in_world else config.training.tokens_per_batch
        return self._training(
            _tokens(sets) * config.training.epochs, config.name, config.training, config.lora, longest
        )

    def _readers(self, rewards: Rewards) -> list[str]:
        """The models that read each answer to say what it is paid; a blend stands for those of its parts."""
        parts = rewards.parts.values()
        read = [rewards.model, *(part.model for part in parts if part.type in ("model", "likelihood"))]
        read += [part.reference for part in parts if part.type == "likelihood"]
        return [one for path in read if path for one in self.blended.get(path[1:].split("/")[0], [path])]

    def _reading(self, answers: float, models: Sequence[str]) -> Estimate:
        """Answers read once by each model."""
        passes = sum(self._work(answers * (PROMPT + ANSWER), self._model(path), 1) for path in models)
        return Estimate(3 + passes, 5e8)

    def _practice(self, config: PPOConfig | RLConfig, answers: float, passes: float, minibatch: float) -> Estimate:
        """Answers sampled, read `passes` times by networks of a policy's size, and once by whatever pays. In memory:
        what learns, the reference (the policy itself with adapters off), what pays, and a step or the sampler's cache.
        `minibatch`: answers of a step.
        """
        size = self._notes(config.name, config.model)
        work = self._work(answers * (PROMPT + ANSWER), size, passes)
        readers = self._readers(config.rewards)
        paid = self._reading(answers, readers).seconds
        text = config.ptx.tokens if config.ptx.data else 0
        longest = minibatch * (PROMPT + config.generation.max_new_tokens) + text
        state, step = self._step(config.name, config.training, config.lora, longest)
        if isinstance(config, PPOConfig):
            critic, its = self._step(config.name, config.training, config.critic_lora, longest)
            state, step = state + critic, step + its
        others = FLOAT * (sum(map(self._model, readers)) + (0 if config.lora.rank else size))
        cache = self._cache(config.model, config.generation) + FLOAT * size  # and a copy of the weights, packed
        return Estimate(self._decode(answers * ANSWER, size) + work + paid, PROGRAM + state + others + max(step, cache))

    def _training(self, tokens: float, name: str, training: Training, lora: Lora, longest: float) -> Estimate:
        """`longest`: tokens of a step, were there no limit to a batch."""
        state, step = self._step(name, training, lora, longest)
        return Estimate(self._work(tokens, self.parameters[name], 3) + 3, PROGRAM + state + step)

    def _step(self, name: str, training: Training, lora: Lora, longest: float) -> tuple[float, float]:
        """Bytes of a network that learns, and those of a step at its peak."""
        size, shape = self.parameters[name], self.shapes[name]
        learning = adapters(shape, lora.rank) if lora.rank else size
        averaged = FLOAT * learning if training.ema else 0.0
        kept = shape.kept(
            min(longest, training.tokens_per_batch),
            recompute=training.gradient_checkpointing,
            half=training.precision == "bfloat16",
        )
        return FLOAT * size + LEARNING * learning + averaged, kept

    def _cache(self, model: str, generation: Generation) -> float:
        return self._shape(model).cache(generation.batch, PROMPT + generation.max_new_tokens)

    def _note_world(self, config: WorldConfig) -> None:
        at = f"@{config.name}"
        self.rows |= {
            f"{at}/corpus.jsonl": config.documents,
            f"{at}/demonstrations.jsonl": config.demonstrations,
            f"{at}/prompts/preference.jsonl": config.preference_prompts,
            f"{at}/prompts/rl.jsonl": config.rl_prompts,
            f"{at}/prompts/dev.jsonl": config.dev_prompts,
            f"{at}/prompts/test.jsonl": config.test_prompts,
        }


def estimates(recipe: Recipe, rate: float) -> list[tuple[Any, Estimate]]:
    """Every stage of a recipe with its estimate, in order."""
    estimator = Estimator(recipe, rate)
    return [(stage, estimator.stage(stage)) for stage in recipe.stages]


def show_estimate(recipe: Recipe, runs: Path) -> None:
    """Print the table, and what is done already."""
    from heedful.ops.rates import matrix_rate, training_device

    device = training_device()
    rates, free = matrix_rate(device), memory_free_on(device)
    rate = max(rates.values()) if _may_use_bfloat16(recipe) else rates["float32"]
    folder = RunFolder(runs / recipe.name)
    table = Table("stage", "kind", "time, about", "memory, about", "")
    total, peak = 0.0, 0.0
    for index, (stage, estimate) in enumerate(estimates(recipe, rate)):
        done = Manifest.read(folder.stage_folder(index, stage.name)) is not None
        table.add_row(
            stage.name,
            stage.type,
            _duration(estimate.seconds),
            f"{estimate.memory / 1e9:.1f} GB",
            "done" if done else "",
        )
        total += 0 if done else estimate.seconds
        peak = max(peak, estimate.memory)
    console.print(f"[bold]{recipe.name}[/bold] {recipe.about}")
    console.print(table)
    console.print(f"about {_duration(total)} to go, {peak / 1e9:.1f} GB at most ({free / 1e9:.0f} GB free)")
    console.print(f"would write {folder.root}; nothing was run")


def _may_use_bfloat16(recipe: Recipe) -> bool:
    return any(s.training.precision != "float32" for s in recipe.stages if hasattr(s, "training"))


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
