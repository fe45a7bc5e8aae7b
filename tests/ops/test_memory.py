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
