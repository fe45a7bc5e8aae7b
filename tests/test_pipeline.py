"""The pipeline: complete stages are skipped, changed ones refused, a stop is taken up again. Stages here are fakes."""

from __future__ import annotations

import json
import os
import signal
import tomllib
from contextlib import suppress
from pathlib import Path

import pytest
import torch

import heedful.pipeline as pipeline
from heedful.config import Recipe, ReportConfig, SampleConfig, SFTConfig, StageConfig, Training
from heedful.config.paths import resolve
from heedful.errors import InputError, ResourceError, ResumeError, Stopped
from heedful.pipeline import run_recipe, run_single
from heedful.run import Manifest, Run


class Fakes:
    """Stands in for the stages: writes a file, counts calls, may stop in the middle."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.stop_in = ""
        self.saves = True  # a checkpoint, before it stops

    def __call__(self, config: StageConfig, run: Run) -> None:
        self.calls.append(config.name)
        if self.stop_in == config.name:
            run.write_rows("checkpoints/000000.jsonl" if self.saves else "metrics.jsonl", [{"step": 1}])
            signal.raise_signal(signal.SIGINT)
        name = "completions.jsonl" if config.type == "sample" else "model"
        run.write_rows(name, [{"read": getattr(config, "model", "")}])
        run.summary["rows"] = 1


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Fakes:
    fake = Fakes()
    monkeypatch.setattr(pipeline, "run_stage", fake)
    return fake


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    for name in ("base", "data.jsonl", "prompts.jsonl"):
        (tmp_path / name).write_text("1\n")
    sft = SFTConfig(model="$base", data=str(tmp_path / "data.jsonl"))
    sample = SampleConfig(model="@sft/model", prompts=str(tmp_path / "prompts.jsonl"))
    return Recipe(name="small", inputs={"base": str(tmp_path / "base")}, stages=[sft, sample])


def test_stages_run_in_order_and_once(fakes: Fakes, recipe: Recipe, tmp_path: Path) -> None:
    root = run_recipe(recipe, tmp_path / "runs")
    run_recipe(recipe, tmp_path / "runs")
    assert fakes.calls == ["sft", "sample"]
    manifest = Manifest.read(root / "02-sample")
    assert manifest and manifest.summary.keys() == {"rows", "memory/peak_mb"}
    assert 20e6 < manifest.summary["memory/peak_mb"] * 2**20 == manifest.peak < 100e9
    assert list(manifest.inputs) == ["01-sft/model", str(tmp_path / "prompts.jsonl")]
    assert list(manifest.outputs) == ["completions.jsonl"]


def test_a_page_is_published_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What breaks while the new page takes its place at the run's top leaves the one that was there."""
    texts = iter(("first", "second"))
    monkeypatch.setattr(pipeline, "run_stage", lambda _, run: run.write_rows("report.html", [{"said": next(texts)}]))
    recipe = Recipe(name="small", stages=[ReportConfig()])
    page = run_recipe(recipe, tmp_path / "runs") / "report.html"
    replace = os.replace

    def broken(old: Path, new: Path) -> None:
        if Path(new) == page:
            raise OSError("killed")
        replace(old, new)

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="killed"):
        run_recipe(recipe, tmp_path / "runs")
    assert "first" in page.read_text()


def test_a_stopped_stage_is_run_again_and_later_ones_follow(fakes: Fakes, recipe: Recipe, tmp_path: Path) -> None:
    fakes.stop_in = "sample"
    with pytest.raises(Stopped, match="To go on") as error:
        run_recipe(recipe, tmp_path / "runs")
    assert error.value.exit_code == 130
    fakes.stop_in = ""
    run_recipe(recipe, tmp_path / "runs")
    assert fakes.calls == ["sft", "sample", "sample"]


def test_a_stage_that_was_killed_before_its_config_was_written_writes_it(
    fakes: Fakes, recipe: Recipe, tmp_path: Path
) -> None:
    fakes.stop_in = "sample"
    with pytest.raises(Stopped):
        run_recipe(recipe, tmp_path / "runs")
    written = tmp_path / "runs" / "small" / "02-sample" / "config.toml"
    before = written.read_text()
    written.unlink()
    fakes.stop_in = ""
    run_recipe(recipe, tmp_path / "runs")
    assert written.read_text() == before


