"""Judgements from any file that holds them. A bad row is named, the good ones are in; reading again adds none twice."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from heedful.data.convert import to_completion, to_ranking
from heedful.data.dialogues import prompt_messages
from heedful.data.faults import Fault, RowFault, describe
from heedful.data.fields import list_of
from heedful.data.formats import PREFERENCES, Format
from heedful.data.json_rows import Located
from heedful.data.rows import read_rows
from heedful.data.sources import TELLING, converted
from heedful.errors import InputError
from heedful.feedback.exports.pairs import BESIDE
from heedful.feedback.foreign import Foreign, convert_foreign, recognise_foreign
from heedful.feedback.judgements import Judgement, from_ranking, raw_row
from heedful.records import Prompt, Row, prompt_id


def read_judgements(path: str | Path) -> Iterator[Judgement | Fault]:
    """Every judgement of a file in its order, with a fault in the place of each row that is unsound.

    InputError: there is no such file, or it holds no judgements at all.
    """
    path = Path(path)
    kind = _foreign_format(path)
    if kind is None:
        yield from converted(path, partial(_judgement, path))  # formats that training reads too
        return
    for item in _rows(path):
        if isinstance(item, Fault):
            yield item
            continue
        try:
            yield from list(convert_foreign(item.row, kind))  # a row is in whole, or not at all
        except RowFault as fault:
            yield fault.at(item.where)


def _rows(path: Path) -> Iterator[Located | Fault]:
    return _read_csv(path) if path.suffix.lower() == ".csv" else read_rows(path)


def _foreign_format(path: Path) -> Foreign | None:
    """What most of the first rows are, if it is one of the formats that only judgements come in."""
    first = [item.row for item in islice(_rows(path), TELLING) if isinstance(item, Located)]
    found = Counter(recognise_foreign(row) for row in first)
    kind = found.most_common(1)[0][0] if found else None
    if kind is None and path.suffix.lower() == ".csv":
        raise InputError(f"{path}: expected the columns prompt, response_a, response_b and winner (a, b or tie)")
    return kind


def _read_csv(path: Path) -> Iterator[Located | Fault]:
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder")
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            for row in reader:
                where = f"{path}:{reader.line_num}"
                if None in row or None in row.values():
                    yield Fault(where, "", "more or fewer values than columns", "one value a column", "quote commas")
                    continue
                yield Located(where, {name: value for name, value in row.items() if value != ""})
    except (UnicodeDecodeError, csv.Error) as error:
        yield Fault(str(path), "", f"text that is no CSV ({error})", "CSV in UTF-8", "convert the file")


def _judgement(path: Path, row: Row, kind: Format) -> Judgement:
    match kind:
        case Format.UNPAIRED:
            return _labelled(row, kind)
        case Format.STEPWISE:
            return _stepwise(row)
        case _ if kind is Format.RANKING or kind in PREFERENCES:
            judgement = from_ranking(to_ranking(row, kind))
            meta = dict(judgement.prompt.meta)
            beside = {name: meta.pop(name) for name in BESIDE if name in meta}  # what an earlier export wrote
            if not beside:
                return judgement
            return replace(judgement, prompt=replace(judgement.prompt, meta=meta), origin=beside)
    raise InputError(f"{path}: holds {kind.value}, expected judgements: rankings, preferences, labels or a raw log")


def _labelled(row: Row, kind: Format) -> Judgement:
    """One answer that is good or bad by itself, as KTO reads it."""
    field = "label" if row.get("label") is not None else "kto_tag"
    if not isinstance(row.get(field), bool):
        raise RowFault(field, describe(row.get(field)), "true or false", "write one of them")
    bare = {name: value for name, value in row.items() if name not in ("label", "kto_tag")}
    completion = to_completion(bare, kind)
    value = {"ratings": [{"label": int(row[field])}]}
    return Judgement(prompt=completion.prompt, completions=(completion.text,), value=value)


def _stepwise(row: Row) -> Judgement:
    """Steps with a label each, as process reward models read them."""
    messages = prompt_messages(row["prompt"], "prompt")
    steps, labels = list_of(row, "completions", str), row["labels"]
    if not isinstance(labels, list) or not all(isinstance(label, bool) for label in labels):
        raise RowFault("labels", describe(labels), "a list of true and false", "mend the list")
    if len(steps) != len(labels) or not steps:
        raise RowFault("labels", f"{len(labels)} labels", f"one for each of {len(steps)} steps", "mend the lists")
    value = {"steps": ["right" if label else "wrong" for label in labels]}
    prompt = Prompt(id=prompt_id(messages), messages=messages)
    return Judgement(prompt=prompt, completions=tuple(steps), value=value)


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
            for item in read_judgements(path):
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
        stream.truncate(stream.read().rfind(b"\n") + 1)


def _log_lines(log: Path) -> Iterator[Judgement]:
    if not log.stat().st_size:
        return
    for item in read_judgements(log):
        if isinstance(item, Fault):
            raise InputError(f"{item}; it is a raw log to be added to, so nothing was changed")
        yield item
