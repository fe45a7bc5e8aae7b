"""Processes that measure: the line protocol, failures in their own words, and what others use."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.load import Watch
from benchmarks.process import SideFailed, Worker, preloaded

from benchmarks import material
from heedful.data.chat import Chat, train_tokenizer


def worker(task: str, tmp_path: Path) -> Worker:
    return Worker("ours", task, 1, tmp_path / "log")


def test_a_worker_gets_ready_and_repeats(tmp_path: Path) -> None:
    with worker("worker:count", tmp_path) as process:
        process.ready(60)
        rows = [process.repeat({"from": start}, 60) for start in (5, 7, 5)]
    assert [row["work"] for row in rows] == [5, 8, 7]
    assert rows[0]["info"] == {"threads": "1", "loaded": 1}
    assert rows[1]["info"] == {"threads": "1", "loaded": 2}
    assert rows[2]["info"] == {"threads": "1", "loaded": 1}, "what was loaded once is kept"
    assert rows[0]["peak_gib"] > 0


def test_a_worker_that_fails_says_why(tmp_path: Path) -> None:
    with worker("worker:nothing", tmp_path) as process, pytest.raises(SideFailed, match="no attribute 'nothing'"):
        process.ready(60)


def test_a_missing_environment_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.process.PYTHON", {"vllm": tmp_path / ".vllm-venv/bin/python"})
    with pytest.raises(SideFailed, match=r"\.vllm-venv is not installed"):
        Worker("vllm", "t", 1, tmp_path / "log")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="Intel's OpenMP is for x86")
def test_vllm_runs_with_what_its_users_preload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both libraries, or the side fails in words; what is bundled with the engine will do."""
    python = tmp_path / "bin/python"
    with pytest.raises(SideFailed, match="libtcmalloc.*apt-get install"):
        preloaded(python, ())
    bundled = tmp_path / "lib/python3.11/site-packages/vllm/libs"
    bundled.mkdir(parents=True)
    for name in ("libtcmalloc.so.4", "libtcmalloc_minimal.so.4"):
        (bundled / name).touch()
    with pytest.raises(SideFailed, match="libiomp5.*intel-openmp"):
        preloaded(python, ())
    (tmp_path / "lib/libiomp5.so").touch()
    assert preloaded(python, ()) == {"LD_PRELOAD": f"{bundled}/libtcmalloc_minimal.so.4:{tmp_path}/lib/libiomp5.so"}
    system = tmp_path / "usr/lib"
    system.mkdir(parents=True)
    (system / "libtcmalloc_minimal.so.4.5").touch()
    (bundled / "libtcmalloc.so.4").unlink()
    (bundled / "libtcmalloc_minimal.so.4").unlink()
    assert str(system) in preloaded(python, (str(system),))["LD_PRELOAD"]
    monkeypatch.setattr("benchmarks.process.PYTHON", {"vllm": Path(sys.executable), "ours": Path(sys.executable)})
    with monkeypatch.context() as patched:
        patched.setattr("benchmarks.process.preloaded", lambda python: {"LD_PRELOAD": "nothing.so"})
        with Worker("vllm", "worker:count", 1, tmp_path / "log") as process:
            process.ready(60)
            assert "nothing.so" in (tmp_path / "log").read_text(), "the loader was asked for it"


def test_ones_own_work_is_not_counted_as_others() -> None:
    with subprocess.Popen(["sleep", "60"]) as idle:
        with Watch(os.getpid()) as mine, Watch(idle.pid) as anothers:
            end = time.process_time() + 0.3
            while time.process_time() < end:
                pass
        idle.kill()
    assert mine.others < anothers.others


def test_the_end_of_an_answer_is_as_likely_as_asked() -> None:
    words = material.made_up_words(700, np.random.default_rng(0))
    chat = Chat(train_tokenizer([" ".join(words)] * 2, 1024))
    lm = material.new_model("tiny", chat.tokenizer)
    for rate in material.END_RATE.values():
        material.set_end_rate(lm, chat.eos_id, rate)
        with torch.no_grad():
            logits = lm(torch.randint(300, 1024, (4, 32))).logits
        found = logits.softmax(-1)[..., chat.eos_id]
        assert 0.5 * rate < float(found.median()) < 2 * rate


def test_lengths_are_skewed_and_cut() -> None:
    drawn = material.lengths(np.random.default_rng(0), 2000)
    assert min(drawn) >= 8 and max(drawn) == 128
    assert np.mean(drawn) > np.median(drawn)
