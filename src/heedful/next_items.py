"""`heedful studio next`: which items people should see next, found by reward models, with no file in between."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from heedful.errors import InputError
from heedful.run.progress import Progress, console
from heedful.studio_cli import DATABASE, Database, ProjectName, there

if TYPE_CHECKING:
    from heedful.records import Prompt
    from heedful.rewards.protocol import Reward

By = Literal["ensemble", "interval", "disagreement", "random"]
AT_ONCE = 64  # answers between two steps of the progress bar


def next_command(
    project: ProjectName,
    rewards: Annotated[
        list[Path],
        typer.Option("--reward", help="A reward model, or the members folder of an ensemble; repeatable."),
    ] = [],  # noqa: B006
    by: Annotated[
        By, typer.Option(help="What comes first; ensemble: where the reward models differ most.")
    ] = "ensemble",
    device: Annotated[str, typer.Option(help="Where the reward models run: cpu, cuda, …")] = "cpu",
    database: Database = DATABASE,
) -> None:
    """Score a project's waiting items with reward models, and put first those whose label should teach most.

    Items that somebody has begun stay where they are, and a random share keeps a random place (the queue's `random`).
    """
    from heedful.feedback.audit import note
    from heedful.feedback.order import keep_scores, reorder, unbegun
    from heedful.feedback.projects import known_project

    with closing(there(database)) as store:
        with store.read() as connection:
            of = known_project(connection, project, database)
            items = unbegun(connection, of)
        scores = score_items(items, load_all(rewards, device)) if rewards and items else {}
        with store.write() as connection:
            keep_scores(connection, scores)
            placed = reorder(connection, of, by)
            note(connection, time.time(), None, "queue ordered", f"project {of.id}", rule=by, scored=len(scores))
    said = ", ".join(f"{number:,} {why}" for why, number in sorted(placed.items())) or "nothing waits"
    console.print(f"{project}: {len(scores):,} items scored; placed by: {said}", markup=False)


def load_all(folders: Sequence[Path], device: str) -> list[Reward]:
    """Every reward model; an ensemble's members apart. InputError: fewer than two, who can't differ."""
    from heedful.rewards.ensemble import member_folders
    from heedful.rewards.loading import load_reward

    places = [
        place for folder in folders for place in (member_folders(folder) if folder.name == "members" else [folder])
    ]
    if len(places) < 2:
        raise InputError(
            "--reward: one reward model can't differ from itself; name two, or an ensemble's members folder"
        )
    return [load_reward(place, device) for place in places]


def score_items(
    items: dict[int, tuple[Prompt, tuple[str, ...]]], models: Sequence[Reward]
) -> dict[int, list[tuple[float, ...]]]:
    """Of each item a list for each answer, one number for each model.

    Reward models have scales of their own: each one's scores are divided by their spread over all these answers, so
    that none outweighs the others.
    """
    import numpy as np

    asked = [(prompt, text) for prompt, texts in items.values() for text in texts]
    columns = []
    with Progress("score", len(asked) * len(models)) as progress:
        for model in models:
            values: list[float] = []
            for start in range(0, len(asked), AT_ONCE):
                some = asked[start : start + AT_ONCE]
                values += [one.value for one in model.score([p for p, _ in some], [text for _, text in some])]
                for _ in some:
                    progress.advance()
            spread = float(np.std(values))
            columns.append([value / spread if spread else 0.0 for value in values])
    rows = iter(zip(*columns, strict=True))
    return {key: [next(rows) for _ in texts] for key, (_, texts) in items.items()}
