"""Judgements from any file that holds them. A bad row is named, the good ones are in; reading again adds none twice."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from heedful.data.convert import to_labelled, to_ranking
from heedful.data.faults import Fault, RowFault, describe
from heedful.data.formats import PREFERENCES, Format, recognise
from heedful.data.grades import to_steps
from heedful.data.rows import read_rows
from heedful.data.sources import located
from heedful.errors import InputError
from heedful.feedback.exports.pairs import BESIDE
from heedful.feedback.foreign import Foreign, convert_foreign, recognise_foreign
from heedful.feedback.judgements import Judgement, from_ranking, raw_row
from heedful.records import Row

Kind = Format | Foreign
JUDGED: tuple[Kind, ...] = (*Foreign, Format.RANKING, *PREFERENCES, Format.UNPAIRED, Format.STEPWISE)


def read_judgements(path: str | Path, *, every: bool = False) -> Iterator[Judgement | Fault]:
    """The judgements of a file in its order, with a fault in the place of each row that is unsound.

    every: of a raw log also what stands no more, and what was skipped or reported.
    InputError: there is no such file, or it holds no judgements at all.
    """
    path = Path(path)
    for item in rows_of_any_kind(path):
        if isinstance(item, Fault):
            yield item
            continue
        where, row, kind = item
        if kind not in JUDGED:
            raise InputError(
                f"{path}: holds {kind.value}, expected judgements: rankings, preferences, labels, a raw log; or "
                "prompt, response_a, response_b and winner (a, b or tie)"
            )
        try:
            yield from (one for one in judgements_of(row, kind) if every or not one.state)
        except RowFault as fault:
            yield fault.at(where)


def rows_of_any_kind(path: Path) -> Iterator[tuple[str, Row, Kind] | Fault]:
    """Every row of a file with its place and the file's format, be it training's or a foreign one."""
    return located(read_rows(path), lambda row: recognise_foreign(row) or recognise(row))


def judgements_of(row: Row, kind: Kind) -> list[Judgement]:
    """What a row of a format in JUDGED says: all of it or, as a RowFault, nothing."""
    return list(convert_foreign(row, kind)) if isinstance(kind, Foreign) else [_judgement(row, kind)]


def _judgement(row: Row, kind: Format) -> Judgement:
    match kind:
        case Format.UNPAIRED:
            return _labelled(row, kind)
        case Format.STEPWISE:
            return _stepwise(row)
    judgement = from_ranking(to_ranking(row, kind))
    meta = dict(judgement.prompt.meta)
    beside = {name: meta.pop(name) for name in BESIDE if name in meta}  # what an earlier export wrote
    if not beside:
        return judgement
    return replace(judgement, prompt=replace(judgement.prompt, meta=meta), origin=beside)


def _labelled(row: Row, kind: Format) -> Judgement:
    """One answer that is good or bad by itself, as KTO reads it."""
    one = to_labelled(row, kind)
    return Judgement(
        prompt=one.prompt,
        completions=(one.completion,),
        value={"ratings": [{"label": int(one.label)}]},
        rater=one.rater,
        rater_kind=one.rater_kind,
        weight=one.weight,
    )


def _stepwise(row: Row) -> Judgement:
    """Steps with a label each, as process reward models read them."""
    one = to_steps(row)
    if chances := [label for label in one.labels if label not in (0.0, 1.0)]:
        raise RowFault("labels", describe(chances[0]), "true or false for every step", "say which steps are right")
    value = {"steps": ["right" if label else "wrong" for label in one.labels]}
    return Judgement(prompt=one.prompt, completions=one.steps, value=value, rater=one.rater, rater_kind=one.rater_kind)


@dataclass(frozen=True, slots=True)
class Gathered:
    """What came of reading files: how many are new, were there before, and are unsound."""

    new: int
    known: int
    faults: int
    first_faults: tuple[str, ...]


def gather(paths: Iterable[str | Path], log: str | Path, listed: int = 100) -> Gathered:
    """Add the judgements of files to a raw log, line by line; those that it holds already are not added again.

    A log whose writer was killed may end in half a line, which is taken away first. So running again, over the same
    files mended or after a stop, goes on where it was.
    """
    log = Path(log)
    held: Counter[str] = Counter()
    if log.exists():
        _drop_half_line(log)
        held.update(item.key for item in _log_lines(log))
    new = known = count = 0
    faults: list[str] = []
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as out:
        for path in paths:
            here: Counter[str] = Counter()  # two people whom a file doesn't name may well say the same
            for item in read_judgements(path, every=True):
                if isinstance(item, Fault):
                    count += 1
                    faults += [str(item)] if count <= listed else []
                    continue
                here[item.key] += 1
                if here[item.key] <= held[item.key]:
                    known += 1
                    continue
                held[item.key] += 1
                new += 1
                out.write(json.dumps(raw_row(item), ensure_ascii=False) + "\n")
        out.flush()
        os.fsync(out.fileno())
    return Gathered(new, known, count, tuple(faults))


def _drop_half_line(log: Path) -> None:
    with log.open("r+b") as stream:
        size = stream.seek(0, os.SEEK_END)
        if not size:
            return
        stream.seek(-1, os.SEEK_END)
        if stream.read(1) == b"\n":
            return
        stream.seek(0)
        held = stream.read()
        whole = held.rfind(b"\n") + 1
        if not held.startswith(b"{", whole):
            raise InputError(f"{log}: ends in what is no line of a raw log, so nothing was added; name another file")
        stream.truncate(whole)


def _log_lines(log: Path) -> Iterator[Judgement]:
    if not log.stat().st_size:
        return
    for item in read_judgements(log, every=True):
        if isinstance(item, Fault):
            raise InputError(f"{item}; it is a raw log to be added to, so nothing was changed")
        yield item
