"""Rows of formats that only judgements come in: the raw log, Arena, OASST, NeMo-RL, HelpSteer, axolotl, plain A/B.

A converter takes a row and gives its judgements; RowFault says which field is unsound. Rankings and preferences in the
formats that training reads too are `heedful.data`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, cast, get_args

from heedful.data.dialogues import answer_to, messages_of, open_ended, prompt_messages, split_answer, words
from heedful.data.faults import RowFault, describe
from heedful.data.fields import choice, list_of, number, weight
from heedful.feedback.judgements import STATES, TIES, VERDICTS, Judgement
from heedful.records import Message, Messages, Prompt, RaterKind, Row, prompt_id


class Foreign(StrEnum):
    """A row's shape; the value is what users are told."""

    RAW = "heedful's raw log"
    ARENA = "Arena battles"
    OASST = "OASST trees"
    NEMO_RL = "NeMo-RL rankings"
    HELPSTEER = "HelpSteer preferences"
    AXOLOTL = "axolotl preferences"
    AXOLOTL_ARGILLA = "axolotl preferences in Argilla's columns"
    PROMPT_PAIRS = "axolotl prompt pairs"
    SIDES = "pairs with response_a and response_b"


SIGNS: tuple[tuple[Foreign, frozenset[str]], ...] = (
    (Foreign.RAW, frozenset({"prompt", "completions", "value", "rater"})),
    (Foreign.ARENA, frozenset({"conversation_a", "conversation_b", "winner"})),
    (Foreign.OASST, frozenset({"message_tree_id", "prompt"})),
    (Foreign.NEMO_RL, frozenset({"context", "completions"})),
    (Foreign.HELPSTEER, frozenset({"context", "response1", "response2", "overall_preference"})),
    (Foreign.AXOLOTL, frozenset({"messages", "chosen", "rejected"})),
    (Foreign.AXOLOTL_ARGILLA, frozenset({"instruction", "chosen_response", "rejected_response"})),
    (Foreign.PROMPT_PAIRS, frozenset({"system", "prompt", "chosen", "rejected"})),
    (Foreign.SIDES, frozenset({"prompt", "response_a", "response_b", "winner"})),
)


def recognise_foreign(row: Row) -> Foreign | None:
    """The row's format; None: it is none of these."""
    columns = {name for name, value in row.items() if value is not None}
    found = next((known for known, sign in SIGNS if sign <= columns), None)
    if found is Foreign.AXOLOTL and "prompt" in columns:  # UltraFeedback has all three of TRL's beside its messages
        return None
    return found


def convert_foreign(row: Row, kind: Foreign) -> Iterator[Judgement]:
    """The judgements of one row. RowFault: it is unsound."""
    need = dict(SIGNS)[kind]
    if missing := sorted(name for name in need if row.get(name) is None):
        raise RowFault(missing[0], "nothing", f"a value (the file's rows are {kind.value})", "add it or remove the row")
    if kind is Foreign.OASST:
        yield from _oasst(row)
        return
    yield CONVERTERS[kind](row)


def _prompt(row: Row, messages: Messages, name: object = None, **meta: object) -> Prompt:
    given = row.get("meta") or {}
    if not isinstance(given, Mapping):
        raise RowFault("meta", describe(given), "an object", "write {…} or leave it out")
    identity = prompt_id(messages) if name in (None, "") else str(name)
    return Prompt(id=identity, messages=messages, meta={**given, **{k: v for k, v in meta.items() if v}})


def _rater(row: Row) -> tuple[str, RaterKind]:
    return str(row.get("rater") or ""), cast(RaterKind, choice(row, "rater_kind", get_args(RaterKind), "human"))


def _decided(row: Row, prompt: Prompt, chosen: str, rejected: str) -> Judgement:
    if chosen.strip() == rejected.strip():
        raise RowFault("chosen", "the same text as the rejected one", "two different answers", "remove the row")
    rater, kind = _rater(row)
    value = {"verdict": "prefer", "preferred": 0}
    return Judgement(prompt=prompt, completions=(chosen, rejected), value=value, rater=rater, rater_kind=kind)


