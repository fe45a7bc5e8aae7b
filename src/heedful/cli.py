"""The command line: one command for each stage, and those that look at runs and models. `--help` imports no torch."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.markup import escape

from heedful import __version__
from heedful.errors import HeedfulError, InputError, Stopped, of_system
from heedful.feedback_cli import register as register_labels
from heedful.next_items import next_command
from heedful.run.progress import console
from heedful.studio_cli import DATABASE, Database, studio_app
from heedful.wording import OWN, expected

app = typer.Typer(
    help="heedful turns a raw language model into an assistant people prefer: the whole RLHF loop in one tool.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
runs_app = typer.Typer(help="Look at run folders: list, times, compare, prune.", no_args_is_help=True)
app.add_typer(runs_app, name="runs")
studio_app.command("next")(next_command)
app.add_typer(studio_app, name="studio")

Overrides = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a config value; repeatable.")
]
Runs = Annotated[Path, typer.Option("--runs", help="Folder that holds the run folders.")]
ConfigFile = Annotated[str, typer.Argument(help="A TOML file with the stage's config; may be left out.")]
Out = Annotated[Path, typer.Option("--out", help="The stage's folder; running again resumes or skips.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Every random draw derives from it.")]
RUNS = Path("runs")


def _version(show: bool) -> None:
    if show:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command("run")
def run_command(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of a shipped recipe: demo, world, own, …")],
    overrides: Overrides = [],  # noqa: B006
    runs: Runs = RUNS,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell stages, time and memory to expect; run nothing.")
    ] = False,
    processes: Annotated[
        int, typer.Option("--processes", min=1, help="Train data-parallel in this many processes of this machine.")
    ] = 1,
) -> None:
    """Run a recipe: stages in order; complete ones are skipped, a broken one resumes."""
    from heedful.config import load_recipe
    from heedful.processes import together

    loaded = load_recipe(recipe, overrides)
    if dry_run:
        from heedful.estimate import show_estimate
        from heedful.pipeline import refuse_missing

        show_estimate(loaded, runs)
        refuse_missing(loaded)
        return
    with together(processes):
        from heedful.pipeline import run_recipe  # imports torch, while the others do

        root = run_recipe(loaded, runs)
    if os.environ.get("RANK", "0") != "0":
        return
    if (root / "evaluation.json").exists():
        from heedful.report.terminal import verdict

        verdict(root)
    if (root / "report.html").exists():
        console.print(f"\nOpen [bold]{root / 'report.html'}[/bold]")


@app.command("sweep")
def sweep_command(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of a shipped recipe.")],
    grid: Annotated[
        list[str],
        typer.Option("--grid", metavar="KEY=V1,V2", help="A key and its values; repeatable."),
    ] = [],  # noqa: B006
    overrides: Overrides = [],  # noqa: B006
    runs: Runs = RUNS,
    policy: Annotated[
        str, typer.Option(help="Whose truth and KL the frontier shows; by default the last that is evaluated.")
    ] = "",
) -> None:
    """Run a recipe at every point of a grid; shared stages run once; draw truth or reward over KL."""
    from heedful.sweep import sweep

    sweep(recipe, grid, overrides, runs, policy)


@app.command("frontier")
def frontier_command(
    sweeps: Annotated[
        list[Path], typer.Argument(help="Folders of sweeps: runs/<name>-sweep. The first is compared with.")
    ],
    out: Annotated[Path, typer.Option(help="The folder for frontier.html.")] = Path("runs/frontier"),
    best_of: Annotated[
        list[Path],
        typer.Option(
            "--best-of",
            help="A run whose evaluation has many draws judged by 'reward': adds best-of-n; repeatable, once a seed.",
        ),
    ] = [],  # noqa: B006
    primary: Annotated[
        str, typer.Option(help="The line whose difference to the first was the question named beforehand.")
    ] = "",
) -> None:
    """Draw several sweeps as lines of truth over KL, and compare the areas under them."""
    from heedful.frontier import frontier

    frontier(sweeps, out, best_of, primary)


def _stage_command(kind: str, about: str) -> None:
    def command(config: ConfigFile = "", *, out: Out, overrides: Overrides = [], seed: Seed = 0) -> None:  # noqa: B006
        from heedful.config import load_stage
        from heedful.pipeline import run_single

        run_single(load_stage(kind, config, overrides), out, seed)

    app.command(kind, help=about)(command)


for _kind, _about in {
    "world": "Write the built-in world's corpus, demonstrations and prompts.",
    "openings": "Make prompts from the openings of documents.",
    "pretrain": "Train a tokenizer and a base model from text, or continue a causal model.",
    "sft": "Fine-tune a model on demonstrations.",
    "sample": "Let a policy write several candidates for each prompt.",
    "reward": "Train a reward model on rankings or comparisons.",
    "dpo": "Optimise a policy directly on comparisons.",
    "ppo": "Optimise a policy against a reward model under a KL leash.",
    "accuracy": "Compare reward models on held-out rankings.",
    "blend": "Weigh several reward models and likelihoods into one reward.",
    "average": "Average the weights of several policies or reward models.",
    "rl": "Optimise a policy without a critic: RLOO, GRPO and their family, online DPO.",
    "select": "Keep the best of several answers as demonstrations.",
    "evaluate": "Compare models on held-out prompts.",
}.items():
    _stage_command(_kind, _about)


@app.command("label")
def label_command(
    config: ConfigFile = "",
    *,
    out: Out,
    by: Annotated[
        str, typer.Option("--by", help="people, judge, simulated or flipped: short for --set by.type=…")
    ] = "",
    overrides: Overrides = [],  # noqa: B006
    seed: Seed = 0,
) -> None:
    """Rank candidates: by people in the studio, by a model that judges, or by simulated raters."""
    from heedful.config import load_stage
    from heedful.pipeline import run_single

    run_single(load_stage("label", config, [*([f"by.type={by}"] if by else []), *overrides]), out, seed)


register_labels(app)


@app.command("report")
def report_command(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    title: Annotated[str, typer.Option(help="The page's heading; by default the recipe's own.")] = "",
) -> None:
    """Write a run's report.html anew and print its verdict."""
    from heedful.report.html import write_report
    from heedful.report.terminal import verdict
    from heedful.run import stage_folders

    if not run.is_dir():
        raise InputError(f"{run}: there is no such run folder")
    if not stage_folders(run):
        raise InputError(f"{run}: holds no stage of a run, such as 01-sft; give the folder of a run")
    path = run / "report.html"
    write_report(run, path, title)
    if (run / "evaluation.json").exists():
        verdict(run)
    console.print(f"\nOpen [bold]{path}[/bold]")