def test_a_signal_that_a_stage_swallows_ends_the_recipe_behind_it(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swallowing(config: StageConfig, run: Run) -> None:
        with suppress(BaseException):
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(pipeline, "run_stage", swallowing)
    with pytest.raises(Stopped):
        run_recipe(recipe, tmp_path / "runs")
    assert {path.name for path in (tmp_path / "runs" / "small").glob("0*")} == {"01-sft"}
    with pytest.raises(Stopped):  # and a stage of its own
        run_single(recipe.stages[0].model_copy(update={"model": str(tmp_path / "base")}), tmp_path / "alone", seed=0)


def test_a_changed_input_is_refused_by_name(fakes: Fakes, recipe: Recipe, tmp_path: Path) -> None:
    run_recipe(recipe, tmp_path / "runs")
    (tmp_path / "data.jsonl").write_text("2\n")
    with pytest.raises(ResumeError, match=r"inputs\..*data.jsonl") as error:
        run_recipe(recipe, tmp_path / "runs")
    assert error.value.exit_code == 7
    assert fakes.calls == ["sft", "sample"]


def test_a_changed_config_is_refused_also_for_a_stage_that_was_only_begun(
    fakes: Fakes, recipe: Recipe, tmp_path: Path
) -> None:
    fakes.stop_in = "sample"
    with pytest.raises(Stopped):
        run_recipe(recipe, tmp_path / "runs")
    fakes.stop_in = ""
    changed = [recipe.stages[0], recipe.stages[1].model_copy(update={"completions": 2})]
    with pytest.raises(ResumeError, match="completions: 4 → 2"):
        run_recipe(recipe.model_copy(update={"stages": changed}), tmp_path / "runs")


def test_a_stage_that_came_to_nothing_is_begun_anew_under_other_conditions(
    fakes: Fakes, recipe: Recipe, tmp_path: Path
) -> None:
    fakes.stop_in, fakes.saves = "sample", False
    with pytest.raises(Stopped):
        run_recipe(recipe, tmp_path / "runs")
    fakes.stop_in = ""
    changed = [recipe.stages[0], recipe.stages[1].model_copy(update={"completions": 2})]
    root = run_recipe(recipe.model_copy(update={"stages": changed}), tmp_path / "runs")
    assert json.loads((root / "02-sample" / "begun.json").read_text())["config"]["completions"] == 2
    assert not (root / "02-sample" / "metrics.jsonl").exists()


def test_the_faster_precision_is_measured_once_and_kept_in_the_resolved_config(
    fakes: Fakes, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []

    def stage(config: StageConfig, run: Run) -> None:
        used.append(config.training.precision if isinstance(config, SFTConfig) else "none")
        fakes(config, run)

    monkeypatch.setattr(pipeline, "run_stage", stage)
    said = iter(("bfloat16", "float32"))
    monkeypatch.setattr("heedful.ops.rates.faster_precision", lambda _: next(said))
    auto = recipe.stages[0].model_copy(update={"training": Training(precision="auto")})
    recipe = recipe.model_copy(update={"stages": [auto, recipe.stages[1]]})
    fakes.stop_in = "sft"
    with pytest.raises(Stopped):
        run_recipe(recipe, tmp_path / "runs")
    fakes.stop_in = ""
    root = run_recipe(recipe, tmp_path / "runs")
    assert used == ["bfloat16", "bfloat16", "none"]
    assert tomllib.loads((root / "01-sft" / "config.toml").read_text())["training"]["precision"] == "bfloat16"
    assert json.loads((root / "01-sft" / "begun.json").read_text())["config"]["training"]["precision"] == "auto"


def test_bad_input_leaves_what_was_there_and_no_more(
    fakes: Fakes, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(config: StageConfig, run: Run) -> None:
        run.write_rows("metrics.jsonl", [{"step": 1}])
        run.write_rows("samples.jsonl", [])
        run.write_rows("checkpoints/last-good/weights", [])
        raise InputError("line 3")

    out = tmp_path / "mine"
    mine = [out / ".git" / "config", out / "notes" / "a.txt", out / "metrics.csv"]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    config = SFTConfig(model=str(tmp_path / "base"), data=str(tmp_path / "data.jsonl"))
    monkeypatch.setattr(pipeline, "run_stage", refuse)
    before = sorted(tmp_path.rglob("*"))
    for place in (out, tmp_path / "new" / "deep"):
        with pytest.raises(InputError, match="line 3"):
            run_single(config, place, seed=0)
        assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(InputError, match="line 3"):
        run_recipe(recipe, tmp_path / "runs")
    assert sorted(tmp_path.rglob("*")) == before


def test_bad_input_in_a_later_stage_keeps_the_ones_before(
    fakes: Fakes, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(config: StageConfig, run: Run) -> None:
        if config.type == "sample":
            raise InputError("line 3")
        fakes(config, run)

    monkeypatch.setattr(pipeline, "run_stage", refuse)
    with pytest.raises(InputError, match="line 3"):
        run_recipe(recipe, tmp_path / "runs")
    root = tmp_path / "runs" / "small"
    assert {path.name for path in root.iterdir()} == {"recipe.toml", "01-sft"}
    (tmp_path / "prompts.jsonl").write_text("2\n")  # mended
    monkeypatch.setattr(pipeline, "run_stage", fakes)
    run_recipe(recipe, tmp_path / "runs")
    assert fakes.calls == ["sft", "sample"]


def test_bad_input_after_a_checkpoint_keeps_it(fakes: Fakes, recipe: Recipe, tmp_path: Path) -> None:
    fakes.stop_in = "sample"
    with pytest.raises(Stopped):
        run_recipe(recipe, tmp_path / "runs")
    (tmp_path / "base").unlink()
    (tmp_path / "prompts.jsonl").unlink()
    single = resolve(recipe.stages[1], {"sft": tmp_path / "runs/small/01-sft"}, {})
    with pytest.raises(InputError, match="prompts.jsonl"):
        run_single(single, tmp_path / "runs/small/02-sample", seed=0)
    assert (tmp_path / "runs/small/02-sample/checkpoints/000000.jsonl").exists()
    assert (tmp_path / "runs/small/02-sample/begun.json").exists()


def test_a_missing_input_is_said_before_the_first_stage(fakes: Fakes, recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "prompts.jsonl").unlink()
    with pytest.raises(InputError, match="stage 'sample'.*prompts.jsonl"):
        run_recipe(recipe, tmp_path / "runs")
    assert fakes.calls == []
    with pytest.raises(InputError, match="inputs.base is not set"):
        run_recipe(recipe.model_copy(update={"inputs": {"base": ""}}), tmp_path / "runs")


def test_one_stage_by_itself(fakes: Fakes, recipe: Recipe, tmp_path: Path) -> None:
    config = SFTConfig(model=str(tmp_path / "base"), data=str(tmp_path / "data.jsonl"))
    run_single(config, tmp_path / "out", seed=0)
    run_single(config, tmp_path / "out", seed=0)
    assert fakes.calls == ["sft"]
    with pytest.raises(ResumeError, match="seed: 0 → 1"):
        run_single(config, tmp_path / "out", seed=1)
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["kind"] == "sft"


def test_a_key_that_came_into_being_since_changes_nothing_at_its_default(
    fakes: Fakes, recipe: Recipe, tmp_path: Path
) -> None:
    root = run_recipe(recipe, tmp_path / "runs")
    for name in ("manifest.json", "begun.json"):
        path = root / "01-sft" / name
        table = json.loads(path.read_text())
        del table["config"]["training"]["ema"], table["config"]["lora"]
        path.write_text(json.dumps(table))
    run_recipe(recipe, tmp_path / "runs")
    assert fakes.calls == ["sft", "sample"]
    (root / "01-sft" / "manifest.json").unlink()  # only begun, by the earlier version
    run_recipe(recipe, tmp_path / "runs")
    changed = [recipe.stages[0].model_copy(update={"training": Training(epochs=3, ema=0.5)}), recipe.stages[1]]
    with pytest.raises(ResumeError, match="training.ema: 0.0 → 0.5"):
        run_recipe(recipe.model_copy(update={"stages": changed}), tmp_path / "runs")


def test_shares_of_one_process_are_told(
    fakes: Fakes, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(Run, "say", lambda self, text: said.append(text))
    data, training = str(tmp_path / "data.jsonl"), Training(sharding="full")
    run_single(SFTConfig(model=str(tmp_path / "base"), data=data, training=training), tmp_path / "out", seed=0)
    assert "this is one, and holds all" in said[0]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_memory_that_runs_out_anywhere_is_one_sentence(
    error: Exception, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading, sampling, scoring, measuring: with the settings that the stage has."""
    fails = "sft"

    def stage(config: StageConfig, run: Run) -> None:
        if config.name == fails:
            raise error
        run.write_rows("model", [{}])

    monkeypatch.setattr(pipeline, "run_stage", stage)
    with pytest.raises(ResourceError, match=r"sft: memory is short; lower training.tokens_per_batch \(now 16384\)"):
        run_recipe(recipe, tmp_path / "runs")
    fails = "sample"
    with pytest.raises(ResourceError, match=r"sample: memory is short; lower generation.batch \(now 256\), or leave"):
        run_recipe(recipe, tmp_path / "runs")


def test_other_errors_are_not_taken_for_short_memory(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stage(config: StageConfig, run: Run) -> None:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(pipeline, "run_stage", stage)
    with pytest.raises(RuntimeError, match="shapes differ"):
        run_recipe(recipe, tmp_path / "runs")
