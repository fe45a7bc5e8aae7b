"""Write one self-contained page from the run folder that this stage stands in."""

from __future__ import annotations

from heedful.config import ReportConfig
from heedful.report.html import write_report
from heedful.run import Run


def report(config: ReportConfig, run: Run) -> None:
    """Leaves report.html; the pipeline puts a copy at the run's top."""
    path = run.path / "report.html"
    write_report(run.path.parent, path, config.title)
    run.summary["bytes"] = path.stat().st_size
    run.say(f"{path} ({path.stat().st_size / 1e3:.0f} kB)")
