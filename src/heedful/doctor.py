"""`heedful doctor`: what this machine has, and what would stop a run before it begins."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from rich.table import Table

from heedful.ops.memory import memory_available
from heedful.run.manifest import environment
from heedful.run.progress import output

DISK_NEEDED = 2e9  # bytes: the demo's run folder takes well under a tenth of it
MEMORY_NEEDED = 4e9


def doctor(database: str) -> bool:
    """Print a table of checks; False where a run, or the studio over this database, could not work."""
    import torch

    from heedful.feedback.health import look_at
    from heedful.ops.rates import matrix_rate, training_device

    checks: list[tuple[str, str, bool]] = []
    checks.append(("python", sys.version.split()[0], sys.version_info >= (3, 11)))
    for package, version in environment().items():
        if package not in ("python", "machine", "git"):
            checks.append((package, version, version != "not installed"))
    checks.append(("processors", f"{os.cpu_count()}, torch uses {torch.get_num_threads()} threads", True))
    cards = torch.cuda.device_count()
    checks.append(("GPU", torch.cuda.get_device_name(0) if cards else "none: everything runs on the processor", True))
    memory = memory_available()
    checks.append(("memory free", f"{memory / 1e9:.1f} GB (the demo wants 4)", memory == 0 or memory > MEMORY_NEEDED))
    disk = shutil.disk_usage(Path.cwd()).free
    checks.append(("disk free", f"{disk / 1e9:.1f} GB (the demo wants 2)", disk > DISK_NEEDED))
    checks.append(("folder", f"{Path.cwd()} can be written", os.access(Path.cwd(), os.W_OK)))
    for dtype, rate in matrix_rate(training_device()).items():
        checks.append((f"matrix rate, {dtype}", f"{rate / 1e9:.0f} GFLOP/s", True))
    checks += look_at(database)
    table = Table("check", "found", "")
    for name, found, good in checks:
        table.add_row(name, found, "[green]ok[/green]" if good else "[bold red]mend this[/bold red]")
    output.print(table)
    return all(good for _, _, good in checks)