def _draws(row: Row, answers: int) -> tuple[dict[str, Any], ...]:
    """Each time that a judge was asked: what it said, and in which order it saw the answers."""
    found = []
    for draw in list_of(row, "draws", dict):
        shown = draw.get("shown")
        if not isinstance(shown, list) or sorted(map(str, shown)) != sorted(map(str, range(answers))):
            raise RowFault("draws", describe(shown), f"in 'shown' each place from 0 to {answers - 1} once", "mend it")
        found.append({"value": _value(draw.get("value"), answers), "shown": shown})
    return tuple(found)


def _raw(row: Row) -> Judgement:
    """All that heedful itself wrote."""
    messages = prompt_messages(row["prompt"], "prompt")
    completions = tuple(list_of(row, "completions", str))
    if not completions:
        raise RowFault("completions", "an empty list", "the answers judged", "remove the row")
    rater, kind = _rater(row)
    shown = tuple(list_of(row, "shown", int))
    if sorted(shown) != list(range(len(completions))) and shown:
        expected = f"each place from 0 to {len(completions) - 1} once, or none"
        raise RowFault("shown", f"{list(shown)}"[:60], expected, "mend the list or leave it out")
    origin = row.get("origin") or {}
    return Judgement(
        prompt=_prompt(row, messages, row.get("id")),
        completions=completions,
        value=_value(row["value"], len(completions)),
        rater=rater,
        rater_kind=kind,
        sources=_sources(row, len(completions)),
        shown=shown,
        margins=tuple(float(margin) for margin in list_of(row, "margins", float)),
        weight=weight(row),
        judgement=_whole(row, "judgement", 0),
        revision=_whole(row, "revision", 1),
        state=choice(row, "state", STATES, ""),
        item=_whole(row, "item", 0),
        part=str(row.get("part") or "main"),
        chosen_by=str(row.get("chosen_by") or "given"),
        seconds=number(row, "seconds", 0.0),
        late=bool(row.get("late")),
        at=number(row, "at", 0.0),
        expected=_value(row["expected"], len(completions)) if row.get("expected") else {},
        draws=_draws(row, len(completions)),
        origin=dict(origin) if isinstance(origin, Mapping) else {},
    )


def _sources(row: Row, answers: int) -> tuple[str, ...]:
    sources = tuple(list_of(row, "sources", str))
    if len(sources) not in (0, answers):
        raise RowFault("sources", f"{len(sources)} sources", f"one for each of {answers} answers, or none", "mend it")
    return sources


def _whole(row: Row, field: str, default: int) -> int:
    value = row.get(field)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise RowFault(field, describe(value), "a whole number", "write one or leave it out")
    return value


def _value(value: Any, answers: int) -> dict[str, Any]:
    """What was said, checked as far as statistics and exports read it."""
    if not isinstance(value, dict):
        raise RowFault("value", describe(value), "an object with what was said", "write {'verdict': …} or {'ranks': …}")
    verdict = choice(value, "verdict", VERDICTS, "none")
    if verdict in ("prefer", *TIES) and answers != 2:
        raise RowFault("value.verdict", f"{verdict} among {answers} answers", "ranks", "write value.ranks instead")
    if verdict == "prefer" and value.get("preferred") not in (0, 1):
        raise RowFault("value.preferred", describe(value.get("preferred")), "0 or 1", "write the preferred place")
    ranks = value.get("ranks", [])
    sound = isinstance(ranks, list) and all(
        rank is None or (isinstance(rank, int) and not isinstance(rank, bool) and rank >= 0) for rank in ranks
    )
    if not sound or len(ranks) not in (0, answers):
        expected = f"{answers} whole numbers from 0, or null for an answer left unranked"
        raise RowFault("value.ranks", f"{ranks}"[:60], expected, "write a rank for each answer")
    return value


