"""How much memory is free. Imports torch only where a device is asked about, so that light rooms may ask too."""

from __future__ import annotations

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
