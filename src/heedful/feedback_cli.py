"""Commands on labels, with no database: `heedful raters`, `heedful export`, `heedful import`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heedful.errors import InputError

if TYPE_CHECKING:
    from heedful.feedback.exports.write import Exported, Query

SHOWN = 5  # faults, pairs of raters, cases
ROWS = 20  # raters

Files = Annotated[
    list[Path], typer.Argument(help="Files with judgements: a raw log, rankings, preferences, battles, …")
]


class Labels(StrEnum):
    """`--labels`: every judgement as given, or one a pair."""

    EACH = "each"
    MAJORITY = "majority"
    SOFT = "soft"
    DAWID_SKENE = "dawid-skene"
    CROWD = "crowd"


FormatName = Annotated[str, typer.Option("--format", help="trl, openrlhf, nemo-rl, … or raw; see docs/formats.md.")]
FOLDER = "The folder to write; an earlier export there is replaced."
OneLabel = Annotated[Labels, typer.Option("--labels", help="Each label as given, or one label a pair.")]
RaterKinds = Annotated[list[str], typer.Option("--kind", help="Only labels by human, ai or simulated raters.")]
WithoutRaters = Annotated[list[str], typer.Option("--without", help="Leave this rater out; repeatable.")]
WithoutLeaks = Annotated[
    bool, typer.Option("--without-leaks", help="Leave out labels of answers that name who wrote them.")
]
Fewest = Annotated[int, typer.Option("--fewest", min=1, help="Votes that a pair needs for a label.")]
Heldout = Annotated[float, typer.Option("--heldout", min=0, max=0.9, help="Share of prompts to hold out.")]
Draws = Annotated[int, typer.Option("--seed", min=0, help="Draws the prompts that are held out.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("raters")(raters_command)
    app.command("export")(export_command)
    app.command("import")(import_command)


def raters_command(
    files: Files,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the intervals' resamples.")] = 0,
    by_chance: Annotated[
        bool, typer.Option("--by-chance", help="Only items whose place in the queue was drawn: they speak for all.")
    ] = False,
) -> None:
    """Say how far raters agree, with intervals, who stands out, and which pairs a second look would help."""
    from heedful.data.faults import Fault
    from heedful.feedback.imports import read_judgements
    from heedful.feedback.judgements import RANDOM
    from heedful.feedback.report import nothing_said, rater_report

    items = [item for file in files for item in read_judgements(file)]
    faults = [str(item) for item in items if isinstance(item, Fault)]
    judgements = [
        item for item in items if not isinstance(item, Fault) and not (by_chance and item.chosen_by != RANDOM)
    ]
    if nothing_said(judgements):
        _faults(len(faults), faults)
        there = "of items placed by chance (a studio's raw log tells which these are)" if by_chance else "there"
        raise InputError(f"{', '.join(map(str, files))}: nobody compared, rated, flagged or labelled answers {there}")
    report = rater_report(judgements, seed)
    if as_json:
        typer.echo(json.dumps(report.row(), indent=1, ensure_ascii=False))
    else:
        _show(report)
    _faults(len(faults), faults)


def export_command(
    files: Files,
    format: FormatName,
    out: Annotated[Path, typer.Option("--out", help=FOLDER)],
    labels: OneLabel = Labels.EACH,
    kind: RaterKinds = [],  # noqa: B006
    without: WithoutRaters = [],  # noqa: B006
    without_leaks: WithoutLeaks = False,
    fewest: Fewest = 1,
    heldout: Heldout = 0.0,
    seed: Draws = 0,
) -> None:
    """Write judgements in the format of another tool, split by prompt, with a manifest."""
    from heedful.feedback.exports.write import export

    query = query_of(format, labels, kind, without, without_leaks, fewest, heldout, seed)
    tell_export(export(files, query, out), out)


def query_of(
    format: str,
    labels: Labels,
    kinds: Sequence[str],
    without: Sequence[str],
    without_leaks: bool,
    fewest: int,
    heldout: float,
    seed: int,
) -> Query:
    """What an export's options ask for. InputError: one says nothing."""
    from heedful.feedback.exports.rows import ExportFormat
    from heedful.feedback.exports.write import Query

    if format not in list(ExportFormat):
        raise InputError(f"--format {format}: expected one of {', '.join(ExportFormat)}")
    if unknown := set(kinds) - {"human", "ai", "simulated"}:
        raise InputError(f"--kind {unknown.pop()}: expected human, ai or simulated")
    if fewest > 1 and labels is Labels.EACH:
        raise InputError("--fewest counts the votes of a pair: give --labels majority, soft, dawid-skene or crowd too")
    return Query(
        format=ExportFormat(format),
        rule=labels.value,
        kinds=tuple(kinds),
        without=tuple(without),
        fewest=fewest,
        without_leaks=without_leaks,
        heldout=heldout,
        seed=seed,
    )


