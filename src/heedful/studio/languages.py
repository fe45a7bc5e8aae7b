"""What raters read, in their language: one file of sentences a language, shipped in `words/` or given by the owner."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from heedful.errors import InputError, text_of
from heedful.studio.render import direction

Words = str | Mapping[str, str]  # a sentence; where one counts, a form for each category of Unicode's plural rules

SHIPPED = Path(__file__).parent / "words"
FIRST = "en"  # the language that every sentence is written in first, and that stands where a file lacks one
OWN_NAME = "language"  # the key of what a language is called in itself
TAG = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?")  # as browsers write them: de, pt-BR, zh-Hant
PLACEHOLDER = re.compile(r"\{([a-z]+)\}")
CATEGORIES = ("zero", "one", "two", "few", "many", "other")
COOKIE = "heedful_language"  # a reader's choice, kept in the reader's browser


@dataclass(frozen=True, slots=True)
class Language:
    """The sentences of one language, whole: `missing` of them are English, since its file lacks them."""

    tag: str
    words: Mapping[str, Words]
    missing: int = 0

    @property
    def direction(self) -> str:
        return direction("", self.tag)

    @property
    def text(self) -> str:
        """All of them as the page hands them to its scripts."""
        return json.dumps(dict(self.words), ensure_ascii=False)

    @property
    def name(self) -> str:
        return str(self.words[OWN_NAME])

    def say(self, key: str, **values: object) -> str:
        """A sentence that counts nothing; those that count are the browser's, which knows how each language counts."""
        return PLACEHOLDER.sub(lambda found: str(values[found[1]]), str(self.words[key]))


Languages = Mapping[str, Language]


def read_languages(folder: Path | None = None) -> Languages:
    """Tag -> language: those shipped, and those of an owner's folder, in which a file of a tag that is shipped changes
    single sentences of it.

    InputError names file, key and what was expected: no JSON, a key that nothing shows, placeholders unlike English.
    """
    first = _read(SHIPPED / f"{FIRST}.json")
    found: dict[str, Language] = {FIRST: Language(FIRST, first)}
    for path in [*_files(SHIPPED), *(_files(folder) if folder else [])]:
        own = _checked(path, first)
        tag = path.stem
        under = found[tag].words if tag in found else {}
        if OWN_NAME not in own and OWN_NAME not in under:
            raise InputError(f"{path}: say under '{OWN_NAME}' what the language is called in itself, as Deutsch")
        words = {**under, **own}
        found[tag] = Language(tag, {**first, **words}, len(first.keys() - words.keys()))
    return found


@cache
def shipped() -> Languages:
    """The languages that come with heedful."""
    return read_languages()


def reader_language(languages: Languages, chosen: str, accepted: str) -> Language:
    """The reader's own choice, else the first of the browser's (`Accept-Language`) that is there, else English."""
    if chosen in languages:
        return languages[chosen]
    for wanted in _ranges(accepted):
        parts = wanted.split("-")
        for length in range(len(parts), 0, -1):  # de-AT, then de; and pt is answered by pt-BR
            part = "-".join(parts[:length])
            near = [tag for tag in languages if f"{tag.lower()}-".startswith(f"{part}-")]
            if near:
                return languages[min(near, key=len)]
    return languages[FIRST]


def _ranges(accepted: str) -> list[str]:
    """`da, en-gb;q=0.8, en;q=0.7` as tags in lower case, the most wanted first."""
    found: list[tuple[float, str]] = []
    for one in accepted[:500].lower().split(","):
        tag, _, weight = (part.strip() for part in one.partition(";"))
        worth = re.fullmatch(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", weight)
        quality = float(worth[1]) if worth else 1.0
        if tag and tag != "*" and quality > 0:
            found.append((quality, tag))
    return [tag for _, tag in sorted(found, key=lambda one: -one[0])]


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"--words {folder}: there is no such folder")
    files = sorted(folder.glob("*.json"))
    if not files:
        raise InputError(f"--words {folder}: holds no file of a language, such as de.json")
    for path in files:
        if not TAG.fullmatch(path.stem):
            raise InputError(f"{path}: name the file after its language's tag, as de.json, pt-BR.json or zh-Hant.json")
    return files


def _read(path: Path) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise InputError(f"{path}: '{twice}' stands there twice; leave one of them out")
        return dict(pairs)

    try:
        found = json.loads(text_of(path), object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: is no JSON ({error.msg})") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: write an object, from keys to sentences, as {SHIPPED.name}/{FIRST}.json has it")
    return found


def _checked(path: Path, first: Mapping[str, Words]) -> Mapping[str, Words]:
    """A file's sentences, each fit to stand where English stands."""
    found = _read(path)
    for key, said in found.items():
        if key not in first:
            near = get_close_matches(key, first, n=1)
            mend = f"did you mean '{near[0]}'?" if near else "leave it out"
            raise InputError(f"{path}: nothing shows a sentence '{key}'; {mend}")
        if fault := _fault(said, first[key]):
            raise InputError(f"{path}, '{key}': {fault}")
    return found


def _fault(said: Any, english: Words) -> str:
    """What is wrong with a sentence, in the place of an English one; empty: nothing."""
    if isinstance(english, str):
        if not isinstance(said, str):
            return f"expected a sentence in quotes, found {json.dumps(said):.60}"
        return _sentence_fault(said, names := _names(english), names)
    if not isinstance(said, dict) or "other" not in said:
        return f'expected a form for each count, as {{"one": "…", "other": "…"}}, found {json.dumps(said):.60}'
    if odd := sorted(said.keys() - set(CATEGORIES)):
        return f"there is no count '{odd[0]}'; known: {', '.join(CATEGORIES)}"
    names = _names(english["other"])
    faults = (
        _sentence_fault(form, names, names if count == "other" else names - {"n"}) if isinstance(form, str)
        else f"expected a sentence in quotes for '{count}'"
        for count, form in said.items()
    )  # fmt: skip
    return next((fault for fault in faults if fault), "")


def _sentence_fault(said: str, may: frozenset[str], must: frozenset[str]) -> str:
    if not said.strip():
        return "the sentence is empty; leave the key out, and English stands there"
    names = _names(said)
    if lost := sorted(must - names):
        return f"the placeholder {{{lost[0]}}} is missing"
    if odd := sorted(names - may):
        known = ", ".join(f"{{{name}}}" for name in sorted(may)) or "none"
        return f"there is no placeholder {{{odd[0]}}} here; known: {known}"
    if "{" in (rest := PLACEHOLDER.sub("", said)) or "}" in rest:
        return "a curly bracket stands there that holds no placeholder"
    return ""


def _names(sentence: str) -> frozenset[str]:
    return frozenset(PLACEHOLDER.findall(sentence))
