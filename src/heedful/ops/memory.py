"""How much memory is free. Imports torch only where a device is asked about, so that light rooms may ask too."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

MEMINFO = Path("/proc/meminfo")


def memory_available() -> float:
    """Bytes that a process may take, as the kernel sees it; 0 where it does not say."""
    if not MEMINFO.exists():
        return 0.0
    lines = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
    return float(lines["MemAvailable"].split()[0]) * 1024


def memory_free_on(device: torch.device) -> float:
    """Bytes free on a device; 0 where nobody says. What torch keeps for itself on a card counts as free."""
    if device.type == "cuda":
        import torch

        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return float(torch.cuda.mem_get_info(device)[0] + kept)
    return memory_available() if device.type == "cpu" else 0.0


def peak_memory_mb() -> float:
    """The most memory that this process has held so far: of the accelerator where there is one, else of its own."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    if sys.platform == "win32":
        return 0.0  # nobody says
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes, on macOS bytes
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
