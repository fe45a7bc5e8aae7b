"""Sweeps: shared stages run once, a broken cell costs no other, and the frontier is drawn. Stages here are fakes."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import tomli_w

import heedful.pipeline as pipeline
from heedful.config import PPOConfig, StageConfig
from heedful.errors import DivergedError, HeedfulError, InputError, Stopped
from heedful.report.sweep import Point, frontier
from heedful.run import Run
from heedful.sweep import parse_grid, sweep

GRID = ["ppo.kl.coefficient=0.1,0.3", "seed=0,1"]


class Fakes:
    """Each stage writes a file; PPO's reward and KL follow from its leash, and one leash is too long."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.computed: list[str] = []
        self.breaks_at = 0.0
        self.stops_at = ""

    def __call__(self, config: StageConfig, run: Run) -> None:
        name = f"{run.path.parent.name}/{config.name}"
        self.calls.append(name)
        if name == self.stops_at:
            signal.raise_signal(signal.SIGINT)
        (run.path / "checkpoints").mkdir()
        (run.path / "checkpoints" / "big").write_text("x")
        run.write_rows("model", [{"seed": run.seed}])
        if isinstance(config, PPOConfig):
            if not (kept := run.cache(f"start-{run.seed}")).exists():  # of what every leash starts from
                self.computed.append(name)
                kept.mkdir(parents=True)
                (kept / "figures").write_text(str(run.seed))
            if config.kl.coefficient == self.breaks_at:
                raise DivergedError("the reward is not finite")
            run.summary |= {"kl": 1 / config.kl.coefficient + run.seed, "reward": 2.0 - config.kl.coefficient}


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Fakes:
    fake = Fakes()
    monkeypatch.setattr(pipeline, "run_stage", fake)
    return fake


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    (tmp_path / "data").write_text("1\n")
    data = str(tmp_path / "data")
    stages = [
        {"type": "sft", "model": data, "data": data},
        {"type": "ppo", "model": "@sft/model", "prompts": data, "rewards": {"model": data}},
    ]
    path = tmp_path / "small.toml"
    path.write_text(tomli_w.dumps({"name": "small", "stages": stages}))
    return str(path)


def test_every_cell_is_a_run_and_shared_stages_run_once(fakes: Fakes, recipe: str, tmp_path: Path) -> None:
    root = sweep(recipe, GRID, [], tmp_path)
    assert root == tmp_path / "small-sweep"
    assert fakes.calls == [
        *("coefficient-0.1_seed-0/sft", "coefficient-0.1_seed-0/ppo", "coefficient-0.1_seed-1/sft"),
        *("coefficient-0.1_seed-1/ppo", "coefficient-0.3_seed-0/ppo", "coefficient-0.3_seed-1/ppo"),
    ]
    first, second = (root / f"coefficient-{c}_seed-1" / "01-sft" for c in (0.1, 0.3))
    assert os.path.samefile(first / "model", second / "model")  # no second copy on disk
    assert (first / "checkpoints").exists()
    assert not (second / "checkpoints").exists()
    assert (root / "coefficient-0.3_seed-1" / "02-ppo" / "manifest.json").exists()
    sweep(recipe, GRID, [], tmp_path)
    assert len(fakes.calls) == 6


def test_what_stands_under_its_hash_is_computed_in_one_cell(fakes: Fakes, recipe: str, tmp_path: Path) -> None:
    root = sweep(recipe, GRID, [], tmp_path)
    assert fakes.computed == ["coefficient-0.1_seed-0/ppo", "coefficient-0.1_seed-1/ppo"]
    kept = root / "coefficient-0.3_seed-1" / "02-ppo" / ".cache"
    assert {path.name: (path / "figures").read_text() for path in kept.iterdir()} == {"start-0": "0", "start-1": "1"}


def test_a_broken_cell_is_named_and_tried_again_while_the_others_are_kept(
    fakes: Fakes, recipe: str, tmp_path: Path
) -> None:
    fakes.breaks_at = 0.1
    with pytest.raises(
        HeedfulError, match="2 of 4 cells broke .coefficient-0.1_seed-0, coefficient-0.1_seed-1"
    ) as told:
        sweep(recipe, GRID, [], tmp_path)
    assert told.value.exit_code == DivergedError.exit_code
    cells = json.loads((tmp_path / "small-sweep" / "sweep.json").read_text())["cells"]
    assert [cell["error"] for cell in cells] == ["the reward is not finite"] * 2 + [""] * 2
    assert "the reward is not finite" in (tmp_path / "small-sweep" / "sweep.html").read_text()
    fakes.breaks_at, fakes.calls = 0.0, []
    for cell in ("coefficient-0.1_seed-0", "coefficient-0.1_seed-1"):
        (tmp_path / "small-sweep" / cell / "02-ppo" / "checkpoints" / "big").unlink()
        (tmp_path / "small-sweep" / cell / "02-ppo" / "checkpoints").rmdir()
    sweep(recipe, GRID, [], tmp_path)
    assert fakes.calls == ["coefficient-0.1_seed-0/ppo", "coefficient-0.1_seed-1/ppo"]


def test_a_signal_ends_the_sweep(fakes: Fakes, recipe: str, tmp_path: Path) -> None:
    fakes.stops_at = "coefficient-0.1_seed-1/sft"
    with pytest.raises(Stopped):
        sweep(recipe, GRID, [], tmp_path)
    assert len(fakes.calls) == 3


def test_the_page_has_the_frontier_with_means_over_seeds(fakes: Fakes, recipe: str, tmp_path: Path) -> None:
    page = (sweep(recipe, GRID, [], tmp_path) / "sweep.html").read_text()
    assert "Reward over KL along ppo.kl.coefficient" in page
    assert "3.83" in page  # 1/0.3 + ½, the mean over two seeds
    assert "10.5" in page
    assert "broke" not in page


def test_an_evaluation_is_read_before_summaries() -> None:
    points = [Point(str(k), {"beta": b}, "", "ppo", k, v, "gold") for b, k, v in (("0.1", 9.0, 2.0), ("1", 1.0, 1.0))]
    chart = str(frontier([*points, Point("broken", {"beta": "3"}, "no")], ["beta"]))
    assert chart.index(">1</text>") and "Gold over KL along beta" in chart
    assert chart.count("<circle") == 2


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ([], "the grid is empty: give --grid KEY=VALUE,VALUE"),
        (["seed"], "--grid seed: expected KEY=VALUE,VALUE"),
        (["seed="], "--grid seed=: expected"),
        (["seed=1,1"], "1 stands there twice"),
        (["seed=1", "seed=2"], "--grid seed is given twice"),
        (["ppo.kl.coeficient=1,2"], "did you mean 'coefficient'"),
        (["grpo.lr=1"], "no stage 'grpo' in this recipe"),
    ],
)
def test_a_bad_grid_is_one_sentence_before_anything_runs(
    fakes: Fakes, recipe: str, tmp_path: Path, grid: list[str], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        sweep(recipe, grid, [], tmp_path)
    assert not fakes.calls


def test_lists_are_values() -> None:
    assert parse_grid(["a=[0.9,0.95],[0.9,0.99]", 'b="x,y",z'])["a"] == ["[0.9,0.95]", "[0.9,0.99]"]
    assert parse_grid(['b="x,y",z'])["b"] == ['"x,y"', "z"]
