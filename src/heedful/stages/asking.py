"""People rank the candidates in the studio: they are put into a project, and what was said of them is taken out."""

from __future__ import annotations

import time
from collections.abc import Sequence

from heedful.config import LabelConfig, PeopleLabels
from heedful.data.candidates import Candidates
from heedful.errors import InputError
from heedful.evaluate.reward_report import judged_pairs, label_figures
from heedful.feedback.intake import Imported, NewItem, fitting, import_items
from heedful.feedback.labels import rankings_of, read_labels
from heedful.feedback.presets import PRESETS
from heedful.feedback.projects import Project, QueuePolicy, create_project, find_project, progress, read_project
from heedful.feedback.sheet import MOST
from heedful.feedback.store import Store, open_store
from heedful.records import Ranking
from heedful.run import Run

EVERY = 2.0  # seconds between two looks at what is done


def ask_people(
    config: LabelConfig, by: PeopleLabels, usable: Sequence[Candidates], held: frozenset[int], run: Run
) -> None:
    """Wait for the people, or take what they have said so far; leaves rankings.jsonl and heldout.jsonl.

    InputError: the project compares nothing, or nobody has said anything yet and the stage was told not to wait.
    """
    store = open_store(by.database)
    try:
        project = _project(store, config, by, usable)
        added = _add(store, project, usable)
        run.say(
            f"{added.items} new items in project '{by.project}' of {by.database}, {added.there_already} there already"
        )
        if by.wait:
            _wait(store, project, run)
        kept = {usable[index].prompt.id for index in held}
        wanted = {candidates.prompt.id for candidates in usable}
        with store.read() as connection:
            people = [one for one in read_labels(connection, project) if one.rater_kind == "human"]
        found = [ranking for judgement in people for ranking in rankings_of(judgement)]
    finally:
        store.close()
    rankings = [ranking for ranking in found if ranking.prompt.id in wanted]
    training = [ranking for ranking in rankings if ranking.prompt.id not in kept]
    heldout = [ranking for ranking in rankings if ranking.prompt.id in kept]
    if not training:
        raise InputError(
            f"{by.database}: nobody has compared answers in project '{by.project}' yet; "
            f"open it with 'heedful studio --database {by.database}', or let the stage wait (by.wait = true)"
        )
    run.write_records("rankings.jsonl", training)
    run.write_records("heldout.jsonl", heldout)
    run.summary |= _summary(training, heldout)
    run.say(f"{len(training)} rankings to train on, {len(heldout)} held out, by {len(run.summary['raters'])} raters")


def _project(store: Store, config: LabelConfig, by: PeopleLabels, usable: Sequence[Candidates]) -> Project:
    """The project of this name; made, as a ranking or a comparison of two, where there is none."""
    with store.write() as connection:
        found = find_project(connection, by.project)
        if found is None:
            most = max(len(candidates.texts) for candidates in usable)
            preset = "rank" if 2 < most <= MOST else "pair"
            queue = QueuePolicy(overlap=config.overlap, overlap_most=max(5, config.overlap))
            found = read_project(connection, create_project(connection, by.project, PRESETS[preset].sheet, queue))
    if found.sheet.compare == "none" or found.sheet.chat != "off":
        raise InputError(f"{by.database}: project '{by.project}' does not compare given answers; name another project")
    return found


def _add(store: Store, project: Project, usable: Sequence[Candidates]) -> Imported:
    items = (
        item
        for candidates in usable
        for item in fitting(
            NewItem(prompt=candidates.prompt, answers=candidates.texts, sources=candidates.sources), project.sheet
        )
    )
    return import_items(store, project, items, Imported())


def _wait(store: Store, project: Project, run: Run) -> None:
    """Until every item of the project has the judgements that it should; Ctrl-C leaves all where it is."""
    with store.read() as connection:
        total = progress(connection, project.id).items
    run.say(f"waiting for people: 'heedful studio --database {store.url.render_as_string()}'")
    done = 0
    with run.progress("label", total) as bar:
        while True:
            with store.read() as connection:
                counts = progress(connection, project.id)
            for _ in range(counts.complete - done):
                bar.advance()
            done = counts.complete
            if done >= counts.items:
                return
            run.stop_if_asked()
            time.sleep(EVERY)


def _summary(training: Sequence[Ranking], heldout: Sequence[Ranking]) -> dict[str, object]:
    return {
        "rankings": len(training),
        "comparisons": sum(len(ranking.pairs()) for ranking in training),
        "raters": sorted({ranking.rater for ranking in (*training, *heldout)}),
        "rater_kinds": sorted({ranking.rater_kind for ranking in (*training, *heldout)}),
        "heldout": label_figures(judged_pairs(heldout)) if heldout else {},
    }
