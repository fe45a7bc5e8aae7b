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
    monkeypatch.setattr(memory, "OWN_GROUPS", tmp_path / "nothing")
    assert memory.memory_available() == 3000 * 1024
    assert memory.memory_free_on(torch.device("cpu")) == 3000 * 1024


def group(folder: Path, cached: str = "inactive_file", **figures: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in figures.items():
        (folder / f"memory.{name}").write_text(f"{value}\n")
    (folder / "memory.stat").write_text(f"anon 7\n{cached} 100\n")


@pytest.mark.parametrize(
    ("own", "folder", "names", "cached"),
    [
        ("0::/\n", "", ("max", "current"), "inactive_file"),
        ("0::/jobs/mine\n", "jobs", ("max", "current"), "inactive_file"),  # of a group around it
        ("0::/not/to/be/seen\n", "", ("max", "current"), "inactive_file"),
        ("5:cpu:/a\n4:memory:/a\n", "memory/a", ("limit_in_bytes", "usage_in_bytes"), "total_inactive_file"),
    ],
)
def test_a_containers_limit_counts(
    own: str, folder: str, names: tuple[str, str], cached: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 5,000 bytes 2,000 are taken, of which 100 hold files: 3,100 are left."""
    said = tmp_path / "meminfo"
    said.write_text("MemAvailable:   3000 kB\n")
    (tmp_path / "own").write_text(own)
    for name, path in (("MEMINFO", said), ("OWN_GROUPS", tmp_path / "own"), ("GROUPS", tmp_path / "groups")):
        monkeypatch.setattr(memory, name, path)
    (tmp_path / "groups").mkdir()
    assert memory.memory_available() == 3000 * 1024
    group(tmp_path / "groups" / folder, cached, **dict(zip(names, (5000, 2000), strict=True)))
    assert memory.memory_available() == 3100
    group(tmp_path / "groups" / folder, cached, **dict(zip(names, (5000, 9000), strict=True)))
    assert memory.memory_available() == 1  # over its limit: 0 would mean that nobody says
    if "max" in names:
        group(tmp_path / "groups" / folder, cached, max="max", current=2000)
        assert memory.memory_available() == 3000 * 1024


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (torch.OutOfMemoryError("x"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("shapes differ"), False),
    ],
)
def test_short_memory_is_told_from_other_errors(error: Exception, short: bool) -> None:
    assert memory.is_out_of_memory(error) == short


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