def tell_export(done: Exported, out: Path) -> None:
    """What an export wrote and left out; exit code 2 where rows were unsound."""
    for name, rows in done.rows.items():
        typer.echo(f"{out / name}: {rows:,} rows on {done.prompts[name]:,} prompts")
    if pairs := done.pairs:
        without = pairs.judged - pairs.kept
        typer.echo(f"pairs: {pairs.judged:,} judged, {pairs.kept:,} with a label, {without:,} without")
        _left_out(pairs.left_out)
    if pairs and done.left_out:
        typer.echo("judgements of which no label was made:")
    _left_out(done.left_out)
    _faults(done.faults, done.first_faults)


def _left_out(reasons: Mapping[str, int]) -> None:
    for reason, number in reasons.items():
        typer.echo(f"  left out {number:,}: {reason}")


def import_command(
    files: Files,
    into: Annotated[Path, typer.Option("--into", help="A raw log (JSONL) to add to; what it holds stays.")],
) -> None:
    """Add judgements from files of any known format to a raw log; those that it holds already are not added again."""
    from heedful.feedback.imports import gather

    found = gather(files, into)
    typer.echo(f"{into}: {found.new:,} judgements added, {found.known:,} were there already")
    _faults(found.faults, found.first_faults)


def _faults(count: int, faults: Sequence[str]) -> None:
    """Name unsound rows, and end with exit code 2 where there are any: what is sound has been used all the same."""
    if not count:
        return
    for fault in faults[:SHOWN]:
        typer.echo(fault, err=True)
    rest = f", of which the first {SHOWN} are named" if count > SHOWN else ""
    typer.echo(f"{count:,} unsound rows{rest}; the others are in. Mend them and run again.", err=True)
    raise typer.Exit(2)


def _show(report: Any) -> None:
    """The report as tables."""
    from rich.console import Console

    console = Console(highlight=False)  # what was asked for goes to the standard output
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in report.kinds.items())
    compared = (
        f": {report.pairs:,} pairs, {report.overlapping:,} of them with two votes or more" if report.pairs else ""
    )
    console.print(f"{report.judgements:,} judgements by {kinds} raters{compared}")
    if report.pairs:
        _show_compared(report, console)
    _show_grades(report, console)


def _show_compared(report: Any, console: Any) -> None:
    """What was said of pairs of answers, and by whom."""
    from rich.table import Table

    table = Table("agreement", "value", "95 %", "units")
    for figure in report.agreement:
        table.add_row(figure.name, _number(figure.value.mean), _interval(figure.value), f"{figure.n:,}")
    for figure in sorted(report.between, key=lambda f: f.value.mean)[:SHOWN]:
        table.add_row(f"Cohen's κ, {figure.name}", _number(figure.value.mean), _interval(figure.value), f"{figure.n:,}")
    console.print(
        table if table.row_count else "No pair has two votes: give some pairs to two raters to see agreement."
    )
    if report.overlapping:
        from heedful.evaluate.rater_figures import PUBLISHED

        people = " · ".join(f"{value:.1%} {name}" for name, value in PUBLISHED)
        console.print(f"People among themselves elsewhere, of decided pairs: {people}", style="dim")
        console.print(
            f"A vote agrees with the majority of the others in {_percent(report.majority_of_others)}; the best guess "
            f"of single votes would be right in {_percent(report.ceiling)}."
        )
    _show_machines(report, console)
    _show_raters(report, console)
    for finding in report.findings:
        console.print(f"! {', '.join(finding.raters)}: {finding.sentence} (p = {finding.p:.2g})", markup=False)
    position, length = report.position, report.length
    if position.votes:
        console.print(
            f"What lay left was preferred in {position.rate:.1%} [{position.low:.1%}, {position.high:.1%}] of "
            f"{position.votes:,} votes (p = {position.p:.2g})."
        )
    if length.votes > 1:
        console.print(
            f"The longer answer won {length.longer:.1%} of {length.votes:,} votes; each doubling of length moves the "
            f"log odds by {length.slope.mean:+.2f} {_interval(length.slope)}."
        )
    if report.cases:
        console.print(
            f"{len(report.cases):,} pairs ask for a second look ({_reasons(report.cases)}); --json lists them."
        )
    if not report.converged:
        console.print("The model of skill did not converge; read its column with care.")


