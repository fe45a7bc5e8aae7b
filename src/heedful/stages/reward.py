"""Train a reward model on rankings, set its scale on SFT samples, and report how far it can be trusted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from heedful.algorithms.reward.bradley_terry import bradley_terry_objective
from heedful.batches import PairBatch
from heedful.config import RewardConfig
from heedful.data.lengths import fitting_groups
from heedful.data.packing import Example, groups_by_tokens
from heedful.data.pairs import RankedExamples, apart, by_answers, fitting, pack_pairs, rank_examples
from heedful.data.sources import read_completions, read_rankings
from heedful.errors import InputError
from heedful.evaluate.reward_report import ladder_figures, reward_report, sentence
from heedful.models.loading import Affine, reward_from_policy, save_reward_model
from heedful.models.lora import add_lora
from heedful.records import Completion, Ranking
from heedful.rewards.model import RAW, ModelReward
from heedful.run import Run, atomic_text
from heedful.train.loop import fit, make_accelerator
from heedful.train.pair_source import PairSource
from heedful.world import FAMILIES, ladder

CALIBRATION = 3000  # samples of each file that set the scale: its standard error is then below 2 %
SUMMARY = ("accuracy", "low", "high", "ceiling", "gold_on_labels", "gold_agreement", "short_of_gold", "length_only")


@dataclass(frozen=True, slots=True)
class Material:
    """Everything that the stage reads, read before it trains, so that what is wrong is said at once."""

    training: list[RankedExamples]
    heldout: list[Ranking]
    heldout_examples: list[Example]  # the answers of all held-out rankings in order
    samples: list[Completion]
    sample_examples: list[Example]


def reward(config: RewardConfig, run: Run) -> None:
    """Leaves model/ (a classifier with one label, scores in log-odds, the affine in its config) and reward.json."""
    accelerator = make_accelerator(config.training)
    model, chat = reward_from_policy(config.model, run.seed_for("head"))
    run.note(add_lora(model.classifier, config.lora, config.model, run.seed_for("lora")))
    judge = ModelReward(model, chat)
    material = _read(judge, config, run)
    ranked = material.training
    model.train()
    fit(
        model,
        PairSource(
            [item.tokens for item in ranked],
            lambda chosen: pack_pairs([ranked[i] for i in chosen]),
            run,
            prompts_per_step=config.prompts_per_step,
            tokens_per_batch=config.training.tokens_per_batch,
            epochs=config.training.epochs,
            share=(accelerator.process_index, accelerator.num_processes),
        ),
        bradley_terry_objective(config.centering),
        optim={"": config.optim},
        training=config.training,
        run=run,
        accelerator=accelerator,
        heldout=_heldout_batches(judge, material.heldout, config),
    )
    model.eval()
    if run.main:
        _finish(judge, material, run)


def _heldout_batches(judge: ModelReward, heldout: Sequence[Ranking], config: RewardConfig) -> list[PairBatch]:
    """What early stop looks at: the held-out rankings; without early stop nothing."""
    if not config.training.early_stop.metric:
        return []
    ranked = [rank_examples(judge.chat, group) for group in by_answers(heldout)]
    fit_in, _ = fitting([item for item in ranked if item.chosen], judge.context)
    groups = groups_by_tokens([item.tokens for item in fit_in], config.training.tokens_per_batch)
    return [pack_pairs([fit_in[i] for i in group]) for group in groups]


def _finish(judge: ModelReward, material: Material, run: Run) -> None:
    """Set the scale, save the model, and write the report."""
    affine = _affine(judge, material, run)
    save_reward_model(judge.model, judge.chat, affine, run.model)
    report = _report(judge, material, run)
    ranked = material.training
    report |= {"trained_on": {"rankings": len(ranked), "comparisons": sum(len(item.chosen) for item in ranked)}}
    report |= {"affine": {"mean": affine.mean, "std": affine.std}}
    atomic_text(run.path / "reward.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    run.summary |= {key: report[key] for key in SUMMARY if report.get(key) is not None}
    run.summary |= {key: report[key] for key in ("trained_on", "affine")}
    run.say(sentence(report))


def _read(judge: ModelReward, config: RewardConfig, run: Run) -> Material:
    """The files as tokens; the few rows that don't fit the context are left out, and said."""
    chat, context = judge.chat, judge.context
    heldout = read_rankings(config.heldout)
    rankings, overlap = apart(read_rankings(config.data), heldout)
    ranked = [rank_examples(chat, group) for group in by_answers(rankings)]
    training, left_out = fitting([item for item in ranked if item.chosen], context)
    if not training:
        raise InputError(f"{', '.join(config.data)}: no ranking holds two answers: there is nothing to compare")
    groups = [[chat.example(r.prompt.messages, text) for text in r.completions] for r in heldout]
    kept, also_left_out = fitting_groups(groups, context, "held-out rankings")
    samples = [sample for path in config.calibration for sample in read_completions(path)[:CALIBRATION]]
    texts = [[chat.example(sample.prompt.messages, sample.text)] for sample in samples]
    fit_in, left_out_too = fitting_groups(texts, context, "calibration samples")
    for note in (overlap, left_out, also_left_out, left_out_too):
        if note:
            run.say(note)
    return Material(
        training=training,
        heldout=[heldout[i] for i in kept],
        heldout_examples=[example for i in kept for example in groups[i]],
        samples=[samples[i] for i in fit_in],
        sample_examples=[texts[i][0] for i in fit_in],
    )


