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


def test_a_policy_paid_by_a_blend_is_read_by_each_of_its_parts(tmp_path: Path) -> None:
    demo = estimates(load_recipe("demo"), RATE)
    alone = estimates(load_recipe("demo", ("ppo.rewards.model=@reward/model",)), RATE)
    (blended,), (single,) = ([e.seconds for stage, e in run if stage.name == "ppo"] for run in (demo, alone))
    (blend,) = (e.seconds for stage, e in demo if stage.name == "blend")
    assert single < blended < 2 * single and blend > 0
    ppo = next(stage for stage, _ in demo if stage.name == "ppo")
    answers = ppo.algorithm.iterations * ppo.algorithm.prompts
    tokens, size = answers * 40, 1e6
    assert blended - single > 2.5 * tokens * 2 * size / (RATE * 0.35)  # four models read instead of one
