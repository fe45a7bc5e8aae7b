"""Answers graded one by one by simulated raters: ratings by criterion, or which steps of a sum are right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from heedful.config import FlippedLabels, JudgeLabels, LabelConfig, PeopleLabels
from heedful.data.candidates import Candidates
from heedful.data.steps import steps_of
from heedful.errors import InputError
from heedful.records import Prompt, Rating, StepLabels
from heedful.run import Run
from heedful.world import GoldJudge, SimulatedRater
from heedful.world.families import GRAMMAR

IN_STEPS = "steps"  # the family of the built-in world whose answers have steps that can be checked
MANNER = frozenset({"flattery", "filler", "confident", "caveat"})  # kinds of sentences that say nothing of the sum
GOLD = GoldJudge()
FILES = {"rate": "ratings.jsonl", "steps": "steps.jsonl"}


def of_kind(ask: Literal["rank", "rate", "steps"], pool: Sequence[Candidates]) -> list[Candidates]:
    """The prompts that can be asked about: of step labels, sums in steps alone."""
    return [candidates for candidates in pool if ask != "steps" or candidates.family == IN_STEPS]


def refuse_unfit(config: LabelConfig, pool: Sequence[Candidates]) -> None:
    """InputError where these raters can't answer what they are asked."""
    if isinstance(config.by, PeopleLabels):
        if config.ask != "rank":
            raise InputError(f'ask = "{config.ask}": people answer their project\'s sheet; leave ask at "rank"')
        return
    if isinstance(config.by, JudgeLabels):
        if config.ask != "rank" or config.overlap > 1:
            raise InputError("an AI judge ranks, and says the same each time: leave ask and overlap out")
        return
    if isinstance(config.by, FlippedLabels):
        if config.ask != "rank":
            raise InputError(f'ask = "{config.ask}": flipped labels are of two answers; leave ask at "rank"')
        return
    if config.ask != "rank" and config.by.truth != "world":
        raise InputError(f'ask = "{config.ask}": raters of sentiment can only rank; set by.truth to "world"')
    if config.ask == "steps" and not of_kind(config.ask, pool):
        raise InputError(
            f"{', '.join(config.completions)}: no prompt is of the built-in world's family '{IN_STEPS}', "
            "and simulated raters can check no other steps"
        )


def grade(
    config: LabelConfig, pool: Sequence[Candidates], held: frozenset[int], raters: Sequence[SimulatedRater], run: Run
) -> None:
    """Every rater of a prompt grades all of its candidates; leaves ratings.jsonl or steps.jsonl, and heldout.jsonl."""
    training: list[Rating | StepLabels] = []
    heldout: list[Rating | StepLabels] = []
    with run.progress("label", len(pool)) as progress:
        for index, candidates in enumerate(pool):
            order = run.rng("raters", index).permutation(len(raters))
            people = [raters[int(i)] for i in order[: 1 if index in held else config.overlap]]
            for number, rater in enumerate(people):
                rng = run.rng("grade", index, number)
                texts = [text for text in candidates.texts if text.strip()]
                given = [_judgement(config, candidates.prompt, text, rater, rng) for text in texts]
                (heldout if index in held else training).extend(given)
            progress.advance()
    run.write_records(FILES[config.ask], training)
    run.write_records("heldout.jsonl", heldout)
    run.summary |= {"answers": len(training), "heldout": len(heldout), "raters": sorted({r.rater for r in training})}
    run.say(f"{len(training)} graded answers to train on, {len(heldout)} held out, by {len(raters)} simulated raters")


def _judgement(
    config: LabelConfig, prompt: Prompt, text: str, rater: SimulatedRater, rng: np.random.Generator
) -> Rating | StepLabels:
    if config.ask == "rate":
        ratings = rater.rate(prompt, text, rng)
        return Rating(prompt=prompt, completion=text, ratings=ratings, rater=rater.name, rater_kind="simulated")
    steps = steps_of(text, "sentences")
    right = [_is_manner(step) or all(ok for _, ok in GOLD.steps(prompt, step)) for step in steps]
    labels = tuple(float(rater.checks(one, rng)) for one in right)
    return StepLabels(prompt=prompt, steps=steps, labels=labels, rater=rater.name, rater_kind="simulated")


def _is_manner(sentence: str) -> bool:
    """Whether it is no step at all, and so no error: neutral, which counts as right (Lightman 2023)."""
    return all(move.kind in MANNER for move in GRAMMAR.parse(sentence))