@app.command("validate")
def validate_command(
    file: Annotated[Path, typer.Argument(help="A data file: JSONL, JSON, CSV, TSV, Parquet, text.")],
    sound: Annotated[Path | None, typer.Option("--sound", help="Write the sound rows to this JSONL file.")] = None,
) -> None:
    """Say what a data file holds, which format it is in, and every fault with its line and mend; one ends it with 2."""
    from heedful.data.validate import render, validate, write_sound

    report = validate(file)
    typer.echo(render(report))
    if sound:
        left = f"; {report.fault_count:,} unsound ones were left out" if report.faults else ""
        typer.echo(f"  sound      {write_sound(file, sound):,} rows written to {sound}{left}")
    if report.faults:
        raise typer.Exit(2)


@app.command("convert")
def convert_command(
    file: Annotated[Path, typer.Argument(help="A data file of rankings, preferences or labelled answers.")],
    new: Annotated[Path, typer.Argument(help="The JSONL file to write.")],
    to: Annotated[str, typer.Option("--to", help="rankings, comparisons, or labels (one row for each answer).")],
) -> None:
    """Write judgements in the form that a loss wants: labels as rankings, rankings as labels."""
    from typing import get_args

    from heedful.data.rewrite import Form, rewrite

    for form in get_args(Form):
        if form == to:
            return typer.echo(rewrite(file, new, form))
    raise InputError(f"--to {to}: expected one of {', '.join(get_args(Form))}")