def _arena(row: Row) -> Judgement:
    """One battle (FastChat's clean_battle_data.py)."""
    prompt, first = split_answer(messages_of(row["conversation_a"], "conversation_a"), "conversation_a")
    other, second = split_answer(messages_of(row["conversation_b"], "conversation_b"), "conversation_b")
    if prompt != other:
        found = "a conversation that differs from 'conversation_a' before the last answer"
        raise RowFault("conversation_b", found, "two answers to one prompt", "keep battles of one turn")
    verdicts: dict[str, dict[str, Any]] = {
        "model_a": {"verdict": "prefer", "preferred": 0},
        "model_b": {"verdict": "prefer", "preferred": 1},
        "tie": {"verdict": "tie"},
        "tie (bothbad)": {"verdict": "both_bad"},
    }
    if row["winner"] not in verdicts:
        raise RowFault("winner", describe(row["winner"]), f"one of {', '.join(verdicts)}", "write one of them")
    return Judgement(
        prompt=_prompt(row, prompt, row.get("question_id"), language=row.get("language")),
        completions=(first, second),
        value=verdicts[row["winner"]],
        rater=str(row.get("judge") or ""),
        sources=(str(row.get("model_a") or ""), str(row.get("model_b") or "")),
        shown=(0, 1),  # side A lay left
        at=number(row, "tstamp", 0.0),
    )


def _nemo(row: Row) -> Judgement:
    """NeMo-RL's preference rows: lower ranks are better."""
    messages = prompt_messages(row["context"], "context")
    given = row["completions"]
    if not isinstance(given, list) or len(given) < 2 or not all(isinstance(item, dict) for item in given):
        expected = "a list of two objects or more with rank and completion"
        raise RowFault("completions", describe(given), expected, "remove the row")
    texts = tuple(
        answer_to(messages, item.get("completion"), f"completions[{i}].completion") for i, item in enumerate(given)
    )
    ranks = [_rank(item.get("rank"), f"completions[{i}].rank") for i, item in enumerate(given)]
    return _ranked(row, _prompt(row, messages, row.get("id")), texts, ranks)


