"""Reward models that tell right from wrong: of whole answers (outcome), or of each step (process)."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedModel

from heedful.algorithms.reward.correctness import outcome_objective, process_objective
from heedful.config import RewardConfig
from heedful.config.reward import Outcome, Process
from heedful.data.chat import Chat
from heedful.data.lengths import fitting_groups
from heedful.data.pairs import apart
from heedful.data.sources import read_outcomes, read_steps
from heedful.data.steps import JOINT, LabelledExample, StepExample, pack_correctness, step_example, up_to_first_error
from heedful.evaluate.correctness_report import outcome_report, sentence, step_report
from heedful.models.classifiers import STEP_LABELS, draw_heads, new_heads, save_heads
from heedful.models.heads import RewardModel
from heedful.models.loading import save_reward_model
from heedful.models.lora import add_lora
from heedful.records import StepLabels
from heedful.rewards.model import RAW, ModelReward
from heedful.rewards.process import ProcessReward
from heedful.run import Run
from heedful.stages.reward.lesson import Lesson, Report, shown
from heedful.stages.reward.scale import Samples, read_samples, scale_of


class JudgedSteps:
    """A trained model that says of each step how likely it is right."""

    def __init__(
        self,
        judge: ProcessReward,
        trained_on: Report,
        heldout: list[StepLabels],
        examples: list[StepExample],
        samples: Samples,
    ) -> None:
        self.judge, self.trained_on, self.samples = judge, trained_on, samples
        self.heldout, self.examples = heldout, examples
        self.affine = RAW

    @property
    def classifier(self) -> PreTrainedModel:
        return self.judge.model.classifier

    def save(self, run: Run) -> None:
        scores = [score.value for score in self.judge.score(*self.samples.asked)]
        self.affine = scale_of(self.samples.completions, scores, run)
        told = {"steps": self.judge.cut, "step_score": self.judge.way}
        save_heads(self.judge.model, self.judge.chat, self.affine, run.model, **told)

    def report(self, run: Run) -> tuple[Report, str]:
        report = step_report(self.judge.chances(self.examples), [item.labels for item in self.heldout])
        line = sentence(report)
        report |= {"trained_on": self.trained_on, "affine": {"mean": self.affine.mean, "std": self.affine.std}}
        return report, line

    def heldout_scores(self) -> list[float]:
        return []

    def ensemble_report(self, scores: Sequence[Sequence[float]]) -> Report:
        return {}


class JudgedAnswers:
    """A trained model that says how likely an answer is right, in log-odds."""

    def __init__(self, judge: ModelReward, trained_on: int, heldout: list[LabelledExample], samples: Samples) -> None:
        self.judge, self.trained_on, self.heldout, self.samples = judge, trained_on, heldout, samples
        self.affine = RAW

    @property
    def classifier(self) -> PreTrainedModel:
        return self.judge.model.classifier

    def save(self, run: Run) -> None:
        self.affine = scale_of(self.samples.completions, self.judge.score_examples(self.samples.examples), run)
        save_reward_model(self.judge.model, self.judge.chat, self.affine, run.model)

    def report(self, run: Run) -> tuple[Report, str]:
        said = self.judge.score_examples([item.example for item in self.heldout])
        report = outcome_report(said, [item.labels[-1] for item in self.heldout])
        line = sentence(report)
        report |= {"trained_on": {"labels": self.trained_on}}
        return report | {"affine": {"mean": self.affine.mean, "std": self.affine.std}}, line

    def heldout_scores(self) -> list[float]:
        return []

    def ensemble_report(self, scores: Sequence[Sequence[float]]) -> Report:
        return {}


def outcome_lesson(config: RewardConfig, loss: Outcome, run: Run, head: int) -> Lesson:
    """One logit, learnt at the answer's last token or at each of them, and read at the last."""
    held_all = read_outcomes(config.heldout)
    labelled, overlap = apart(read_outcomes(config.data), held_all, "labels")
    model, chat = new_heads(config.model, ("right",))
    draw_heads(model, head)
    run.note(add_lora(model.classifier, config.lora, config.model, run.seed_for("lora")))
    items, left_out = _outcomes(chat, labelled, loss, model.context, "labels", config.data)
    heldout, also_left_out = _outcomes(chat, held_all, loss, model.context, "held-out labels", config.heldout)
    for note in (overlap, left_out, also_left_out):
        run.note(note)
    samples = read_samples(config.calibration, chat, model.context, run)
    return Lesson(
        model,
        [len(item.example.ids) for item in items],
        lambda chosen: pack_correctness([items[i] for i in chosen]),
        outcome_objective,
        lambda: JudgedAnswers(ModelReward(RewardModel(model.classifier), chat), len(items), heldout, samples),
        shown(heldout, lambda item: len(item.example.ids), pack_correctness, config.training),
    )


