"""`heedful run --dry-run`: the stages, their time and their memory, from counts and a measured matrix rate.

Memory is that of a process for each stage alone: the program, what the largest step that the settings allow takes, as
`ops/footprint.py` predicts it, and where weights are trained what the allocator keeps of freed tensors. All stages
of a run share one process, see `whole_run`.

An estimate, right within about a factor of two. Files that are there tell how many rows they hold and how long their
texts are. A policy answers at the length of the demonstrations that it learned from, or up to the limit where nobody
knows; texts that stages will write, and those of the built-in world, are as long as its are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
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
from heedful.data.look import Look, look
from heedful.ops.footprint import FLOAT, LEARNING, RETAINED, Network, adapters
from heedful.ops.memory import memory_free_on
from heedful.run import Manifest, output
from heedful.run.conditions import changes
from heedful.run.folder import RunFolder

PAGE, PROMPT, ANSWER = 59, 16, 24  # tokens, as in the built-in world
CANDIDATES = 4  # answers to a prompt that is ranked
OVERHEAD = 4e-6  # seconds a token costs in Python and small kernels, whatever the model's size
EFFICIENCY = 0.35  # of the matrix rate, in training
READ_EFFICIENCY = 0.7  # without gradients
DECODE_EFFICIENCY = 0.3
CRITIC_AND_REFERENCE = 3.0  # forward passes in a PPO rollout beside sampling and rewards: policy, reference, critic
REFERENCE = 2.0  # the same without a critic
PROGRAM = 6e8  # bytes of Python, its libraries and compiled functions
READ_TOKENS = 16_384  # in one pass of an evaluation over answers or documents
LOOKALIKES = 1000  # answers to look-alikes that an evaluation wants
RANKED = Look(rows=5000, prompt=PROMPT, answer=ANSWER, answers=CANDIDATES)
ANSWERED = Look(rows=1000, prompt=PROMPT, answer=ANSWER)
PAGES = Look(rows=1000, prompt=0, answer=PAGE)


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


class Estimator:
    """Walks a recipe and knows, for every stage, how large its model and how many its rows are."""

    def __init__(self, recipe: Recipe, rate: float) -> None:
        self.rate = rate
        self.parameters: dict[str, float] = {}  # stage name -> parameters of its model
        self.shapes: dict[str, Network] = {}  # stage name -> shape of its model
        self.looks: dict[str, Look] = {}  # "@stage/file", or a file that is there -> what is in it
        self.spoken: dict[str, float] = {}  # stage name -> tokens of its model's answers, where somebody knows
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
        """A stage's model is of the shape and size of the one that it begins with, and talks as long, until it learns
        otherwise. Returns its parameters."""
        self.shapes[name], self.parameters[name] = self._shape(model), self._model(model)
        if model.startswith("@") and (spoken := self.spoken.get(model[1:].split("/")[0])):
            self.spoken[name] = spoken
        return self.parameters[name]

    def _look(self, path: str, otherwise: Look = ANSWERED) -> Look:
        """What is in a file: as an earlier stage will have written it, or as it stands there."""
        if path not in self.looks:
            file = Path() if path.startswith("@") else self._file(path)  # and of an input that is not given yet
            self.looks[path] = look(file, otherwise) if file != Path() and file.exists() else otherwise
        return self.looks[path]

    def _answer(self, model: str, generation: Generation, asked: Look) -> float:
        """Tokens of an answer of a model."""
        limit = float(generation.max_new_tokens)
        if self.in_world or asked.families:
            return min(ANSWER, limit)
        return min(self.spoken.get(model[1:].split("/")[0], limit), limit)

    def _file(self, path: str) -> Path:
        """`$input/file` as the user gave it."""
        first, *rest = Path(path).parts
        return Path(self.recipe.inputs.get(first[1:], "") if first.startswith("$") else first, *rest)

    def _work(self, tokens: float, parameters: float, passes: float) -> float:
        """Seconds for `passes` forward passes' worth (training is three) of `tokens`."""
        return tokens * passes * (2 * parameters / (self.rate * EFFICIENCY) + OVERHEAD)

    def _read(self, tokens: float, parameters: float) -> float:
        """Seconds for one pass that learns nothing."""
        return tokens * (2 * parameters / (self.rate * READ_EFFICIENCY) + OVERHEAD)

    def _decode(self, tokens: float, parameters: float) -> float:
        return tokens * (2 * parameters / (self.rate * DECODE_EFFICIENCY) + 5 * OVERHEAD)

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
                pages = self._look(config.data, PAGES)
                tokens = pages.rows * pages.tokens * config.training.epochs
                return self._training(tokens, name, config.training, Lora(), config.tokens_per_step)
            case SFTConfig():
                self._notes(name, config.model)
                shown = self._look(config.data, replace(ANSWERED, rows=500))
                self.spoken[name] = shown.answer
                tokens = shown.rows * shown.tokens * config.training.epochs
                return self._training(tokens, name, config.training, config.lora, config.tokens_per_step)
            case SampleConfig():
                return self._sample(config)
            case LabelConfig():
                files = [self._look(path) for path in config.completions]
                answers = _at_most(CANDIDATES * config.prompts, sum(file.rows for file in files))
                sets = answers / CANDIDATES * (1 - config.holdout)
                self.looks[f"@{name}/rankings.jsonl"] = replace(files[0], rows=sets, answers=CANDIDATES)
                return Estimate(2 + answers * 3e-4, 3e8)
            case RewardConfig() | DPOConfig():
                return self._preferences(config)
            case PPOConfig():
                algorithm = config.algorithm
                answers = algorithm.iterations * algorithm.prompts
                passes = CRITIC_AND_REFERENCE + 2 * 3 * algorithm.epochs  # policy and critic, trained
                return self._practice(config, answers, passes, algorithm.prompts / algorithm.minibatches)
            case BlendConfig():
                files = [self._look(path, replace(RANKED, rows=500)) for path in config.data]
                files += [self._look(path) for path in config.calibration]
                parts = config.parts.values()
                self.blended[name] = [path for part in parts for path in (part.model, part.reference) if path]
                return self._reading(sum(file.rows * file.tokens for file in files), self.blended[name])
            case AverageConfig():
                return Estimate(5, 3e8 + 20 * self._notes(name, config.models[0]))
            case RLConfig():
                practice = config.practice
                rollout = practice.prompts * practice.completions
                passes = REFERENCE + 3 * practice.epochs
                return self._practice(config, practice.iterations * rollout, passes, rollout / practice.minibatches)
            case SelectConfig():
                files = [self._look(path) for path in config.completions]
                kept = sum(file.rows for file in files) / CANDIDATES * config.keep * config.share
                self.looks[f"@{name}/demonstrations.jsonl"] = replace(files[0], rows=kept)
                return self._reading(sum(file.rows * file.tokens for file in files), self._readers(config.rewards))
            case EvaluateConfig():
                return self._evaluation(config)
            case _:
                return Estimate(5, 3e8)

    def _sample(self, config: SampleConfig) -> Estimate:
        asked = self._look(config.prompts)
        rows = _at_most(config.limit, asked.rows) * config.completions
        answer = self._answer(config.model, config.generation, asked)
        self.looks[f"@{config.name}/completions.jsonl"] = Look(rows, asked.prompt, answer)
        size = self._model(config.model)
        cache = self._cache(config.model, config.generation, asked)
        return Estimate(self._decode(rows * answer, size) + 3, PROGRAM + 2 * FLOAT * size + cache)

    def _preferences(self, config: RewardConfig | DPOConfig) -> Estimate:
        self._notes(config.name, config.model)
        files = [self._look(path, RANKED) for path in config.data]
        rankings = sum(file.rows * file.sets for file in files)
        each = sum(file.rows * file.sets * file.tokens for file in files) / max(1.0, rankings)
        rankings = _at_most(config.limit, rankings) if isinstance(config, DPOConfig) else rankings * config.members
        longest = config.prompts_per_step * each if self.in_world else config.training.tokens_per_batch
        tokens = rankings * each * config.training.epochs
        return self._training(tokens, config.name, config.training, config.lora, longest)

    def _evaluation(self, config: EvaluateConfig) -> Estimate:
        """Every model answers, and the reference reads along; every reward model reads all answers. In memory: a model
        and the copy that samples, the reference, the reward models, and what one pass or the cache takes."""
        asked = self._look(config.prompts, replace(ANSWERED, rows=600))
        rows = asked.rows * (config.draws + 1)
        others = 0.0
        if config.lookalikes:
            alike = self._look(config.lookalikes).rows
            others += alike * min(config.draws, ceil(LOOKALIKES / max(1.0, alike)))
        if config.temperatures:
            rows += asked.rows * config.draws
            others += self._look(config.dev_prompts).rows * config.draws * len(config.temperatures)
        pages = self._look(config.corpus, PAGES) if config.corpus else replace(PAGES, rows=0)
        models, judges = list(config.models.values()), list(config.reward_models.values())
        judges = [one for path in judges for one in self.blended.get(path[1:].split("/")[0], [path])]
        seconds, memory = 10.0, 0.0
        for place, path in enumerate(models):
            size, answer = self._model(path), self._answer(path, config.generation, asked)
            times = 2 if config.few_shot and not place else 1
            seconds += self._decode((rows * times + others) * answer, size)
            drift = 2 * asked.rows * config.draws * (asked.prompt + answer)
            seconds += self._read(drift + pages.rows * pages.tokens, size)
            seconds += sum(self._read(rows * times * (asked.prompt + answer), self._model(one)) for one in judges)
            pass_ = self._shape(path).kept(READ_TOKENS, recompute=True, half=False)
            held = max(self._cache(path, config.generation, asked), pass_)
            memory = max(memory, FLOAT * (2 * size + self._model(models[0])) + held)
        return Estimate(seconds, PROGRAM + memory + FLOAT * sum(map(self._model, judges)))

    def _readers(self, rewards: Rewards) -> list[str]:
        """The models that read each answer to say what it is paid; a blend stands for those of its parts."""
        parts = rewards.parts.values()
        read = [rewards.model, *(part.model for part in parts if part.type in ("model", "likelihood"))]
        read += [part.reference for part in parts if part.type == "likelihood"]
        return [one for path in read if path for one in self.blended.get(path[1:].split("/")[0], [path])]

    def _reading(self, tokens: float, models: Sequence[str]) -> Estimate:
        """Answers read once by each model."""
        passes = sum(self._read(tokens, self._model(path)) for path in models)
        return Estimate(3 + passes, PROGRAM + FLOAT * sum(map(self._model, models)))

    def _practice(self, config: PPOConfig | RLConfig, answers: float, passes: float, minibatch: float) -> Estimate:
        """Answers sampled, read `passes` times by networks of a policy's size, and once by whatever pays. In memory:
        what learns, the reference (the policy itself with adapters off), what pays, and a step or the sampler's cache.
        `minibatch`: answers of a step.
        """
        size, asked = self._notes(config.name, config.model), self._look(config.prompts)
        answer = self._answer(config.model, config.generation, asked)
        tokens = answers * (asked.prompt + answer)
        work = self._work(tokens, size, passes)
        readers = self._readers(config.rewards)
        paid = self._reading(tokens, readers).seconds
        text = config.ptx.tokens if config.ptx.data else 0
        longest = minibatch * (asked.prompt + config.generation.max_new_tokens) + text
        state, step = self._step(config.name, config.training, config.lora, longest)
        if isinstance(config, PPOConfig):
            critic, its = self._step(config.name, config.training, config.critic_lora, longest)
            state, step = state + critic, step + its
        others = FLOAT * (sum(map(self._model, readers)) + (0 if config.lora.rank else size))
        cache = self._cache(config.model, config.generation, asked) + FLOAT * size  # and a copy of the weights, packed
        held = PROGRAM + RETAINED + state + others + max(step, cache)
        return Estimate(self._decode(answers * answer, size) + work + paid, held)

    def _training(self, tokens: float, name: str, training: Training, lora: Lora, longest: float) -> Estimate:
        """`longest`: tokens of a step, were there no limit to a batch."""
        state, step = self._step(name, training, lora, longest)
        return Estimate(self._work(tokens, self.parameters[name], 3) + 3, PROGRAM + RETAINED + state + step)

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

    def _cache(self, model: str, generation: Generation, asked: Look) -> float:
        return self._shape(model).cache(generation.batch, asked.prompt + generation.max_new_tokens)

    def _note_world(self, config: WorldConfig) -> None:
        at = f"@{config.name}"
        self.looks[f"{at}/corpus.jsonl"] = replace(PAGES, rows=config.documents)
        for file, rows in {
            "demonstrations": config.demonstrations,
            "prompts/preference": config.preference_prompts,
            "prompts/rl": config.rl_prompts,
            "prompts/dev": config.dev_prompts,
            "prompts/test": config.test_prompts,
        }.items():
            self.looks[f"{at}/{file}.jsonl"] = replace(ANSWERED, rows=rows)


