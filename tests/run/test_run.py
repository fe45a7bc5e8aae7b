"""The run folder: atomic writes, the lock, seeds from counters, the metrics log, signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from heedful.errors import InUseError, Killed, ResumeError, Stopped
from heedful.run import (
    Manifest,
    MetricsLog,
    RunFolder,
    Stopper,
    atomic_folder,
    atomic_text,
    digest,
    read_metrics,
    seed_of,
)


def test_atomic_text_leaves_the_old_file_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    atomic_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        atomic_text(path, "new \ud800")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_what_a_killed_writer_left_is_gone_with_the_next(tmp_path: Path) -> None:
    for name in (".file.a1b2c3d4", ".file.swp"):
        (tmp_path / name).write_text("half")
    atomic_text(tmp_path / "file", "whole")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".file.swp", "file"]


def test_atomic_folder_takes_its_place_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with atomic_folder(target) as scratch:
        (scratch / "weights").write_text("1")
    with pytest.raises(RuntimeError), atomic_folder(target) as scratch:
        (scratch / "weights").write_text("2")
        raise RuntimeError
    assert (target / "weights").read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_digest_sees_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    first = digest(tmp_path / "a")
    (tmp_path / "a" / "x").write_text("2")
    second = digest(tmp_path / "a")
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    assert len({first, second, digest(tmp_path / "a")}) == 3


def test_the_times_in_a_log_of_metrics_are_no_part_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "weights").write_text("1")
    (tmp_path / "0" / "metrics.jsonl").write_text("0.1 s")
    first = digest(tmp_path)
    (tmp_path / "0" / "metrics.jsonl").write_text("0.2 s")
    assert digest(tmp_path) == first
    (tmp_path / "0" / "weights").write_text("2")
    assert digest(tmp_path) != first


def test_a_second_run_in_one_folder_is_refused_and_names_the_first(tmp_path: Path) -> None:
    with RunFolder(tmp_path), pytest.raises(InUseError, match=f"process {os.getpid()}") as error:
        RunFolder(tmp_path).__enter__()
    assert error.value.exit_code == 6
    with RunFolder(tmp_path):
        pass  # free again


def test_a_killed_run_leaves_no_lock(tmp_path: Path) -> None:
    code = (
        "import os,signal,sys;from pathlib import Path;from heedful.run import RunFolder;"
        "RunFolder(Path(sys.argv[1])).__enter__();os.kill(os.getpid(),signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == -signal.SIGKILL
    with RunFolder(tmp_path):
        pass


def test_seeds_differ_by_every_part_of_the_name_and_never_change() -> None:
    names = [
        (0, "s", "p", 0, 0),
        (1, "s", "p", 0, 0),
        (0, "t", "p", 0, 0),
        (0, "s", "q", 0, 0),
        (0, "s", "p", 1, 0),
        (0, "s", "p", 0, 1),
    ]
    assert len({seed_of(*name) for name in names}) == len(names)
    assert seed_of(0, "sft", "order") == 4629126469976413174  # resuming depends on it: a new value breaks old runs


def test_metrics_are_cut_back_to_the_checkpoint(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    for step in range(1, 5):
        log.write(step, {"loss": step / 2, "bad": float("nan")})
    with log.path.open("a") as file:
        file.write('{"step": 5, "lo')  # a crash in the middle of a line
    log.cut_after(2)
    assert read_metrics(log.path) == [{"step": 1, "bad": None, "loss": 0.5}, {"step": 2, "bad": None, "loss": 1.0}]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_work_and_the_exit_code_says_which(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Stopper(), pytest.raises(Stopped, match="To go on") as error:
        signal.raise_signal(number)
    assert error.value.exit_code == 128 + number
    assert signal.getsignal(number) == before


def test_a_signal_waits_for_work_in_hand_and_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    done = []
    with Stopper() as stopper, pytest.raises(Stopped) as error, stopper.held():
        signal.raise_signal(signal.SIGTERM)
        done.append("the work")
        assert "again, and it ends at once" in capfd.readouterr().err
    assert done and error.value.exit_code == 143


def test_work_in_hand_that_asks_where_it_is_saved_ends_there() -> None:
    with Stopper() as stopper, pytest.raises(Stopped), stopper.held():
        stopper.stop_if_asked()
        signal.raise_signal(signal.SIGINT)
        stopper.stop_if_asked()
        pytest.fail("went on")


def test_a_second_signal_ends_at_once_and_says_how_to_go_on(capfd: pytest.CaptureFixture[str]) -> None:
    with Stopper() as stopper, pytest.raises(Killed) as error, stopper.held():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("went on")
    assert error.value.code == 130
    assert "To go on" in capfd.readouterr().err


def test_a_manifest_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"unknown": 1}))
    with pytest.raises(ResumeError, match="manifest"):
        Manifest.read(tmp_path)
    assert Manifest.read(tmp_path / "nowhere") is None
