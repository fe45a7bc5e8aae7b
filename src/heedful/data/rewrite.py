"""Judgements in the form that a loss wants: `heedful convert FILE NEW --to …`. A new file; the old one stays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from heedful.data.labels import split
from heedful.data.sources import read_judgements
from heedful.errors import InputError
from heedful.records import Comparison, Labelled, Messages, Prompt, Ranking, to_row
from heedful.run.atomic import atomic_text

Form = Literal["rankings", "comparisons", "labels"]


def rewrite(path: str | Path, out: str | Path, form: Form) -> str:
    """Write a file's judgements in another form as JSONL; returns a sentence that counts what came of them.

    Labels become rankings where a prompt has wanted and unwanted answers, and rankings become labels by what each
    answer won and lost. InputError: nothing can be converted, or the new file is there already.
    """
    if Path(out).exists():
        raise InputError(f"{out}: is there already; name a new file")
    judgements = read_judgements([path])
    labels = [item for item in judgements if isinstance(item, Labelled)]
    rankings = [item for item in judgements if isinstance(item, Ranking)]
    notes = ""
    if form == "labels":
        records: Sequence[Labelled | Ranking | Comparison] = list(split(judgements))
    else:
        paired, lone, unclear = rankings_of(labels)
        notes += f"; {lone} prompts left out, whose answers are all wanted or all unwanted" if lone else ""
        notes += f"; {unclear} answers left out, which are labelled both ways" if unclear else ""
        rankings = [*rankings, *paired]
        records = rankings if form == "rankings" else [pair for item in rankings for pair in item.comparisons()]
    if not records:
        why = "every ranking is a tie" if form == "labels" else "no prompt has both a wanted and an unwanted answer"
        raise InputError(f"{path}: gives no {form}: {why}")
    atomic_text(Path(out), "".join(json.dumps(to_row(record), ensure_ascii=False) + "\n" for record in records))
    return f"{len(judgements):,} judgements became {len(records):,} {form} in {out}{notes}"


def rankings_of(labels: Sequence[Labelled]) -> tuple[list[Ranking], int, int]:
    """The labelled answers to each prompt as one ranking, wanted before unwanted; the prompts that give none, counted;
    and the answers labelled both ways, counted, which are left out of their ranking.

    Answers with the same label are ties. A ranking weighs what its labels weigh on average.
    """
    prompts: dict[Messages, Prompt] = {}
    by_text: dict[Messages, dict[str, list[Labelled]]] = {}
    for label in labels:
        asked = label.prompt.messages
        prompts.setdefault(asked, label.prompt)
        by_text.setdefault(asked, {}).setdefault(label.completion, []).append(label)
    found, unclear = [], 0
    for asked, texts in by_text.items():
        clear = {text: given for text, given in texts.items() if len({label.label for label in given}) == 1}
        unclear += len(texts) - len(clear)
        ranks = tuple(0 if given[0].label else 1 for given in clear.values())
        if len(set(ranks)) < 2:
            continue
        given = [label for of_text in clear.values() for label in of_text]
        raters = {label.rater for label in given}
        ranking = Ranking(
            prompt=prompts[asked],
            completions=tuple(clear),
            ranks=ranks,
            rater=raters.pop() if len(raters) == 1 else "several",
            rater_kind=given[0].rater_kind,
            weight=sum(label.weight for label in given) / len(given),
        )
        found.append(ranking)
    return found, len(by_text) - len(found), unclear
