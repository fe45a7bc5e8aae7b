"""What a data file holds, what it serves, and every fault in it: `heedful validate FILE`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from heedful.data.convert import (
    to_completion,
    to_demonstration,
    to_document,
    to_labelled,
    to_prompt,
    to_ranking,
)
from heedful.data.faults import Fault
from heedful.data.formats import PREFERENCES, Format
from heedful.data.grades import to_rating, to_steps
from heedful.data.rows import Container, container_of, page_separator
from heedful.data.sources import converted
from heedful.data.tally import Checked, Tally
from heedful.errors import InputError
from heedful.records import Row
from heedful.run.atomic import atomic_text

LISTED = 100  # faults that a report spells out


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationReport:
    """Counts are of rows unless they say otherwise; lengths are characters; rates are shares of 1."""

    path: str
    container: str
    format: str  # "" where none was recognised
    serves: str
    rows: int
    sound: int
    faults: tuple[str, ...]  # the first LISTED
    fault_count: int
    prompts: int  # different ones
    duplicates: float  # rows that say what an earlier row says
    conflicts: float  # different pairs of answers that are judged both ways
    answer_median: float
    answer_longest: int
    longer_chosen: float  # decided pairs whose longer answer is the better one
    pairs: int  # decided pairs


def record_of(row: Row, kind: Format) -> Checked:
    """The record that a row of this format stands for. RowFault: it is unsound."""
    match kind:
        case Format.STEPWISE:
            return to_steps(row)
        case Format.RATING:
            return to_rating(row)
        case Format.TEXT:
            return to_document(row, kind)
        case Format.PROMPT | Format.CANDIDATES:
            return to_prompt(row, kind)
        case Format.UNPAIRED:
            return to_labelled(row, kind)
        case Format.COMPLETION:
            return to_completion(row, kind)
        case Format.MESSAGES | Format.SHAREGPT:
            page = to_document(row, kind)
            waits = not isinstance(page, str) and page[-1].role != "assistant"
            return to_prompt(row, kind) if waits else to_demonstration(row, kind)
        case _ if kind is Format.RANKING or kind in PREFERENCES:
            return to_ranking(row, kind)
    return to_demonstration(row, kind)


def _walk(path: Path) -> Iterator[tuple[Row, Format, Checked] | Fault]:
    return converted(path, lambda row, kind: (row, kind, record_of(row, kind)))


def validate(path: str | Path) -> ValidationReport:
    """Read a whole file and say what it holds. InputError: no such file, or of a kind that heedful doesn't read."""
    path = Path(path)
    container = container_of(path)
    tally = Tally()
    faults: list[str] = []
    count = 0
    for item in _walk(path):
        if isinstance(item, Fault):
            count += 1
            faults += [str(item)] if count <= LISTED else []
        else:
            _, found, record = item
            tally.formats.add(found)
            tally.add(record)
    rows = tally.sound + count
    if not rows:
        count, faults = 1, [f"{path}: holds no rows; check that the right file was written"]
    kind = next(iter(tally.formats), None)
    return ValidationReport(
        path=str(path),
        container=_container_words(path, container),
        format=kind.value if kind else "",
        serves=_serves(kind, tally) if kind else "",
        rows=rows,
        sound=tally.sound,
        faults=tuple(faults),
        fault_count=count,
        prompts=len(tally.prompts),
        duplicates=tally.repeated / max(1, tally.sound),
        conflicts=tally.conflicts,
        answer_median=median(tally.lengths) if tally.lengths else 0.0,
        answer_longest=max(tally.lengths, default=0),
        longer_chosen=tally.longer / max(1, tally.unequal),
        pairs=tally.pairs,
    )


def _container_words(path: Path, container: Container) -> str:
    words = str(container.value)
    if container is Container.TEXT:
        words += f", documents separated by {page_separator(path)}"
    return words + (", gzip" if path.name.endswith(".gz") else "")


def _serves(kind: Format, tally: Tally) -> str:
    """Which stages can read the file."""
    match kind:
        case Format.STEPWISE:
            return 'reward with loss.type = "process"; its prompts serve sample and ppo'
        case Format.RATING:
            return 'reward with loss.type = "regression"; its prompts serve sample and ppo'
        case Format.UNPAIRED:
            return 'dpo with the losses kto and bco; reward with loss.type = "outcome"; prompts for sample and ppo'
        case Format.TEXT:
            return "pretrain; as beginnings to be continued, sample and ppo"
        case Format.CANDIDATES:
            return "studio import, as answers to be judged; its prompts serve sample, ppo and evaluate"
        case Format.PROMPT:
            return "sample, ppo, evaluate"
        case _ if kind is Format.RANKING or kind in PREFERENCES:
            return "reward, dpo; its prompts serve sample and ppo"
        case Format.COMPLETION:
            return "label, sft; its prompts serve sample and ppo"
    if tally.open_ended:
        return f"sample, ppo; not sft, for {tally.open_ended:,} conversations end without an answer"
    return "sft, pretrain; its prompts serve sample and ppo"


def render(report: ValidationReport) -> str:
    """The report as plain text for a terminal."""
    about = report.format or "no known format"
    lines = [f"{report.path}: {report.container} · {about} · {report.rows:,} rows, {report.sound:,} sound"]
    if report.serves:
        lines.append(f"  serves     {report.serves}")
    if report.prompts:
        lines.append(f"  prompts    {report.prompts:,} different")
    if report.sound:
        lines.append(f"  repeated   {report.duplicates:.1%} of the sound rows say what an earlier one says")
    if report.pairs:
        lines.append(f"  conflicts  {report.conflicts:.1%} of the pairs are judged both ways")
        lines.append(f"  length     the longer answer is the better one in {report.longer_chosen:.1%} of the pairs")
    if report.answer_longest:
        median_, longest = report.answer_median, report.answer_longest
        lines.append(f"  texts      median {median_:,.0f} characters, longest {longest:,}")
    if report.faults:
        more = report.fault_count - len(report.faults)
        lines.append(f"  faults     {report.fault_count:,}" + (f", of which the first {LISTED}:" if more else ":"))
        lines += [f"    {fault}" for fault in report.faults]
    return "\n".join(lines)


def write_sound(path: str | Path, out: str | Path) -> int:
    """Write a file's sound rows, as they are, as JSONL; returns how many. A file that is there is kept."""
    if Path(out).exists():
        raise InputError(f"{out}: is there already; name a new file for the sound rows")
    sound = [item[0] for item in _walk(Path(path)) if not isinstance(item, Fault)]
    atomic_text(Path(out), "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in sound))
    return len(sound)
