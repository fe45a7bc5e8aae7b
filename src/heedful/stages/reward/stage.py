"""Train one reward model, or an ensemble of them and their mean, and report how far it can be trusted."""

from __future__ import annotations

import json
import shutil

from accelerate import Accelerator
from torch import Tensor
from transformers import PreTrainedModel

from heedful.batches import Batch
from heedful.config import RewardConfig
from heedful.config.reward import BradleyTerry, Odin, Outcome, Pairwise, PlackettLuce, Process, Regression
from heedful.errors import InputError
from heedful.evaluate.reward_report import AMONG_RATERS
from heedful.run import Run, atomic_text
from heedful.stages.reward.correctness import outcome_lesson, process_lesson
from heedful.stages.reward.lesson import Lesson, Report, Trained
from heedful.stages.reward.rankings import odin_lesson, scalar_lesson
from heedful.stages.reward.ratings import regression_lesson
from heedful.stages.reward.side_by_side import pairwise_lesson
from heedful.train.loop import fit, make_accelerator
from heedful.train.pair_source import PairSource

SUMMARY = (
    "accuracy", "low", "high", *AMONG_RATERS, "gold_on_labels", "gold_agreement", "short_of_gold", "length_only",
    "trained_on", "affine", "length", "ensemble", "criteria", "f1",
)  # fmt: skip


def reward(config: RewardConfig, run: Run) -> None:
    """Leaves model/ (a classifier that plain transformers loads, the affine in its config) and reward.json.

    With members above 1 it leaves each in members/K/model as well, and model/ is the mean of their weights.
    """
    accelerator = make_accelerator(config.training)
    if config.members == 1:
        trained, figures = _train(_lesson(config, run, run.seed_for("head")), config, run, accelerator), Report()
    else:
        trained, figures = _train_members(config, run, accelerator)
    if run.main:
        trained.save(run)
        report, sentence = trained.report(run)
        report |= figures
        atomic_text(run.path / "reward.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
        run.summary |= {key: report[key] for key in SUMMARY if report.get(key) is not None}
        run.say(sentence)
        for index in range(config.members if config.members > 1 else 0):
            shutil.rmtree(_member(run, index).checkpoints, ignore_errors=True)  # all that they were kept for is done


def _lesson(config: RewardConfig, run: Run, head: int) -> Lesson:
    """`head` is the seed that new heads are drawn from."""
    match config.loss:
        case BradleyTerry() | PlackettLuce() as loss:
            return scalar_lesson(config, loss, run, head)
        case Odin() as loss:
            return odin_lesson(config, loss, run, head)
        case Pairwise():
            return pairwise_lesson(config, run, head)
        case Regression() as loss:
            return regression_lesson(config, loss, run, head)
        case Outcome() as loss:
            return outcome_lesson(config, loss, run, head)
        case Process() as loss:
            return process_lesson(config, loss, run, head)


def _train(lesson: Lesson, config: RewardConfig, run: Run, accelerator: Accelerator) -> Trained:
    training = config.training
    source = PairSource(
        lesson.tokens,
        lesson.batch,
        run,
        weights=lesson.weights,
        prompts_per_step=config.prompts_per_step,
        tokens_per_batch=training.tokens_per_batch,
        epochs=training.epochs,
        share=(accelerator.process_index, accelerator.num_processes),
    )
    if lesson.whole_steps:
        _refuse_parts(lesson, source, config, accelerator)
    lesson.model.train()
    fit(
        lesson.model,
        source,
        lesson.objective,
        optim={"": config.optim},
        training=training,
        run=run,
        accelerator=accelerator,
        heldout=lambda: lesson.heldout,
    )
    lesson.model.eval()
    return lesson.done()


def _refuse_parts(lesson: Lesson, source: PairSource[Batch], config: RewardConfig, accelerator: Accelerator) -> None:
    """Where a loss is no sum over a step's items, each step must stand in one batch of one process."""
    if accelerator.num_processes > 1:
        raise InputError(f"{lesson.whole_steps}: train it in one process")
    largest = max(sum(lesson.tokens[i] for i in source.rankings_of(step)) for step in range(source.total_steps))
    if largest > config.training.tokens_per_batch:
        raise InputError(
            f"{lesson.whole_steps}, and one step holds {largest} tokens: raise training.tokens_per_batch to that, "
            f"or lower prompts_per_step (now {config.prompts_per_step})"
        )


def _member(run: Run, index: int) -> Run:
    """A member's own folder and draws; the first has the draws of a model that is trained alone."""
    seed = run.seed_for("member", index) if index else run.seed
    return Run(run.path / "members" / str(index), run.stage, seed, run.stopper, run.main)


def _train_members(config: RewardConfig, run: Run, accelerator: Accelerator) -> tuple[Trained, Report]:
    """One after the other; what comes back holds the mean of all weights (WARM, Ramé 2024).

    All begin with the same head and see the data in orders of their own: weights that began apart have no mean.
    """
    total: dict[str, Tensor] = {}
    scores: list[list[float]] = []
    for index in range(config.members):
        member = _member(run, index)
        run.say(f"member {index + 1} of {config.members}")
        trained = _train(_lesson(config, member, run.seed_for("head")), config, member, accelerator)
        if run.main:
            trained.save(member)
            _add(total, trained.classifier)
            scores.append(trained.heldout_scores())
    if not run.main:
        return trained, Report()
    weights = trained.classifier.state_dict()
    mean = {name: (tensor / config.members).to(weights[name].dtype) for name, tensor in total.items()}
    trained.classifier.load_state_dict(weights | mean)
    return trained, trained.ensemble_report(scores)


def _add(total: dict[str, Tensor], classifier: PreTrainedModel) -> None:
    """Sums of weights, in float64; whole numbers are the same in all members."""
    for name, tensor in classifier.state_dict().items():
        if tensor.is_floating_point():
            total[name] = total[name] + tensor.double() if name in total else tensor.double()