def estimates(recipe: Recipe, rate: float) -> list[tuple[Any, Estimate]]:
    """Every stage of a recipe with its estimate, in order."""
    estimator = Estimator(recipe, rate)
    return [(stage, estimator.stage(stage)) for stage in recipe.stages]


def whole_run(found: Sequence[tuple[Any, Estimate]]) -> float:
    """Peak bytes of a process that runs all stages one after another: those of the largest and, where several train,
    what lies in pieces too small for the next stage's tensors: over hours about RETAINED bytes.
    """
    several = sum(hasattr(stage, "training") for stage, _ in found) > 1
    return max((estimate.memory for _, estimate in found), default=0.0) + (RETAINED if several else 0)


OTHERWISE = "done with other settings"


def show_estimate(recipe: Recipe, runs: Path) -> None:
    """Print the table, and what is done already."""
    from heedful.ops.rates import matrix_rate, training_device

    device = training_device()
    rates, free = matrix_rate(device), memory_free_on(device)
    rate = max(rates.values()) if _may_use_bfloat16(recipe) else rates["float32"]
    folder = RunFolder(runs / recipe.name)
    table = Table("stage", "kind", "time, about", "memory, about", "")
    total, found, states = 0.0, estimates(recipe, rate), list[str]()
    for index, (stage, estimate) in enumerate(found):
        state = _state(stage, recipe.seed, folder.stage_folder(index, stage.name))
        held = f"{estimate.memory / 1e9:.1f} GB"
        table.add_row(stage.name, stage.type, _duration(estimate.seconds), held, state)
        states.append(state)
        total += 0 if state else estimate.seconds
    output.print(f"[bold]{recipe.name}[/bold] {recipe.about}")
    output.print(table)
    output.print(f"about {_duration(total)} to go, {whole_run(found) / 1e9:.1f} GB at most ({free / 1e9:.0f} GB free)")
    if OTHERWISE in states:
        output.print(
            f"a stage is {OTHERWISE}, so a run would be refused: undo the change, remove that stage's folder and those "
            "after it, or use another name"
        )
    output.print(f"would write {folder.root}; nothing was run")


def _state(stage: StageConfig, seed: int, folder: Path) -> str:
    """Whether it is done; its inputs are not looked at. A report is always made anew."""
    if (manifest := Manifest.read(folder)) is None or stage.type == "report":
        return ""
    now = manifest.conditions | {"seed": seed, "config": stage.model_dump()}
    return OTHERWISE if changes(type(stage), manifest.conditions, now) else "done"


def _may_use_bfloat16(recipe: Recipe) -> bool:
    return any(s.training.precision != "float32" for s in recipe.stages if hasattr(s, "training"))


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
