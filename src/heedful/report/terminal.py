"""The verdict on the terminal: the same sentences as the page, in colour."""

from __future__ import annotations

import json
from pathlib import Path

from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from heedful.errors import InputError
from heedful.report.verdict import Finding, findings, tally
from heedful.run import console

NOTES = 6  # shown on the terminal; the page has them all
SIGNS = {"pass": ("✓", "bold green"), "fail": ("✗", "bold red"), "note": ("·", "dim")}


def verdict(run_folder: Path) -> None:
    """Print what evaluation.json in this run folder says. Raises InputError where there is none."""
    path = run_folder / "evaluation.json"
    if not path.exists():
        raise InputError(f"{path}: there is no such file; run the recipe's evaluate stage first")
    found = findings(json.loads(path.read_text(encoding="utf-8")))
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=1)
    grid.add_column(ratio=1)
    judged = [finding for finding in found if finding.state != "note"]
    notes = [finding for finding in found if finding.state == "note"]
    for finding in judged + notes[:NOTES]:
        sign, style = SIGNS[finding.state]
        text_style = "" if finding.state != "note" else "dim"
        grid.add_row(Text(sign, style), Text(finding.text, text_style))
    if len(notes) > NOTES:
        grid.add_row(Text("·", "dim"), Text(f"and {len(notes) - NOTES} more notes on the page", "dim"))
    console.print(Panel(grid, title=_title(run_folder, found), border_style=_border(found), padding=(0, 1)))


def _title(run_folder: Path, found: list[Finding]) -> str:
    name = f"[bold]{escape(run_folder.name)}[/bold]"
    return f"{name}: {said}" if (said := tally(found)) else name


def _border(found: list[Finding]) -> str:
    """The colour of the primary endpoint."""
    return {"pass": "green", "fail": "red", "note": "white"}[found[0].state]
