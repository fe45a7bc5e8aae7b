"""The pairwise preference model: Bradley-Terry's loss on texts that hold both answers, in both orders."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedModel

from heedful.algorithms.reward.bradley_terry import bradley_terry_objective
from heedful.config import RewardConfig
from heedful.data.lengths import refuse_overlong
from heedful.data.pairs import RankedExamples, apart, fits, fitting, pack_pairs
from heedful.data.side_by_side import both_orders, gaps
from heedful.data.sources import read_rankings
from heedful.errors import InputError
from heedful.evaluate.reward_report import gap_report, judged_pairs, sentence
from heedful.models.loading import reward_from_policy, save_reward_model
from heedful.models.lora import add_lora
from heedful.records import Ranking
from heedful.rewards.model import RAW
from heedful.rewards.pairwise import PreferenceModel
from heedful.run import Run
from heedful.stages.reward.lesson import Lesson, Report, shown


class ComparedAnswers:
    """A trained model that says which of two answers is better."""

    def __init__(self, judge: PreferenceModel, ranked: list[RankedExamples], heldout: list[Ranking]) -> None:
        self.judge, self.ranked, self.heldout = judge, ranked, heldout

    @property
    def classifier(self) -> PreTrainedModel:
        return self.judge.model.classifier

    def save(self, run: Run) -> None:
        self.classifier.config.heedful_pairwise = True
        save_reward_model(self.judge.model, self.judge.chat, RAW, run.model)

    def report(self, run: Run) -> tuple[Report, str]:
        examples = [e for ranking in self.heldout for e in both_orders(self.judge.chat, ranking).examples]
        found = np.array(gaps(self.judge.score_examples(examples)), dtype=float)
        report = gap_report(judged_pairs(self.heldout), found, run.rng("report"))
        comparisons = sum(len(item.chosen) for item in self.ranked)
        report |= {"trained_on": {"rankings": len(self.ranked), "comparisons": comparisons}}
        return report, sentence(report)

    def heldout_scores(self) -> list[float]:
        return []

    def ensemble_report(self, scores: Sequence[Sequence[float]]) -> Report:
        return {}


def pairwise_lesson(config: RewardConfig, run: Run, head: int) -> Lesson:
    """One head at the end of a text with both answers."""
    if config.calibration:
        raise InputError(
            "a pairwise model scores no answer by itself, so samples can't set its scale: leave calibration out"
        )
    model, chat = reward_from_policy(config.model, head)
    run.note(add_lora(model.classifier, config.lora, config.model, run.seed_for("lora")))
    heldout = read_rankings(config.heldout)
    rankings, overlap = apart(read_rankings(config.data), heldout)
    for some, paths in ((rankings, config.data), (heldout, config.heldout)):
        prompts = [ranking.prompt for ranking in some]
        asked = [chat.prompt_ids(prompt.messages) for prompt in prompts]
        refuse_overlong(prompts, asked, model.context, paths=paths, model=config.model)
    ranked, left_out = fitting([both_orders(chat, r) for r in rankings], model.context, rankings, config.data)
    held = [ranking for ranking in heldout if fits(both_orders(chat, ranking), model.context)]
    for note in (overlap, left_out):
        run.note(note)
    if len(held) < len(heldout):
        run.say(f"{len(heldout) - len(held)} held-out rankings don't fit the context side by side: left out")
    if not ranked:
        raise InputError(f"{', '.join(config.data)}: no ranking holds two answers: there is nothing to compare")
    return Lesson(
        model,
        [item.tokens for item in ranked],
        lambda chosen: pack_pairs([ranked[i] for i in chosen]),
        bradley_terry_objective(),
        lambda: ComparedAnswers(PreferenceModel(model, chat), ranked, held),
        shown([both_orders(chat, ranking) for ranking in held], lambda item: item.tokens, pack_pairs, config.training),
        weights=[item.weight for item in ranked],
    )
