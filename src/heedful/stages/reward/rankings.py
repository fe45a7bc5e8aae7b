"""Reward models that learn from rankings and give each answer one score: Bradley-Terry, Plackett-Luce, ODIN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedModel

from heedful.algorithms.reward.bradley_terry import bradley_terry_objective
from heedful.algorithms.reward.odin import QUALITY, odin_objective
from heedful.algorithms.reward.plackett_luce import plackett_luce_objective
from heedful.config import RewardConfig
from heedful.config.reward import BradleyTerry, Odin, PlackettLuce
from heedful.data.chat import Chat
from heedful.data.choices import ChosenExamples, choose_examples, pack_choices
from heedful.data.lengths import fitting_groups
from heedful.data.packing import Example
from heedful.data.pairs import RankedExamples, apart, by_answers, fits, pack_pairs, rank_examples, unread_margins
from heedful.data.sources import read_rankings
from heedful.errors import InputError
from heedful.evaluate.ensemble_report import ensemble_figures
from heedful.evaluate.reward_report import reward_report, sentence
from heedful.models.classifiers import draw_heads, keep_head, new_heads
from heedful.models.loading import reward_from_policy, save_reward_model
from heedful.models.lora import add_lora
from heedful.records import Ranking
from heedful.rewards.model import RAW, ModelReward
from heedful.run import Run
from heedful.stages.reward.ladder import ladder_report
from heedful.stages.reward.lesson import Lesson, Report, shown
from heedful.stages.reward.scale import Samples, read_samples, scale_of


@dataclass(frozen=True, slots=True)
class Material:
    """Everything that the stage reads, read before it trains, so that what is wrong is said at once."""

    rankings: list[list[Ranking]]  # those of the same answers together
    ranked: list[RankedExamples]  # the same as tokens
    heldout: list[Ranking]
    heldout_examples: list[Example]  # the answers of all held-out rankings in order
    samples: Samples

    @property
    def tokens(self) -> list[int]:
        return [item.tokens for item in self.ranked]

    @property
    def weights(self) -> list[float]:
        return [item.weight for item in self.ranked]

    def heldout_choices(self, chat: Chat, context: int) -> list[ChosenExamples]:
        """The held-out rankings as the training ones are."""
        groups = [(rank_examples(chat, group), group) for group in by_answers(self.heldout)]
        return [choose_examples(*both) for both in groups if both[0].chosen and fits(both[0], context)]


def read_material(config: RewardConfig, chat: Chat, context: int, run: Run) -> Material:
    """The files as tokens; the few rows that don't fit the context are left out, and said."""
    heldout = read_rankings(config.heldout)
    rankings, overlap = apart(read_rankings(config.data), heldout)
    groups = by_answers(rankings)
    ranked = [rank_examples(chat, group) for group in groups]
    several = [i for i, item in enumerate(ranked) if item.chosen]
    texts, first = [ranked[i].examples for i in several], [groups[i][0] for i in several]
    kept, left_out = fitting_groups(texts, context, "rankings", first, config.data)
    if not kept:
        raise InputError(f"{', '.join(config.data)}: no ranking holds two answers: there is nothing to compare")
    answers = [[chat.example(r.prompt.messages, text) for text in r.completions] for r in heldout]
    held, also_left_out = fitting_groups(answers, context, "held-out rankings", heldout, config.heldout)
    for note in (overlap, left_out, also_left_out):
        run.note(note)
    return Material(
        rankings=[groups[several[i]] for i in kept],
        ranked=[ranked[several[i]] for i in kept],
        heldout=[heldout[i] for i in held],
        heldout_examples=[example for i in held for example in answers[i]],
        samples=read_samples(config.calibration, chat, context, run),
    )


