"""The strip of stages, the final one of several, and the line above the showcase."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from heedful.report.read import Stage, read_run
from heedful.report.story import Chip, chips, figure, final_first, finals, showcase_line


def stages(*named: str) -> list[Stage]:
    """Stages called `kind-something`."""
    return [Stage(name, name.split("-")[0], None, [], {}, [], {}) for name in named]


def names(found: list[Stage]) -> list[str]:
    return [stage.name for stage in found]


@pytest.mark.parametrize(
    ("kind", "summary", "said"),
    [
        ("world", {"digest": "ab", "settings": {"documents": 42_000}}, "42,000 pages"),
        ("reward", {"low": 0.58, "accuracy": 0.6314}, "held-out accuracy 63\N{NO-BREAK SPACE}%"),
        ("ppo", {"beta": 0.07, "stopped": "", "kl": 2.527}, "KL 2.53"),
        ("evaluate", {"prompts": {"test": 600}, "warnings": 9}, "600 prompts"),
        ("reward", {"trained_on": {"rankings": 9}}, ""),  # no labels were held out
        ("world", {"settings": 3}, "settings 3"),
        ("distill", {"on": True, "teacher": "big", "kept_pairs": 12}, "kept pairs 12"),
        ("distill", {}, ""),
    ],
)
def test_a_stage_has_one_figure(kind: str, summary: dict[str, Any], said: str) -> None:
    assert figure(kind, summary) == said


def test_the_strip_has_every_stage_in_order(root: Path) -> None:
    strip = chips([*read_run(root).stages, *stages("ppo-2")])
    assert [chip.name for chip in strip] == ["world", "pretrain", "sft", "reward", "ppo", "evaluate", "ppo-2"]
    assert strip[1] == Chip("pretrain", "2.99\N{NO-BREAK SPACE}M tokens", True)
    assert strip[-1] == Chip("ppo-2", "not complete", False)


@pytest.mark.parametrize(
    ("own", "headline", "order"),
    [
        (["ppo-1", "ppo", "ppo-audit"], "", ["ppo", "ppo-1", "ppo-audit"]),
        (["ppo", "ppo-2"], "ppo-2", ["ppo-2", "ppo"]),
        (["ppo-1", "ppo-2"], "", ["ppo-2", "ppo-1"]),
        ([], "ppo", []),
    ],
)
def test_the_final_stage_of_a_kind_comes_first(own: list[str], headline: str, order: list[str]) -> None:
    assert names(final_first(stages("sft", *own), "ppo", headline)) == order


def test_the_final_stage_of_each_kind_keeps_its_place() -> None:
    run = stages("sft", "reward-1", "ppo-1", "reward", "ppo", "reward-audit")
    assert names(finals(run)) == ["sft", "reward", "ppo"]


def test_the_showcase_is_summed_up(result: dict[str, Any]) -> None:
    result["showcase"][0]["answers"]["ppo"]["gold"] = 0.01
    result["showcase"][1]["answers"]["ppo"]["gold"] = result["showcase"][1]["answers"]["pretrain"]["gold"]
    assert showcase_line(result) == (
        "5 questions fixed before the run: gold 0.05 → 0.58 on average, better in 3, worse in 1; "
        "the verdict rests on 540 test prompts."
    )


def test_without_scores_there_is_no_line(result: dict[str, Any]) -> None:
    for row in result["showcase"]:
        del row["answers"]["ppo"]["gold"]
    assert showcase_line(result) == ""
