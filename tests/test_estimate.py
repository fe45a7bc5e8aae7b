"""What a dry run expects: it counts what is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from heedful.config import Recipe, load_recipe
from heedful.estimate import Estimate, estimates, show_estimate, whole_run
from heedful.run import Manifest, output

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
    assert blended - single > 2.5 * tokens * 2 * size / (RATE * 0.7)  # four models read instead of one


def test_a_set_of_answers_that_several_raters_ranked_is_read_once(tmp_path: Path) -> None:
    shown = (["a", "b"], ["b", "a"])
    rows = [{"prompt": f"{n // 4:04}", "completions": shown[n % 2], "ranks": [0, 1]} for n in range(4000)]
    many, one = tmp_path / "many.jsonl", tmp_path / "one.jsonl"
    many.write_text("".join(json.dumps(row) + "\n" for row in rows))
    one.write_text("".join(json.dumps(row) + "\n" for row in rows[::4]))
    recipe = '[[stages]]\ntype = "reward"\nmodel = "m"\ndata = ["{data}"]\n'
    found = []
    for data in (many, one):
        path = tmp_path / "score.toml"
        path.write_text('name = "score"\n' + recipe.format(data=data))
        found.append(estimates(load_recipe(str(path)), RATE)[0][1].seconds)
    assert abs(found[0] - found[1]) < 0.01 * found[1]


OWN = """
name = "mine"
[[stages]]
type = "sft"
model = "base"
data = "demos.jsonl"
[[stages]]
type = "sample"
model = "{model}"
prompts = "demos.jsonl"
generation = {{ max_new_tokens = 100 }}
[[stages]]
type = "evaluate"
models = {{ base = "base", sft = "@sft/model" }}
prompts = "demos.jsonl"
judge = "none"
reward_models = {{ reward = "{judge}" }}
generation = {{ max_new_tokens = 100 }}
"""


def own(answer: int, size: float = 1e6, *, model: str = "@sft/model", judge: str = "base") -> dict[str, Estimate]:
    """The estimates of stages on files of one's own, in this folder."""
    Path("demos.jsonl").write_text(json.dumps({"prompt": "p" * 400, "completion": "a" * answer}) + "\n")
    Path("base").mkdir(exist_ok=True)
    with Path("base/model.safetensors").open("wb") as weights:
        weights.truncate(int(4 * size))
    Path("own.toml").write_text(OWN.format(model=model, judge=judge))
    return {stage.name: estimate for stage, estimate in estimates(load_recipe("own.toml"), RATE)}


def test_ones_own_texts_are_as_long_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy answers at the length of its demonstrations, one that has seen none up to the limit."""
    monkeypatch.chdir(tmp_path)
    short, long, cut = own(40), own(200), own(4000)
    for stage in ("sft", "sample", "evaluate"):
        assert short[stage].seconds < long[stage].seconds < cut[stage].seconds
    assert own(40, model="base")["sample"].seconds == cut["sample"].seconds
    assert own(8000)["sample"].seconds == cut["sample"].seconds


def test_an_evaluation_holds_models_and_judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small, large = own(40), own(40, 1e9)
    assert large["evaluate"].memory - small["evaluate"].memory > 3.5 * 4e9  # model, its copy, the reference, the judge


def memory(*changes: str) -> dict[str, float]:
    return {stage.name: estimate.memory for stage, estimate in estimates(load_recipe("demo", changes), RATE)}


def test_what_takes_memory_is_counted() -> None:
    """Halving what a batch may hold, computing blocks again, adapters: each takes less, at its own stage."""
    usual = memory()
    for stage, change in (
        ("pretrain", "pretrain.training.tokens_per_batch=512"),
        ("pretrain", "pretrain.training.gradient_checkpointing=true"),
        ("sft", "sft.lora.rank=4"),
        ("ppo", "ppo.training.tokens_per_batch=512"),
        ("ppo", "ppo.critic_lora.rank=4"),
    ):
        changed = memory(change)
        assert changed[stage] < usual[stage] - 1e6, change
        assert all(changed[name] == usual[name] for name in usual if name != stage), change
    assert memory("sft.training.ema=0.9")["sft"] > usual["sft"]


def test_the_demos_memory_is_right_within_a_factor_of_two() -> None:
    """As measured on two processor cores: the whole run, and stages of it that ran in a process of their own."""
    alone = memory()
    for stage, measured in (("pretrain", 2.3e9), ("reward", 1.7e9), ("ppo", 1.9e9)):
        assert measured / 2 < alone[stage] < 2 * measured
    found = estimates(load_recipe("demo"), RATE)
    assert 3.6e9 / 1.5 < whole_run(found) < 1.5 * 3.6e9
    (ppo,) = [pair for pair in found if pair[0].name == "ppo"]
    assert whole_run([ppo]) == ppo[1].memory


def test_a_broken_row_does_not_end_the_estimate(tmp_path: Path) -> None:
    answers = tmp_path / "labels.jsonl"
    answers.write_text('{"prompt": "p", "completions": ["a", "b"], "ranks": [0, 1]}\n\n{broken\n[1]\n')
    path = tmp_path / "score.toml"
    path.write_text(f'name = "score"\n[[stages]]\ntype = "reward"\nmodel = "m"\ndata = ["{answers}"]\n')
    ((_, estimate),) = estimates(load_recipe(str(path)), RATE)
    assert estimate.seconds > 0


def test_a_stage_that_is_done_with_other_settings_is_told(tmp_path: Path) -> None:
    (tmp_path / "demo" / "01-world").mkdir(parents=True)
    recipe = load_recipe("demo")
    config = json.loads(recipe.stages[0].model_dump_json())
    manifest = Manifest(stage="world", kind="world", seed=0, config=config, inputs={}, outputs={})
    manifest.write(tmp_path / "demo" / "01-world")

    def told(recipe: Recipe) -> str:
        with output.capture() as shown:
            show_estimate(recipe, tmp_path)
        return " ".join(shown.get().split())

    assert "other settings" not in told(recipe) and "done" in told(recipe)
    assert "a run would be refused" in told(load_recipe("demo", ["world.documents=71000"]))
    assert "a run would be refused" in told(load_recipe("demo", ["seed=1"]))
