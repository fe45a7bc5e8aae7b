"""The reward model by regression: a head for each criterion that people rated."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedModel

from heedful.algorithms.reward.regression import regression_objective
from heedful.config import RewardConfig
from heedful.config.reward import Regression
from heedful.data.lengths import fitting_groups
from heedful.data.packing import Example
from heedful.data.pairs import apart
from heedful.data.ratings import RatedExample, criteria_of, pack_ratings, standardised
from heedful.data.sources import read_ratings
from heedful.evaluate.rating_report import rating_report, sentence
from heedful.models.classifiers import criteria_row, draw_heads, new_heads, save_heads
from heedful.models.lora import add_lora
from heedful.records import Rating
from heedful.rewards.criteria import CriteriaReward
from heedful.rewards.model import RAW
from heedful.run import Run
from heedful.stages.reward.lesson import Lesson, Report, shown
from heedful.stages.reward.scale import Samples, read_samples, scale_of


class RatedAnswers:
    """A trained model that foretells ratings."""

    def __init__(
        self, judge: CriteriaReward, trained_on: int, heldout: list[Rating], examples: list[Example], samples: Samples
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
        criteria = criteria_row(self.judge.criteria)
        save_heads(self.judge.model, self.judge.chat, self.affine, run.model, criteria=criteria)

    def report(self, run: Run) -> tuple[Report, str]:
        names = [criterion.name for criterion in self.judge.criteria]
        said = [dict(zip(names, row, strict=True)) for row in self.judge.ratings(self.examples)]
        figures = rating_report(self.heldout, said)
        weights = {criterion.name: criterion.weight for criterion in self.judge.criteria}
        report = {"criteria": figures, "weights": weights, "trained_on": {"ratings": self.trained_on}}
        return report | {"affine": {"mean": self.affine.mean, "std": self.affine.std}}, sentence(figures)

    def heldout_scores(self) -> list[float]:
        return []

    def ensemble_report(self, scores: Sequence[Sequence[float]]) -> Report:
        return {}


def regression_lesson(config: RewardConfig, loss: Regression, run: Run, head: int) -> Lesson:
    """Ratings standardised over the training answers; the heads' names and scales are kept with the model."""
    held_all = read_ratings(config.heldout)
    ratings, overlap = apart(read_ratings(config.data), held_all, "ratings")
    criteria = criteria_of(ratings, loss.weights)
    model, chat = new_heads(config.model, [criterion.name for criterion in criteria])
    draw_heads(model, head)
    run.note(add_lora(model.classifier, config.lora, config.model, run.seed_for("lora")))
    texts = [[chat.example(r.prompt.messages, r.completion)] for r in ratings]
    kept, left_out = fitting_groups(texts, model.context, "ratings", ratings, config.data)
    items = [RatedExample(texts[i][0], standardised(ratings[i], criteria)) for i in kept]
    held_texts = [[chat.example(r.prompt.messages, r.completion)] for r in held_all]
    held, also_left_out = fitting_groups(held_texts, model.context, "held-out ratings", held_all, config.heldout)
    for note in (overlap, left_out, also_left_out):
        run.note(note)
    samples = read_samples(config.calibration, chat, model.context, run)

    known = [i for i in held if any(c.name in held_all[i].ratings for c in criteria)]
    held_items = [RatedExample(held_texts[i][0], standardised(held_all[i], criteria)) for i in known]

    def done() -> RatedAnswers:
        judge = CriteriaReward(model, chat, criteria)
        return RatedAnswers(judge, len(items), [held_all[i] for i in held], [held_texts[i][0] for i in held], samples)

    return Lesson(
        model,
        [len(item.example.ids) for item in items],
        lambda chosen: pack_ratings([items[i] for i in chosen]),
        regression_objective,
        done,
        shown(held_items, lambda item: len(item.example.ids), pack_ratings, config.training),
    )
