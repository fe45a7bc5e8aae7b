"""`heedful studio`: serve it, copy its database and put a copy back, make links, bring rows in and labels out."""

from __future__ import annotations

import gc
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heedful.errors import InputError, ResourceError
from heedful.feedback_cli import (
    FOLDER,
    Draws,
    Fewest,
    FormatName,
    Heldout,
    Labels,
    OneLabel,
    RaterKinds,
    WithoutLeaks,
    WithoutRaters,
    query_of,
    tell_export,
)
from heedful.run.progress import console

if TYPE_CHECKING:
    from heedful.feedback.store import Store

studio_app = typer.Typer(
    help="People rank answers in a browser: serve the studio, and look after its database.",
    invoke_without_command=True,
)
DATABASE = "studio.db"
Database = Annotated[
    str, typer.Option("--database", envvar="HEEDFUL_DATABASE", help="A SQLite file, or postgresql://user@host/name.")
]
ProjectName = Annotated[str, typer.Argument(help="The project's name.")]


@studio_app.callback()
def serve_command(
    context: typer.Context,
    database: Database = DATABASE,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8100,
    public_url: Annotated[str, typer.Option(help="How browsers reach it, as https://label.example.org")] = "",
    proxies: Annotated[
        list[str],
        typer.Option("--proxy", help="Address of a proxy whose headers are believed; repeatable."),
    ] = [],  # noqa: B006
    models: Annotated[
        list[str],
        typer.Option("--model", metavar="NAME=URL#MODEL@KEYVAR", help="An OpenAI-compatible endpoint."),
    ] = [],  # noqa: B006
    serve: Annotated[
        list[str],
        typer.Option("--serve", metavar="RUN[/STAGE]", help="Talk to a run's models: before and after, or a stage's."),
    ] = [],  # noqa: B006
    runs: Annotated[Path, typer.Option("--runs", help="Folder that holds the run folders.")] = Path("runs"),
    webhook_hosts: Annotated[
        list[str],
        typer.Option("--webhook-host", metavar="HOST[:PORT]", help="A private host that webhooks may lead to."),
    ] = [],  # noqa: B006
    words: Annotated[
        Path | None, typer.Option("--words", metavar="FOLDER", help="Languages of your own for raters, as da.json.")
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Begin with projects of the built-in world.")] = False,
) -> None:
    """Serve the studio (without a subcommand)."""
    if context.invoked_subcommand:
        return
    gc.disable()  # until it serves: whatever a start makes stays, and looking through it was a fifth of the start
    from heedful.studio.languages import read_languages
    from heedful.studio.server import serve_studio
    from heedful.studio.serving import models_of_runs, served
    from heedful.studio.settings import Settings, read_models

    languages = read_languages(words)
    if demo:
        from heedful.studio_demo import add_demo

        add_demo(database)
    folders = models_of_runs(runs, serve)
    named = read_models(models)
    if twice := {model.name for model in named} & set(folders):
        raise InputError(f"--model and --serve both bring a model '{twice.pop()}'; give the --model another name")
    with served(folders) as own:
        models_of_all = (*named, *own)
        hosts = tuple(webhook_hosts)
        serve_studio(Settings(database, host, port, public_url, runs, models_of_all, tuple(proxies), hosts, languages))


@studio_app.command("backup")
def backup_command(
    to: Annotated[Path, typer.Argument(help="The copy: a new file.")],
    database: Database = DATABASE,
) -> None:
    """Copy the database, checked, while it is in use."""
    from heedful.feedback.backup import copy_database
    from heedful.feedback.health import note_copy

    with closing(there(database)) as store:
        copy_database(store, to)
        with suppress(ResourceError), store.write() as connection:  # a database that may only be read is copied too
            note_copy(connection, to.name)
    console.print(f"{to}: {to.stat().st_size / 1e6:.1f} MB, checked", markup=False)


@studio_app.command("restore")
def restore_command(
    copy: Annotated[Path, typer.Argument(help="A copy that 'backup' wrote.")],
    database: Database = DATABASE,
) -> None:
    """Put a copy in the database's place; the studio must be stopped. The old file is kept beside it."""
    from heedful.feedback.backup import restore
    from heedful.feedback.store import Store

    kept = restore(copy, Store(database))
    console.print(
        f"{database}: is {copy} again" + (f"; what was there is kept as {kept}" if kept else ""), markup=False
    )


@studio_app.command("link")
def link_command(
    login: Annotated[str, typer.Argument(help="Whose password is to be set anew.")],
    url: Annotated[str, typer.Option(help="Where the studio is reached.")] = "http://127.0.0.1:8100",
    database: Database = DATABASE,
) -> None:
    """Print a one-time link by which someone sets a new password; for whoever has the database."""
    from heedful.feedback.accounts import all_accounts, create_link

    with closing(there(database)) as store, store.write() as connection:
        found = next((row for row in all_accounts(connection) if row.login == login.lower()), None)
        if found is None:
            raise InputError(f"there is no account '{login}'")
        secret = create_link(connection, "reset", time.time(), role=found.role, account_id=found.id)
    console.print(f"{url.rstrip('/')}/join/{secret}", soft_wrap=True, markup=False)


@studio_app.command("import")
def import_command(
    project: ProjectName,
    file: Annotated[
        Path, typer.Argument(help="Any format of docs/formats.md, completions, or prompt, response_a, response_b.")
    ],
    preset: Annotated[str, typer.Option(help="The sheet of a new project: pair, rank, …  [default: pair]")] = "",
    sheet_file: Annotated[
        Path | None, typer.Option("--sheet", metavar="FILE", help="A sheet of your own for it, as TOML.")
    ] = None,
    rater: Annotated[
        str,
        typer.Option(metavar="NAME", help="Keep judgements that name nobody, under this name (NAME 2, … of one pair)."),
    ] = "",
    database: Database = DATABASE,
) -> None:
    """Add a file's items to a project, which is made if there is none. Bad rows are named; run again to go on."""
    from heedful.feedback.intake import import_file, refuse_unreadable
    from heedful.feedback.presets import PRESETS
    from heedful.feedback.projects import QueuePolicy, create_project, find_project
    from heedful.feedback.sheet_file import load_sheet
    from heedful.feedback.store import open_store

    if preset and sheet_file:
        raise InputError("--preset and --sheet both name a sheet; give one of them")
    if preset and preset not in PRESETS:
        raise InputError(f"--preset {preset}: is none of {', '.join(PRESETS)}")
    refuse_unreadable(file)  # before a project is made for it
    sheet = load_sheet(sheet_file) if sheet_file else PRESETS[preset or "pair"].sheet
    with closing(open_store(database)) as store, store.write() as connection:
        found = find_project(connection, project)
        if found and (preset or sheet_file) and found.sheet != sheet:
            given = f"--preset {preset}" if preset else f"--sheet {sheet_file}"
            raise InputError(f"{given}: project '{project}' has another sheet; leave it out, or name a new project")
        project_id = found.id if found else create_project(connection, project, sheet, QueuePolicy())
    with closing(open_store(database)) as store:
        done = import_file(store, project_id, file, rater)
    labels = f", {done.labels:,} labels" if done.labels else ""
    console.print(f"{project}: {done.items:,} new items{labels}, {done.there_already:,} there already", markup=False)
    if done.nameless:
        said = f"  {done.nameless:,} judgements name no rater, and were left out; --rater NAME keeps them under a name"
        console.print(said, markup=False, soft_wrap=True)
    if done.leaks:
        said = f"  {done.leaks:,} answers name who wrote them (listed on the dashboard)"
        console.print(said, markup=False, soft_wrap=True)
    for fault in done.faults:
        console.print(f"  {fault}", markup=False, soft_wrap=True)
    if done.fault_count:
        raise typer.Exit(InputError.exit_code)


@studio_app.command("export")
def export_command(
    project: ProjectName,
    out: Annotated[Path, typer.Argument(help=FOLDER)],
    format: FormatName = "rankings",
    labels: OneLabel = Labels.EACH,
    kind: RaterKinds = [],  # noqa: B006
    without: WithoutRaters = [],  # noqa: B006
    without_leaks: WithoutLeaks = False,
    checks: Annotated[
        bool, typer.Option("--checks", help="Hidden checks, training items and probes too, with their right answers.")
    ] = False,
    fewest: Fewest = 1,
    heldout: Heldout = 0.0,
    seed: Draws = 0,
    database: Database = DATABASE,
) -> None:
    """Write a project's judgements in any format, split by prompt, with a manifest: what training reads."""
    from heedful.feedback.erase import erased_raters
    from heedful.feedback.exports.write import export_judgements
    from heedful.feedback.labels import CHECKS, LABELS, labels_for, newest_number
    from heedful.feedback.projects import known_project

    query = query_of(format, labels, kind, without, without_leaks, fewest, heldout, seed)
    with closing(there(database)) as store, store.read() as connection:
        found = known_project(connection, project, database)
        inputs = {f"project '{project}'": f"judgements up to number {newest_number(connection, found)}"}
        if erased := erased_raters(connection, found.id):
            inputs["erased raters"] = ", ".join(erased)
        given = labels_for(
            connection, found, query.format, query.rule, query.kinds, LABELS + CHECKS if checks else LABELS
        )
        done = export_judgements(given, lambda: inputs, query, out)
    tell_export(done, out)


def there(database: str) -> Store:
    """A database that exists; none is made by mistake."""
    from heedful.feedback.store import Store, open_store

    store = Store(database)
    if store.sqlite and not store.file.exists():
        raise InputError(f"{database}: there is no such database; name it with --database")
    return open_store(database)