def _rank(value: Any, field: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise RowFault(field, describe(value), "a whole number, 0 for the best", "write a rank")
    return value


def _ranked(row: Row, prompt: Prompt, texts: tuple[str, ...], ranks: list[int], **more: Any) -> Judgement:
    """Two answers as a verdict, more as ranks from 0."""
    value: dict[str, Any] = {"ranks": [rank - min(ranks) for rank in ranks]}
    if len(texts) == 2:
        tie = ranks[0] == ranks[1]
        value = {"verdict": "tie"} if tie else {"verdict": "prefer", "preferred": int(ranks[0] > ranks[1])}
    rater, kind = _rater(row)
    return Judgement(prompt=prompt, completions=texts, value=value, rater=rater, rater_kind=kind, **more)


def _helpsteer(row: Row) -> Judgement:
    """HelpSteer3: −3 the first is much better, +3 the second is, 0 the same."""
    messages = prompt_messages(row["context"], "context")
    first = answer_to(messages, row["response1"], "response1")
    second = answer_to(messages, row["response2"], "response2")
    by = number(row, "overall_preference", 0.0)
    if not -3 <= by <= 3 or by != int(by):
        raise RowFault("overall_preference", describe(by), "a whole number from −3 to 3", "write one")
    rater, kind = _rater(row)
    strength = abs(int(by))
    prefer: dict[str, Any] = {"verdict": "prefer", "preferred": int(by > 0), "strength": strength}
    return Judgement(
        prompt=_prompt(row, messages, row.get("id"), language=row.get("language"), domain=row.get("domain")),
        completions=(first, second),
        value=prefer if strength else {"verdict": "tie"},
        rater=rater,
        rater_kind=kind,
    )


def _axolotl(row: Row) -> Judgement:
    messages = open_ended(messages_of(row["messages"], "messages"), "messages")
    chosen, rejected = (answer_to(messages, row[side], side) for side in ("chosen", "rejected"))
    return _decided(row, _prompt(row, messages, row.get("id")), chosen, rejected)


def _argilla(row: Row) -> Judgement:
    messages = (Message("user", words(row["instruction"], "instruction")),)
    chosen, rejected = (words(row[f"{side}_response"], f"{side}_response") for side in ("chosen", "rejected"))
    return _decided(row, _prompt(row, messages, row.get("id")), chosen, rejected)


def _prompt_pairs(row: Row) -> Judgement:
    messages = prompt_messages(row["prompt"], "prompt")
    if not isinstance(row["system"], str):
        raise RowFault("system", describe(row["system"]), "a text, which may be empty", "write one")
    if row["system"].strip():
        messages = (Message("system", row["system"]), *messages)
    chosen, rejected = (answer_to(messages, row[side], side) for side in ("chosen", "rejected"))
    return _decided(row, _prompt(row, messages, row.get("id")), chosen, rejected)


def _sides(row: Row) -> Judgement:
    """prompt, response_a, response_b, winner: a, b or tie; as JSONL or CSV."""
    messages = prompt_messages(row["prompt"], "prompt")
    texts = tuple(answer_to(messages, row[side], side) for side in ("response_a", "response_b"))
    winner = choice(row, "winner", ("a", "b", "tie"), "")
    if not winner:
        raise RowFault("winner", describe(row["winner"]), "one of a, b, tie", "write one of them")
    ranks = {"a": [0, 1], "b": [1, 0], "tie": [0, 0]}[winner]
    return _ranked(row, _prompt(row, messages, row.get("id")), texts, ranks)


CONVERTERS: dict[Foreign, Callable[[Row], Judgement]] = {
    Foreign.RAW: _raw,
    Foreign.ARENA: _arena,
    Foreign.NEMO_RL: _nemo,
    Foreign.HELPSTEER: _helpsteer,
    Foreign.AXOLOTL: _axolotl,
    Foreign.AXOLOTL_ARGILLA: _argilla,
    Foreign.PROMPT_PAIRS: _prompt_pairs,
    Foreign.SIDES: _sides,
}


def _oasst(row: Row) -> Iterator[Judgement]:
    """Every message of a tree whose replies were ranked, with the turns that lead to it."""
    waiting: list[tuple[Messages, Any, str]] = [((), row["prompt"], "prompt")]
    while waiting:
        before, node, field = waiting.pop()
        if not isinstance(node, Mapping) or node.get("role") not in ("prompter", "assistant"):
            raise RowFault(field, describe(node), "a message with the role prompter or assistant", "remove the tree")
        role = "user" if node["role"] == "prompter" else "assistant"
        messages = (*before, Message(role, words(node.get("text"), f"{field}.text")))
        replies = node.get("replies") or []
        if not isinstance(replies, list):
            raise RowFault(f"{field}.replies", describe(replies), "a list of messages", "remove the tree")
        children = [(messages, reply, f"{field}.replies[{i}]") for i, reply in enumerate(replies)]
        waiting += reversed(children)
        ranked = [
            (reply, f"{where}")
            for _, reply, where in children
            if isinstance(reply, Mapping) and reply.get("rank") is not None and role == "user"
        ]
        if len(ranked) > 1:
            texts = tuple(words(reply.get("text"), f"{where}.text") for reply, where in ranked)
            ranks = [_rank(reply["rank"], f"{where}.rank") for reply, where in ranked]
            names = tuple(str(reply.get("model_name") or "") for reply, _ in ranked)
            prompt = _prompt(row, messages, None, lang=node.get("lang"))
            yield _ranked(row, prompt, texts, ranks, sources=names if any(names) else ())
