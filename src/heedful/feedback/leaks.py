"""Answers that tell who wrote them: "I am Claude", "As ChatGPT, …", or the name of the item's own model.

A rater who reads it is no longer blind; Chatbot Arena leaves such votes out of its rankings. Here an answer is flagged,
and neither hidden nor changed: whoever exports says whether its labels count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from sqlalchemy import Connection, func, select

from heedful.feedback.judgements import Judgement
from heedful.feedback.tables import completion, item, prompt

NAMED = "an answer names who wrote it"  # why a label was left out
KEPT = 80  # characters of a leak that are stored
LISTED = 50
MODELS = (
    r"chat ?gpt|gpt[- ]?\d[\w.]*|instructgpt|claude|gemini|bard|palm 2|llama|alpaca|vicuna|koala|guanaco|wizardlm|"
    r"mi[sx]tral|qwen|tongyi qianwen|deepseek|grok|phi-\d|gemma|yi-\d+b|chatglm|glm-\d|ernie bot|kimi|minimax|"
    r"command[- ]r\b|nemotron|granite|olmo|tulu|falcon|dolly|oasst|open ?assistant|stablelm|zephyr|copilot"
)
MAKERS = (
    r"openai|open ai|anthropic|google|deepmind|meta(?: ai)?|mistral(?: ai)?|deepseek|alibaba(?: cloud)?|microsoft|xai|"
    r"x\.ai|cohere|nvidia|baidu|zhipu(?: ai)?|moonshot(?: ai)?|tencent|ibm|ai2|inflection|stability ai|hugging ?face|"
    r"laion|lmsys|the large model systems organization|tii|databricks"
)
_ADDED = r"(?:a |an |the |your |just |only |here as |actually |known as |called )*"
_AS = r"(?<!\w )as"  # that begins a clause: tools such as ChatGPT are spoken of, and so is Go as a language of Google
_SELF = rf"(?:i am|i['’]m|my name is|call me|this is|{_AS}|it['’]s me,?|you (?:can|may) call me) {_ADDED}"
_NAMED = re.compile(rf"\b{_SELF}(?P<name>{MODELS})(?!\w)|\bas {_ADDED}(?:{MODELS}),? (?:i|my)\b", re.IGNORECASE)
_MADE = re.compile(
    rf"\b(?:i am|i['’]m|i was|i have been|i['’]ve been|{_AS}"
    r"(?=[^.!?\n]{0,60}\b(?:ai|assistant|model|(?:chat)?bot)\b))\b"
    r"[^.!?\n]{0,80}?"
    rf"\b(?:trained|created|developed|made|built|designed)(?:,? and \w+)? (?:by|at) (?P<name>{MAKERS})(?!\w)",
    re.IGNORECASE,
)
_ENDS = re.compile(r"[\w.+-]+$")


def _any_name() -> re.Pattern[str]:
    """Any name, in small letters and behind a space, as it stands in both patterns above.

    Names share a branch by their first letter, so that a word which begins like none is quick to pass.
    """
    by_letter = groupby(sorted((*MODELS.split("|"), *MAKERS.split("|"))), key=lambda name: name[0])
    return re.compile(
        " (?:" + "|".join(f"{letter}(?:{'|'.join(name[1:] for name in names)})" for letter, names in by_letter) + ")"
    )


ANY_NAME = _any_name()


def leak_of(text: str, source: str = "") -> str:
    """The words by which an answer tells who wrote it; empty: it doesn't.

    source: who did. A source with a digit in its name ("llama-2-7b") is a leak wherever it stands, one that could be
    any word ("first") only as a name that the answer gives itself.
    """
    low = text.lower()
    known = (_NAMED, _MADE) if ANY_NAME.search(low) else ()  # most hold none, which is quick to see
    name = _name_of(source)
    own = _of_name(name) if name and name.lower() in low else ()
    patterns: tuple[re.Pattern[str], ...] = (*known, *own)
    for pattern in patterns:
        if found := pattern.search(text):
            return found[0][:KEPT]
    return ""


@lru_cache(maxsize=1024)
def _name_of(source: str) -> str:
    """The name that a source goes by: the last part of a path, without a run's number before it; empty: it has none."""
    found = _ENDS.search(source.strip().rstrip("/"))
    name = re.sub(r"^\d\d-", "", found[0]) if found else ""
    return name if len(name) > 2 and re.search(r"[^\W\d_]", name) else ""


@lru_cache(maxsize=1024)
def _of_name(name: str) -> tuple[re.Pattern[str], ...]:
    own = re.escape(name)
    if re.search(r"\d", name):
        return (re.compile(rf"(?<![\w/]){own}(?!\w)", re.IGNORECASE),)
    return (re.compile(rf"\b(?:my name is|call me|i am|i['’]m|as) {own}(?=\s*[,.!:;]|\s+and\b|$)", re.IGNORECASE),)


def leaking(judgement: Judgement) -> bool:
    """Whether one of the answers tells who wrote it."""
    sources = judgement.sources or ("",) * len(judgement.completions)
    return any(leak_of(text, source) for text, source in zip(judgement.completions, sources, strict=True))


@dataclass(frozen=True, slots=True)
class Leak:
    """An answer that names its writer: of which prompt and source, by which words, and in which items it stands."""

    prompt: str
    source: str
    said: str
    items: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Leaks:
    """How many answers of how many name their writer, and the first of them."""

    leaking: int
    answers: int
    first: tuple[Leak, ...]


def leaks(connection: Connection, project_id: int) -> Leaks:
    """What was found when answers came in."""
    mine = select(func.count()).select_from(completion).join(prompt).where(prompt.c.project_id == project_id)
    leaking = completion.c.leak != ""
    query = (
        select(completion.c.id, completion.c.prompt_id, completion.c.source, completion.c.leak, prompt.c.name)
        .join(prompt)
        .where(prompt.c.project_id == project_id, leaking)
        .order_by(completion.c.id)
        .limit(LISTED)
    )
    rows = connection.execute(query).all()
    where = item.c.prompt_id.in_({row.prompt_id for row in rows})
    items = connection.execute(select(item.c.id, item.c.completions).where(where)).all()
    first = tuple(
        Leak(row.name, row.source, row.leak, tuple(one.id for one in items if row.id in one.completions))
        for row in rows
    )
    counts = connection.execute(mine.where(leaking)).scalar_one(), connection.execute(mine).scalar_one()
    return Leaks(*counts, first)