class ScoredAnswers:
    """A trained model that gives each answer one score in log-odds."""

    def __init__(self, judge: ModelReward, material: Material, figures: Report) -> None:
        self.judge, self.material, self.figures = judge, material, figures
        self.affine = RAW

    @property
    def classifier(self) -> PreTrainedModel:
        return self.judge.model.classifier

    def save(self, run: Run) -> None:
        samples = self.material.samples
        self.affine = scale_of(samples.completions, self.judge.score_examples(samples.examples), run)
        save_reward_model(self.judge.model, self.judge.chat, self.affine, run.model)

    def report(self, run: Run) -> tuple[Report, str]:
        """Figures on judgements never trained on, and the ladder where the prompts are the built-in world's."""
        heldout, ranked = self.material.heldout, self.material.ranked
        report = reward_report(heldout, self._raw(), run.rng("report"))
        report |= ladder_report(self.judge, heldout, run)
        report |= {"trained_on": {"rankings": len(ranked), "comparisons": sum(len(item.chosen) for item in ranked)}}
        report |= {"affine": {"mean": self.affine.mean, "std": self.affine.std}} | self.figures
        return report, sentence(report)

    def heldout_scores(self) -> list[float]:
        return [(score - self.affine.mean) / self.affine.std for score in self._raw()]

    def ensemble_report(self, scores: Sequence[Sequence[float]]) -> Report:
        return {"ensemble": ensemble_figures(self.material.heldout, scores)}

    def _raw(self) -> list[float]:
        return self.judge.score_examples(self.material.heldout_examples)


def scalar_lesson(config: RewardConfig, loss: BradleyTerry | PlackettLuce, run: Run, head: int) -> Lesson:
    """One head, one score."""
    model, chat = reward_from_policy(config.model, head)
    run.note(add_lora(model.classifier, config.lora, config.model, run.seed_for("lora")))
    judge = ModelReward(model, chat)
    material = read_material(config, chat, judge.context, run)

    held = material.heldout_choices(chat, judge.context) if config.training.early_stop.metric else []

    def done() -> ScoredAnswers:
        return ScoredAnswers(judge, material, {})

    match loss:
        case BradleyTerry():
            return Lesson(
                model,
                material.tokens,
                lambda chosen: pack_pairs([material.ranked[i] for i in chosen]),
                bradley_terry_objective(loss.centering),
                done,
                shown([item.ranked for item in held], lambda item: item.tokens, pack_pairs, config.training),
                weights=material.weights,
            )
        case PlackettLuce():
            run.note(unread_margins((item.margin for item in material.ranked), loss.type))
            choices = [choose_examples(*both) for both in zip(material.ranked, material.rankings, strict=True)]
            return Lesson(
                model,
                material.tokens,
                lambda chosen: pack_choices([choices[i] for i in chosen]),
                plackett_luce_objective(loss.centering),
                done,
                shown(held, lambda item: item.ranked.tokens, pack_choices, config.training),
                weights=material.weights,
            )


def odin_lesson(config: RewardConfig, loss: Odin, run: Run, head: int) -> Lesson:
    """Two heads in training; afterwards the quality head alone is an ordinary reward model."""
    model, chat = new_heads(config.model, ("quality", "length"))
    draw_heads(model, head)
    run.note(add_lora(model.classifier, config.lora, config.model, run.seed_for("lora")))
    material = read_material(config, chat, model.context, run)
    held = material.heldout_choices(chat, model.context) if config.training.early_stop.metric else []

    def done() -> ScoredAnswers:
        judge = ModelReward(keep_head(model, QUALITY), chat)
        return ScoredAnswers(judge, material, _length_figures(judge, material))

    return Lesson(
        model,
        material.tokens,
        lambda chosen: pack_pairs([material.ranked[i] for i in chosen]),
        odin_objective(model.head, decorrelation=loss.decorrelation, orthogonality=loss.orthogonality),
        done,
        shown([item.ranked for item in held], lambda item: item.tokens, pack_pairs, config.training),
        weights=material.weights,
        whole_steps="odin's correlation is taken over a whole step",
    )


def _length_figures(judge: ModelReward, material: Material) -> Report:
    """How far scores go with length, over held-out answers."""
    examples = material.heldout_examples
    if len(examples) < 3:
        return {}
    scores, tokens = judge.score_examples(examples), [example.targets for example in examples]
    if np.ptp(scores) == 0 or np.ptp(tokens) == 0:
        return {}
    return {"length": {"correlation": round(float(np.corrcoef(scores, tokens)[0, 1]), 4)}}
