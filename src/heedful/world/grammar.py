"""The world's language: sentence patterns that can be written and read back.

Every sentence of the world is an instance of a `Pattern`. One definition both writes it (corpus, demonstrations,
ideal answers) and reads it (gold), so gold can parse any text strictly: a sentence that no pattern reads is garbage.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

NUMERIC = frozenset({"a", "b", "c", "n"})  # slots of these names hold whole numbers, all others words
UNKNOWN = "unknown"

_SLOT = re.compile(r"\{(\w+)\}")
_STEP = re.compile(r"(^|[.!?]\s+|\n\s*)([1-9])\.\s+")
_END = re.compile(r"[.!?]+(?:\s+|$)|\n+")
_DROPPED = re.compile(r"[,:;\"]")
_NUMBERED = re.compile(r"^step ([1-9]) (.*)$")


_CONTRACTED = {"don't": "do not", "isn't": "is not", "i'm": "i am", "it's": "it is", "cannot": "can't"}
_CONTRACTION = re.compile(r"\b(?:" + "|".join(_CONTRACTED) + r")\b")


def normalise(text: str) -> str:
    """Lower case, no commas or quotes, single spaces, no closing mark: how sentences and slot values are compared."""
    text = _CONTRACTION.sub(lambda match: _CONTRACTED[match[0]], text.lower())
    return " ".join(_DROPPED.sub(" ", text).split()).strip(".!? ")


def sentence(text: str) -> str:
    """Text that starts with a capital, as a writer puts it."""
    return text[:1].upper() + text[1:]


@dataclass(frozen=True, slots=True)
class Move:
    """What one sentence does: its kind, the slots that it names, and its number if it stands in a numbered list."""

    kind: str
    args: Mapping[str, str]
    text: str
    number: int = 0

    def says(self, **expected: str) -> bool:
        """Whether each named slot holds the expected value, whatever its case."""
        return all(self.args.get(name) == normalise(value) for name, value in expected.items())


@dataclass(frozen=True, slots=True)
class Pattern:
    """A sentence with slots in braces. `args` are said by the sentence as a whole (a topic, a class)."""

    kind: str
    template: str
    args: Mapping[str, str] = field(default_factory=dict)

    def write(self, **slots: str) -> str:
        return sentence(self.template.format(**slots))

    def regex(self) -> re.Pattern[str]:
        parts = _SLOT.split(normalise(self.template))
        groups: set[str] = set()
        pattern = ""
        for position, part in enumerate(parts):
            if position % 2 == 0:
                pattern += re.escape(part)
            elif part in groups:
                pattern += f"(?P={part})"
            else:
                groups.add(part)
                pattern += f"(?P<{part}>{'[0-9]+' if part in NUMERIC else r'[a-z][a-z0-9 -]*?'})"
        return re.compile(pattern + r"\Z")


class Grammar:
    """Reads text into moves. Fixed sentences are looked up; patterns with slots are tried, the most literal first."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self._fixed: dict[str, Pattern] = {}
        slotted: list[Pattern] = []
        for pattern in patterns:
            if "{" in pattern.template:
                slotted.append(pattern)
            else:
                self._fixed.setdefault(normalise(pattern.template), pattern)
        slotted.sort(key=lambda pattern: -len(_SLOT.sub("", pattern.template)))
        self._slotted = [(pattern, pattern.regex()) for pattern in slotted]
        self.read = lru_cache(maxsize=200_000)(self._read)

    def _read(self, text: str) -> Move:
        """One normalised sentence as a move."""
        numbered = _NUMBERED.match(text)
        number, body = (int(numbered[1]), numbered[2]) if numbered else (0, text)
        fixed = self._fixed.get(body)
        if fixed is not None:
            return Move(fixed.kind, fixed.args, body, number)
        for pattern, regex in self._slotted:
            match = regex.match(body)
            if match:
                return Move(pattern.kind, {**pattern.args, **match.groupdict()}, body, number)
        return Move(UNKNOWN, {}, body, number)

    def parse(self, text: str) -> list[Move]:
        """The sentences of a text, in order."""
        return [self.read(normalise(part)) for part in split_sentences(text)]


def split_sentences(text: str) -> list[str]:
    """Sentences end at `.`, `!`, `?` or a line's end; the number of a list item belongs to the sentence after it."""
    marked = _STEP.sub(r"\1step \2 ", text.strip())
    return [part for part in (piece.strip() for piece in _END.split(marked)) if normalise(part)]