def _show_grades(report: Any, console: Any) -> None:
    """What was said of single answers, and all agreement over time."""
    from rich.table import Table

    from heedful.feedback.grades import FEWEST

    def figure(one: Any) -> tuple[str, str]:
        return ("not enough data", "") if one.n < FEWEST else (_number(one.value.mean), _interval(one.value))

    if report.grades:
        table = Table("of single answers", "", "value", "95 %", "n")
        for one in report.grades:
            name = "steps" if one.kind == "step" else f"{one.kind} {one.key}"
            table.add_row(name, one.name, *figure(one), f"{one.n:,}")
        console.print(table)
    if report.over_time:
        table = Table("over time (α, chance of the whole)", "quarter", "from", "value", "95 %", "pairs of judgements")
        for one in report.over_time:
            name = one.key if one.kind in ("comparison", "step") else f"{one.kind} {one.key}"
            since = datetime.fromtimestamp(one.since, UTC).strftime("%Y-%m-%d")
            table.add_row(name, str(one.quarter), since, *figure(one), f"{one.n:,}")
        console.print(table)


def _show_machines(report: Any, console: Any) -> None:
    from rich.table import Table

    if report.consistency:
        table = Table("judge", "says the same in both orders", "when asked again", "won by the first shown, else")
        for judge in report.consistency:
            table.add_row(judge.judge, *(_share(one) for one in (judge.orders, judge.again, judge.first)))
        console.print(table)
    if not report.machines:
        return
    table = Table("prompts", "judge", "agrees with people", "95 %", "pairs")
    for row in report.machines[:ROWS]:
        table.add_row(row.stratum, row.judge, _percent(row.agreement.mean), _interval(row.agreement), f"{row.n:,}")
    console.print(table)


def _show_raters(report: Any, console: Any) -> None:
    from rich.table import Table

    table = Table("rater", "kind", "votes", "with the others", "skill", "95 %", "guesses left")
    for rater in report.raters[:ROWS]:
        skill = f"[{rater.skill_low:.2f}, {rater.skill_high:.2f}]".replace("[", "\\[")
        table.add_row(
            rater.name,
            rater.kind,
            f"{rater.votes:,}",
            _percent(rater.agreement),
            f"{rater.skill:.2f}",
            skill,
            _percent(rater.lean),
        )
    console.print(table)
    if len(report.raters) > ROWS:
        console.print(f"and {len(report.raters) - ROWS:,} more raters; --json lists them all", style="dim")


def _share(value: Any) -> str:
    return f"{value.share:.1%} \\[{value.low:.1%}, {value.high:.1%}] of {value.n:,}" if value.n else "–"


def _reasons(cases: Sequence[Any]) -> str:
    counts: dict[str, int] = {}
    for case in cases:
        counts[case.reason] = counts.get(case.reason, 0) + 1
    return ", ".join(f"{number:,} {reason}" for reason, number in counts.items())


def _number(value: float) -> str:
    return "nothing varies" if value != value else f"{value:.3f}"


def _percent(value: float) -> str:
    return "–" if value != value else f"{value:.1%}"


def _interval(value: Any) -> str:
    return "too few" if value.low != value.low else f"\\[{value.low:.3f}, {value.high:.3f}]"