@app.command("chat")
def chat_command(
    model: Annotated[list[Path], typer.Argument(help="A model folder; two are answered side by side.")],
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy.")] = 0.7,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Where an answer is cut.")] = 128,
) -> None:
    """Talk to one model, or to two side by side."""
    from heedful.serve.terminal import chat

    chat(model, temperature=temperature, max_new_tokens=max_new_tokens)


@app.command("serve")
def serve_command(
    model: Annotated[Path, typer.Argument(help="A model folder.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
) -> None:
    """Serve a model over an OpenAI-compatible endpoint."""
    from heedful.serve.server import serve

    serve(model, host=host, port=port)


@app.command("doctor")
def doctor_command(database: Database = DATABASE) -> None:
    """Check this machine (versions, processors, memory, disk, how fast it multiplies), and the studio's database."""
    from heedful.doctor import doctor

    if not doctor(database):
        raise typer.Exit(4)


@runs_app.command("list")
def list_command(runs: Runs = RUNS) -> None:
    """Every run: its stages, time and headline."""
    from heedful.runs import show_list

    show_list(runs)


@runs_app.command("times")
def times_command(name: Annotated[str, typer.Argument(help="The run.")], runs: Runs = RUNS) -> None:
    """Where a run's time and memory went, by kind of stage."""
    from heedful.runs import show_times

    show_times(runs, name)


@runs_app.command("compare")
def compare_command(
    names: Annotated[list[str], typer.Argument(help="Run names.")],
    runs: Runs = RUNS,
    judge: Annotated[str, typer.Option(help="Whose verdicts to show; by default the truth's.")] = "",
) -> None:
    """Win rates of several runs side by side, with their mean over seeds."""
    from heedful.runs import show_comparison

    show_comparison(runs, names, judge)


@runs_app.command("prune")
def prune_command(
    names: Annotated[list[str], typer.Argument(help="Run names.")],
    runs: Runs = RUNS,
) -> None:
    """Delete the checkpoints of complete stages; models and logs stay."""
    from heedful.runs import prune

    prune(runs, names)


@app.command("recipes")
def recipes_command(
    copy: Annotated[str, typer.Option("--copy", help="Copy this recipe into the current folder, to edit.")] = "",
) -> None:
    """List the shipped recipes, or copy one."""
    from heedful.runs import copy_recipe, show_recipes

    if copy:
        copy_recipe(copy, Path.cwd())
    else:
        show_recipes()


def main() -> None:
    """Run the command; a fault that the user can mend is one sentence and an exit code."""
    try:
        sys.exit(app(prog_name="heedful", standalone_mode=False))
    except (HeedfulError, Stopped) as error:
        _end(error)
    except typer.TyperException as error:
        _end(_misused(error))
    except typer.Abort:
        sys.exit(1)
    except Exception as error:
        if (told := of_system(error)) is None:
            raise
        _end(told)


def _misused(error: Any) -> InputError:
    """What is wrong with the command line, in one sentence."""
    from pydantic import ValidationError

    said = error.format_message()
    if not said:
        sys.exit(error.exit_code)  # nothing was asked, and the help stands there
    if isinstance(error.__cause__, ValidationError):
        fault = error.__cause__.errors()[0]
        said = f"expected {expected(fault)}, found {fault['input']}"
        if fault["type"] == OWN:
            said = fault["msg"].removeprefix("Value error, ")
        said = f"{error.param.get_error_hint()}: {said}"
    said = said[:1].lower() + said[1:].rstrip(".")
    return InputError(f"{said}; `{error.ctx.command_path} --help` says what it takes")


def _end(error: HeedfulError | Stopped) -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while the interpreter ends needs no traceback
    console.print(f"[bold red]heedful:[/bold red] {escape(str(error))}", markup=True, soft_wrap=True)
    sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
