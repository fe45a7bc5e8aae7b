"""The command line: help without torch, sentences and exit codes for mistakes, looking at runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from heedful.cli import app
from heedful.errors import InputError
from heedful.run import Manifest

runner = CliRunner()


def command(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "heedful", *words], cwd=cwd, capture_output=True, text=True)


def test_version() -> None:
    assert runner.invoke(app, ["--version"]).output.strip().count(".") == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "nowhere"], "no recipe 'nowhere': give a .toml file or one of "),
        (["run", "own"], "inputs.model is not set"),
        (["run", "own", "--dry-run"], "inputs.model is not set"),
        (["sft", "--out", "x", "--set", "modell=1"], "unknown key 'modell'"),
        (["runs", "compare", "a"], "there is no such run"),
        (["report", "nowhere"], "there is no such run folder"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(words: list[str], sentence: str, tmp_path: Path) -> None:
    result = command(*words, cwd=tmp_path)
    assert result.returncode == 2
    assert sentence in result.stderr.replace("\n", " ")
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir()), "nothing may be half-written"


def test_labels_by_people_in_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--by people` is `--set by.type=people`, and a --set after it may say more."""
    ran: list[Any] = []
    pipeline = SimpleNamespace(run_single=lambda stage, out, seed: ran.append(stage))
    monkeypatch.setitem(sys.modules, "heedful.pipeline", pipeline)
    given = ["label", "--by", "people", "--set", "by.project=mine", "--set", 'completions=["a.jsonl"]', "--out", "x"]
    assert runner.invoke(app, given, catch_exceptions=False).exit_code == 0
    assert (ran[0].by.type, ran[0].by.project) == ("people", "mine")
    assert "people" in runner.invoke(app, ["label", "--help"]).output


def test_dry_run_tells_stages_and_writes_nothing(tmp_path: Path) -> None:
    result = command("run", "demo", "--dry-run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    for stage in ("pretrain", "sft", "reward", "ppo", "evaluate"):
        assert stage in result.stdout
    assert "to go" in result.stdout
    assert not list(tmp_path.iterdir())


@pytest.fixture
def a_run(tmp_path: Path) -> Path:
    stage = tmp_path / "runs" / "one" / "01-sft"
    (stage / "checkpoints" / "step-000010").mkdir(parents=True)
    (stage / "checkpoints" / "step-000010" / "weights").write_bytes(b"0" * 1_000_000)
    (stage / ".cache" / "measured-1").mkdir(parents=True)
    (stage / ".cache" / "measured-1" / "answers").write_bytes(b"0" * 500_000)
    held = {"memory/peak_mb": 2_200}
    manifest = Manifest(stage="sft", kind="sft", seed=0, config={}, inputs={}, outputs={}, seconds=90, summary=held)
    manifest.write(stage)
    row = {
        "policy": "ppo",
        "against": "sft",
        "judge": "gold",
        "decoding": "sample",
        "rate": 0.7,
        "low": 0.6,
        "high": 0.8,
    }
    evaluation = {"win_rate": [row], "models": ["sft", "ppo"], "reference": "sft", "truth": "gold", "judges": ["gold"]}
    (stage.parent / "evaluation.json").write_text(json.dumps(evaluation))
    return tmp_path


def test_runs_are_listed_compared_and_pruned(a_run: Path) -> None:
    listed = command("runs", "list", cwd=a_run).stdout
    assert "one" in listed and "1.5 min" in listed and "70%" in listed and "(by gold)" in listed
    times = command("runs", "times", "one", cwd=a_run).stdout
    assert "| sft | sft | 90 | 100% | 2.3 GB |\n| all | 1 stages | 90 | | 2.3 GB |" in times
    compared = command("runs", "compare", "one", cwd=a_run).stdout
    assert "70.0 [60, 80]" in compared and "ppo" in compared
    assert "given twice" in command("runs", "compare", "one", "one", cwd=a_run).stderr
    assert "no such judge" in command("runs", "compare", "one", "--judge", "me", cwd=a_run).stderr
    assert "1.5 MB freed" in command("runs", "prune", "one", cwd=a_run).stderr
    assert not any((a_run / "runs" / "one" / "01-sft" / own).exists() for own in ("checkpoints", ".cache"))
    assert (a_run / "runs" / "one" / "01-sft" / "manifest.json").exists()


def test_a_headline_says_whose_it_is(a_run: Path) -> None:
    """A run on one's own data has no gold: its reward models judge, and the policy's own is no evidence."""
    path = a_run / "runs" / "one" / "evaluation.json"
    evaluation = json.loads(path.read_text()) | {"truth": "", "judges": ["reward"]}
    evaluation["win_rate"][0]["judge"] = "reward"
    path.write_text(json.dumps(evaluation))
    shown = " ".join(command("runs", "list", cwd=a_run).stdout.replace("│", " ").split())
    assert "70%" in shown and "own reward" in shown


@pytest.mark.parametrize("with_sound", [False, True])
def test_a_file_with_faults_ends_validate_with_2(with_sound: bool, tmp_path: Path) -> None:
    """Also where its sound rows are written: whoever goes on without the others should have been told."""
    good = json.dumps({"prompt": "q", "chosen": "a", "rejected": "b"}) + "\n"
    for bad, code in (('{"prompt": "q", "chosen": "a"}\n', 2), ("", 0)):
        (tmp_path / "pairs.jsonl").write_text(good + bad)
        (new := tmp_path / "sound.jsonl").unlink(missing_ok=True)
        done = runner.invoke(
            app, ["validate", str(tmp_path / "pairs.jsonl"), *(["--sound", str(new)] if with_sound else [])]
        )
        assert done.exit_code == code
        assert new.exists() == with_sound and ("1 rows written" in done.stdout) == with_sound
        assert ("1 unsound ones were left out" in done.stdout) == (with_sound and code == 2)


def test_recipes_are_listed_and_copied_once(tmp_path: Path) -> None:
    assert "demo" in command("recipes", cwd=tmp_path).stdout
    assert command("recipes", "--copy", "own", cwd=tmp_path).returncode == 0
    assert (tmp_path / "own.toml").exists()
    again = command("recipes", "--copy", "own", cwd=tmp_path)
    assert again.returncode == 2 and "exists already" in again.stderr


def test_errors_carry_their_exit_codes() -> None:
    assert InputError("x").exit_code == 2
