"""People rank the candidates in the studio: they are put into a project, and what was said of them is taken out."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from heedful.config import LabelConfig, PeopleLabels
from heedful.data.candidates import Candidates
from heedful.data.faults import RowFault
from heedful.errors import InputError
from heedful.evaluate.reward_report import judged_pairs, label_figures, with_raters
from heedful.feedback.awaited import awaited, item_numbers
from heedful.feedback.consensus import Rule
from heedful.feedback.exports.write import consensus_judgements
from heedful.feedback.fitting import NewItem, fitting
from heedful.feedback.intake import Imported, import_items
from heedful.feedback.judgements import Judgement
from heedful.feedback.labels import rankings_of, standing_labels
from heedful.feedback.presets import PRESETS
from heedful.feedback.projects import Project, QueuePolicy, create_project, find_project, read_project
from heedful.feedback.sheet import MOST
from heedful.feedback.store import Store, open_store
from heedful.records import Prompt, Ranking, prompt_id
from heedful.run import Run

EVERY = 2.0  # seconds between two looks at what is done


def ask_people(
    config: LabelConfig, by: PeopleLabels, usable: Sequence[Candidates], held: frozenset[int], run: Run
) -> None:
    """Wait for the people, or take what they have said so far of these candidates; leaves rankings and heldout.jsonl.

    InputError: the project compares nothing or can't show some candidates, or nobody has said anything yet and the
    stage was told not to wait.
    """
    store = open_store(by.database)
    try:
        project = _project(store, config, by, usable)
        items = [(number, new) for number, candidates in enumerate(usable) for new in _items(candidates, by, project)]
        added = import_items(store, project, (new for _, new in items), Imported())
        run.say(
            f"{added.items} new items in project '{by.project}' of {by.database}, {added.there_already} there already"
        )
        with store.read() as connection:
            numbers = item_numbers(connection, project, (new for _, new in items))
        asked = {number: usable[index].prompt for number, (index, _) in zip(numbers, items, strict=True)}
        if by.wait:
            _wait(store, project, asked, run)
        labels = _said(store, project, asked, by)
    finally:
        store.close()
    kept = {prompt_id(usable[index].prompt.messages) for index in held}
    own = [label for label in labels if prompt_id(label.prompt.messages) not in kept]
    training = _rankings(agreed(own, by.consensus) if by.consensus else own)
    heldout = _rankings(label for label in labels if prompt_id(label.prompt.messages) in kept)
    if not training:
        raise InputError(
            f"{by.database}: nobody has compared these answers in project '{by.project}' yet; "
            f"open it with 'heedful studio --database {by.database}', or let the stage wait (by.wait = true)"
        )
    run.write_records("rankings.jsonl", training)
    run.write_records("heldout.jsonl", heldout)
    run.summary |= _summary(training, heldout, run.rng("report"))
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


def _items(candidates: Candidates, by: PeopleLabels, project: Project) -> list[NewItem]:
    """The candidates of a prompt as the project's sheet can show them."""
    new = NewItem(prompt=candidates.prompt, answers=candidates.texts, sources=candidates.sources)
    try:
        return list(fitting(new, project.sheet))
    except RowFault as fault:
        where = f"candidates of prompt '{candidates.prompt.id}' for project '{by.project}' of {by.database}"
        raise InputError(str(fault.at(where))) from None


def _said(store: Store, project: Project, asked: Mapping[int, Prompt], by: PeopleLabels) -> list[Judgement]:
    """What these raters have said of these items, under the prompts that the recipe's own files hold.

    The project may hold more: earlier rounds' items, and the same prompts under the ids of other files.
    """
    with store.read() as connection:
        labels = [label for label in standing_labels(connection, project) if label.item in asked]
    kinds = {"people": ("human",), "machines": ("ai",), "all": ("human", "ai")}[by.raters]
    return [replace(label, prompt=asked[label.item]) for label in labels if label.rater_kind in kinds]


def _rankings(labels: Iterable[Judgement]) -> list[Ranking]:
    return [ranking for label in labels for ranking in rankings_of(label)]


def agreed(labels: Sequence[Judgement], rule: Rule) -> list[Judgement]:
    """One label a pair, which counts |2p − 1|, as sure as its raters are together; a tie counts in full."""
    found = consensus_judgements(labels, rule)
    return [
        replace(label, weight=round(abs(2 * float(label.origin.get("probability", 1.0)) - 1), 4))
        if label.value["verdict"] == "prefer"
        else label
        for label in found
    ]


def _wait(store: Store, project: Project, asked: Collection[int], run: Run) -> None:
    """Until these items have the judgements that they should, or won't get them; Ctrl-C leaves all where it is."""
    run.say(f"waiting for people: 'heedful studio --database {store.place}'")
    done, said = 0, False
    with run.progress("label", len(asked)) as bar:
        while True:
            with store.read() as connection:
                now = awaited(connection, project, asked)
            for _ in range(len(asked) - len(now.waiting) - len(now.left) - done):
                bar.advance()
                done += 1
            if not now.waiting:
                break
            if now.had and not said:
                run.say(
                    f"{len(now.waiting)} items wait for another rater: everybody here has had them; "
                    "close the project to go on without them"
                )
            said = now.had
            time.sleep(EVERY)
    if now.left:
        why = "the project is closed" if now.closed else "a machine's label stands for them"
        run.say(f"{len(now.left)} of {len(asked)} items don't get all their judgements: {why}")


def _summary(training: Sequence[Ranking], heldout: Sequence[Ranking], rng: np.random.Generator) -> dict[str, object]:
    pairs = judged_pairs(heldout)
    return {
        "rankings": len(training),
        "comparisons": sum(len(ranking.pairs()) for ranking in training),
        "raters": sorted({ranking.rater for ranking in (*training, *heldout)}),
        "rater_kinds": sorted({ranking.rater_kind for ranking in (*training, *heldout)}),
        "heldout": with_raters(label_figures(pairs), pairs, rng) if heldout else {},
    }
