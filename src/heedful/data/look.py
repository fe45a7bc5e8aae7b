"""A first look at a data file, for a dry run: how many rows it holds, and how long its texts are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

from heedful.data.faults import Fault
from heedful.data.rows import count_rows
from heedful.data.sources import converted
from heedful.data.tally import Checked
from heedful.data.validate import record_of
from heedful.records import Completion, Message, Prompt, Ranking, StepLabels, prompt_id

LOOKED_AT = 200  # sound rows that speak for their file
BYTES_A_TOKEN = 4.0  # of English, with a vocabulary of usual size


@dataclass(frozen=True, slots=True)
class Look:
    """Of one file. Lengths are tokens, about, and means over rows."""

    rows: float
    prompt: float  # 0 where rows are whole documents
    answer: float
    answers: float = 1.0  # in a row
    sets: float = 1.0  # share of rows that ask about other answers than an earlier row: raters judge the same ones
    families: bool = False  # whether prompts say of which family they are, as the built-in world's do

    @property
    def tokens(self) -> float:
        """What training on a row reads."""
        return self.answers * (self.prompt + self.answer)


def look(path: Path, otherwise: Look) -> Look:
    """What the first sound rows say of a file. `otherwise` holds for what they don't say: prompts know no answers."""
    rows = float(count_rows(path))
    records = [item for item in islice(converted(path, record_of), LOOKED_AT) if not isinstance(item, Fault)]
    if not records:
        return replace(otherwise, rows=rows)
    read = [_read(record) for record in records]
    answers = [text for _, texts in read for text in texts]
    judged = [(prompt_id(one.prompt.messages), *sorted(one.completions)) for one in records if isinstance(one, Ranking)]
    asked = [prompt for prompt, _ in read if prompt]
    return Look(
        rows=rows,
        prompt=_tokens(chain.from_iterable(p.messages for p in asked)) / len(records),
        answer=_tokens(answers) / len(answers) if answers else otherwise.answer,
        answers=len(answers) / len(records) if answers else otherwise.answers,
        sets=len(set(judged)) / len(judged) if judged else 1.0,
        families=bool(asked) and all("family" in prompt.meta for prompt in asked),
    )


def _read(record: Checked) -> tuple[Prompt | None, Sequence[str]]:
    """Its prompt, and the texts that are answers to it; a document is an answer to nothing."""
    match record:
        case str():
            return None, (record,)
        case tuple():
            return None, ("".join(message.content for message in record),)
        case Prompt():
            return record, ()
        case Ranking():
            return record.prompt, record.completions
        case StepLabels():
            return record.prompt, ("".join(record.steps),)
        case Completion():
            return record.prompt, (record.text,)
    return record.prompt, (record.completion,)


def _tokens(texts: Iterable[str | Message]) -> float:
    parts = (text.content if isinstance(text, Message) else text for text in texts)
    return sum(len(part.encode(errors="replace")) for part in parts) / BYTES_A_TOKEN
