"""What happened: a run's stages in order with one figure each, and which of several of a kind is the final one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heedful.report.read import Stage
from heedful.report.svg import number
from heedful.report.verdict import find, headline_policy, judge_of, percent

# Of each kind of stage: where its summary holds the figure that tells most, and how it is said.
FIGURES = {
    "world": ("settings.documents", "{} pages"),
    "openings": ("openings", "{} prompts"),
    "pretrain": ("tokens", "{} tokens"),
    "sft": ("demonstrations", "{} demonstrations"),
    "sample": ("completions", "{} answers"),
    "label": ("rankings", "{} rankings"),
    "reward": ("accuracy", "held-out accuracy {}"),
    "blend": ("accuracy", "held-out accuracy {}"),
    "accuracy": ("pairs", "on {} pairs"),
    "dpo": ("pairs", "{} pairs"),
    "ppo": ("kl", "KL {}"),
    "rl": ("kl", "KL {}"),
    "select": ("demonstrations", "{} demonstrations"),
    "evaluate": ("prompts.test", "{} prompts"),
}
SHARES = ("accuracy",)  # figures that are said in per cent


@dataclass(frozen=True, slots=True)
class Chip:
    """One stage in the strip."""

    name: str
    figure: str
    complete: bool


def chips(stages: Sequence[Stage]) -> list[Chip]:
    """Every stage of a run in order. One that has not ended says so in place of its figure."""
    return [
        Chip(stage.name, figure(stage.kind, stage.manifest.summary), True)
        if stage.manifest
        else Chip(stage.name, "not complete", False)
        for stage in stages
    ]


def figure(kind: str, summary: Mapping[str, Any]) -> str:
    """What a stage's summary says in one figure; of a kind unknown here its first; empty where it holds none."""
    place, said = FIGURES.get(kind, ("", ""))
    value: Any = summary
    for key in place.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    if _plain(value):
        return said.format(percent(value, 0) if place in SHARES else number(value))
    key = next((key for key, value in summary.items() if _plain(value)), "")
    return f"{key.replace('_', ' ')} {number(summary[key])}" if key else ""


def _plain(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def final_first(stages: Sequence[Stage], kind: str, headline: str = "") -> list[Stage]:
    """The stages of a kind, the final one first: the headline policy's own, else the one called like its kind, else
    the last; then the others in order."""
    own = [stage for stage in stages if stage.kind == kind]
    named = [stage for name in (headline, kind) for stage in own if stage.name == name]
    final = [*named, *own[-1:]][:1]
    return final + [stage for stage in own if stage not in final]


def finals(stages: Sequence[Stage], headline: str = "") -> list[Stage]:
    """The final stage of each kind, in the run's order."""
    return [stage for stage in stages if stage is final_first(stages, stage.kind, headline)[0]]


def showcase_line(evaluation: Mapping[str, Any]) -> str:
    """How the showcase went from the base to the headline policy; empty where nothing scored both."""
    base, policy = evaluation.get("base", ""), headline_policy(evaluation)
    answers = [row["answers"] for row in evaluation.get("showcase", [])]
    scored = [row for row in answers if "gold" in row[base] and "gold" in row[policy]]
    scores = [(row[base]["gold"], row[policy]["gold"]) for row in scored]
    if not scores or base == policy:
        return ""
    before, after = (sum(side) / len(scores) for side in zip(*scores, strict=True))
    better, worse = sum(a > b for b, a in scores), sum(a < b for b, a in scores)
    questions = "1 question" if len(scores) == 1 else f"{len(scores)} questions"
    text = (
        f"{questions} fixed before the run: {judge_of(evaluation)} {before:.2f} → {after:.2f} on average, "
        f"better in {better}, worse in {worse}"
    )
    verdict = find(evaluation, policy, evaluation["reference"], "sample", judge_of(evaluation))
    return f"{text}; the verdict rests on {verdict['prompts']} test prompts." if verdict else f"{text}."