def _outcomes(
    chat: Chat, labelled: Sequence[StepLabels], loss: Outcome, context: int, what: str, paths: Sequence[str]
) -> tuple[list[LabelledExample], str]:
    """Answers as tokens with their label at the last one, or at each; and a sentence about those that don't fit."""
    texts = [[chat.example(item.prompt.messages, item.steps[0])] for item in labelled]
    kept, left_out = fitting_groups(texts, context, what, labelled, paths)
    items = []
    for example, item in ((texts[i][0], labelled[i]) for i in kept):
        last = len(example.ids)
        at = range(example.answer if loss.every_token else last - 1, last)
        items.append(LabelledExample(example, tuple(at), (item.labels[0],) * len(at)))
    return items, left_out


def process_lesson(config: RewardConfig, loss: Process, run: Run, head: int) -> Lesson:
    """Two logits at the end of each step."""
    held_all = read_steps(config.heldout)
    labelled, overlap = apart(read_steps(config.data), held_all, "answers in steps")
    model, chat = new_heads(config.model, STEP_LABELS, tokens=True)
    draw_heads(model, head)
    run.note(add_lora(model.classifier, config.lora, config.model, run.seed_for("lora")))
    joint = JOINT[loss.steps]
    texts = [_in_steps(chat, item, joint) for item in labelled]
    what, context = "answers in steps", model.context
    kept, left_out = fitting_groups([[item.example] for item in texts], context, what, labelled, config.data)
    items = [_labelled(texts[i], labelled[i], loss) for i in kept]
    held_texts = [_in_steps(chat, item, joint) for item in held_all]
    examples = [[item.example] for item in held_texts]
    held, also_left_out = fitting_groups(examples, context, f"held-out {what}", held_all, config.heldout)
    for note in (overlap, left_out, also_left_out):
        run.note(note)
    samples = read_samples(config.calibration, chat, model.context, run)
    trained_on = {"answers": len(items), "steps": sum(len(item.at) for item in items)}

    held_items = [_labelled(held_texts[i], held_all[i], loss) for i in held]

    def done() -> JudgedSteps:
        judge = ProcessReward(model, chat, loss.steps, loss.score)
        return JudgedSteps(judge, trained_on, [held_all[i] for i in held], [held_texts[i] for i in held], samples)

    return Lesson(
        model,
        [len(item.example.ids) for item in items],
        lambda chosen: pack_correctness([items[i] for i in chosen]),
        process_objective,
        done,
        shown(held_items, lambda item: len(item.example.ids), pack_correctness, config.training),
    )


def _in_steps(chat: Chat, item: StepLabels, joint: str) -> StepExample:
    return step_example(chat, item.prompt.messages, joint.join(item.steps), item.steps)


def _labelled(text: StepExample, item: StepLabels, loss: Process) -> LabelledExample:
    count = up_to_first_error(item.labels) if loss.first_error else len(item.labels)
    return LabelledExample(text.example, text.ends[:count], item.labels[:count])
