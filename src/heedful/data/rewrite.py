"""Judgements in the form that a loss wants: `heedful convert FILE NEW --to …`. A new file; the old one stays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from heedful.data.labels import split
from heedful.data.sources import read_judgements
from heedful.data.wanted import rankings_of
from heedful.errors import InputError
from heedful.records import Comparison, Labelled, Ranking, to_row
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
