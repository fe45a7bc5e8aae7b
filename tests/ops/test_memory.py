"""What the kernel says is free."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from heedful.ops import memory


def test_the_kernels_figure_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = tmp_path / "meminfo"
    said.write_text("MemTotal:       24000000 kB\nMemFree:        1000 kB\nMemAvailable:   3000 kB\n")
    monkeypatch.setattr(memory, "MEMINFO", said)
    assert memory.memory_available() == 3000 * 1024
    assert memory.memory_free_on(torch.device("cpu")) == 3000 * 1024


def test_nobody_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "nothing")
    assert memory.memory_available() == 0
    assert memory.memory_free_on(torch.device("meta")) == 0


def test_the_peak_is_this_processs_own() -> None:
    """Under the machine's memory, and grown by what is taken."""
    before = memory.peak_memory_mb()
    taken = torch.ones(int(before) * 2**18 + (64 << 18))  # 4 bytes each: the peak so far and 64 MB more
    after = memory.peak_memory_mb()
    assert 20 < before < after < 2 * before + 2000 and after > taken.nbytes / 2**20


def test_on_a_card_the_cards_memory_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 100 bytes free and 70 kept by torch, of which 50 are in use, 120 can be had."""
    said = {"is_available": True, "max_memory_allocated": 3 * 2**20, "memory_reserved": 70, "memory_allocated": 50}
    for name, value in said.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (100, 1000))
    assert memory.memory_free_on(torch.device("cuda")) == 120
    assert memory.peak_memory_mb() == 3


def test_windows_says_no_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.sys, "platform", "win32")
    assert memory.peak_memory_mb() == 0