def _affine(judge: ModelReward, material: Material, run: Run) -> Affine:
    """The scale of SFT samples, or none where the config names no samples."""
    if not material.samples:
        run.say("no calibration samples: scores stay in log-odds")
        return RAW
    affine = sample_affine(material.samples, judge.score_examples(material.sample_examples))
    run.say(f"SFT samples score {affine.mean:+.2f} on average, {affine.std:.2f} within a prompt: the unit of β")
    return affine


def sample_affine(samples: Sequence[Completion], scores: Sequence[float]) -> Affine:
    """Mean over all samples, and the standard deviation *within* a prompt: the root of the mean variance.

    How scores differ between prompts is nothing that a policy can change, so it has no part in the unit of β.
    """
    groups: dict[str, list[float]] = {}
    for sample, score in zip(samples, scores, strict=True):
        groups.setdefault(sample.prompt.id, []).append(score)
    several = [group for group in groups.values() if len(group) > 1]
    std = sqrt(sum(_variance(group) for group in several) / len(several)) if several else 0.0
    if std <= 1e-6:
        raise InputError(
            "the calibration samples do not differ within a prompt, so their scores have no scale: "
            "sample at least two completions a prompt at a temperature above 0"
        )
    return Affine(mean=sum(scores) / len(scores), std=std)


def _variance(values: Sequence[float]) -> float:
    """Unbiased."""
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1)


def _report(judge: ModelReward, material: Material, run: Run) -> dict[str, Any]:
    """Figures on judgements never trained on, and the ladder where the prompts are the built-in world's."""
    heldout = material.heldout
    report = reward_report(heldout, judge.score_examples(material.heldout_examples), run.rng("report"))
    if heldout and all(ranking.prompt.meta.get("family") in FAMILIES for ranking in heldout):
        report["ladder"] = _ladder(judge)
    return report


def _ladder(judge: ModelReward) -> dict[str, Any]:
    """The seeds' own order, detailed and clear > vague > wrong, on unseen prompts: overall and by family."""
    rows: dict[str, list[list[float]]] = {}
    for prompt, answers in ladder():
        examples = [judge.chat.example(prompt.messages, text) for text in answers]
        if all(len(example.ids) <= judge.context for example in examples):
            rows.setdefault(str(prompt.meta["family"]), []).append(judge.score_examples(examples))
    figures = ladder_figures([row for family in rows.values() for row in family])
    if figures:
        figures["families"] = {name: ladder_figures(family)["right_order"] for name, family in sorted(rows.items())}
    return figures
