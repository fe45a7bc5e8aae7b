"""How much memory is free. Imports torch only where a device is asked about, so that light rooms may ask too."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

MEMINFO = Path("/proc/meminfo")
OWN_GROUPS = Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")


def memory_available() -> float:
    """Bytes that a process may take: of the machine's or, where its container has less, of the container's; 0 where
    nobody says."""
    if not MEMINFO.exists():
        return 0.0
    lines = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
    return min([float(lines["MemAvailable"].split()[0]) * 1024, *_left_in_groups()])


def _left_in_groups() -> Iterator[float]:
    """Bytes left to each control group that this process is in and that has a limit, of version 2 or 1. What the
    kernel keeps of files it gives back when asked."""
    for line in OWN_GROUPS.read_text().splitlines() if OWN_GROUPS.exists() else ():
        _, controllers, own = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root = GROUPS / controllers
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        limit, used, cached = names if controllers else ("memory.max", "memory.current", "inactive_file")
        folder = root / own.lstrip("/")
        while folder.is_relative_to(root):  # a container may see its own group as the root
            if (folder / limit).exists() and (most := (folder / limit).read_text().strip()) != "max":
                stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                taken = float((folder / used).read_text()) - float(stat.get(cached, 0))
                yield max(1.0, float(most) - taken)
            folder = folder.parent


def memory_free_on(device: torch.device) -> float:
    """Bytes free on a device; 0 where nobody says. What torch keeps for itself on a card counts as free."""
    if device.type == "cuda":
        import torch

        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return float(torch.cuda.mem_get_info(device)[0] + kept)
    return memory_available() if device.type == "cpu" else 0.0


def is_out_of_memory(error: BaseException) -> bool:
    """On a CPU torch's allocator raises a plain RuntimeError."""
    import torch

    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def peak_memory_mb() -> float:
    """The most memory that this process has held so far: of the accelerator where there is one, else of its own."""
    torch = sys.modules.get("torch")  # a process without it has nothing there, and need not load it
    if torch and torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated()) / 2**20
    if sys.platform == "win32":
        return 0.0  # nobody says
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes, on macOS bytes
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
