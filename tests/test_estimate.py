"""What a dry run expects: it counts what is read."""

from __future__ import annotations

from pathlib import Path

from heedful.config import load_recipe
from heedful.estimate import estimates

SELECT = """
name = "choose"
about = "Keep the best."

[[stages]]
type = "select"
completions = ["{answers}"]
[stages.rewards.parts.judge]
type = "model"
model = "judge"
"""
LIKELY = """
[stages.rewards.parts.likely]
type = "likelihood"
model = "policy"
"""
RATE = 1e9


def seconds(folder: Path, text: str) -> float:
    """Of the only stage."""
    answers = folder / "answers.jsonl"
    answers.write_text("{}\n" * 1000)
    recipe = folder / "choose.toml"
    recipe.write_text(text.format(answers=answers))
    ((_, estimate),) = estimates(load_recipe(str(recipe)), RATE)
    return estimate.seconds


def test_every_model_that_reads_the_answers_is_counted(tmp_path: Path) -> None:
    one = seconds(tmp_path, SELECT)
    two = seconds(tmp_path, SELECT + LIKELY)
    three = seconds(tmp_path, SELECT + LIKELY + 'reference = "base"\n')
    assert two - one > 1 and abs((three - two) - (two - one)) < 1e-6
