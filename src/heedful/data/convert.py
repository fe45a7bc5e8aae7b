"""One row of any recognised format as a record. Each function raises RowFault when the row is unsound."""

from __future__ import annotations

from itertools import combinations
from typing import cast, get_args

from heedful.data.dialogues import answer_to, messages_of, open_ended, prompt_messages, split_answer, words
from heedful.data.faults import RowFault, describe
from heedful.data.fields import choice, list_of, number, weight
from heedful.data.formats import PREFERENCES, Format, extras
from heedful.data.parts import conversation, judged, with_system
from heedful.records import (
    Completion,
    Demonstration,
    Finish,
    Labelled,
    Message,
    Messages,
    Prompt,
    Ranking,
    RaterKind,
    Row,
    prompt_id,
)


def to_document(row: Row, kind: Format) -> str | Messages:
    """A page to pretrain on: its text, or a whole conversation."""
    match kind:
        case Format.TEXT:
            return words(row["text"], "text")
        case Format.MESSAGES:
            return messages_of(row["messages"], "messages")
        case Format.SHAREGPT:
            return with_system(row, messages_of(row["conversations"], "conversations"))
    prompt, answer = conversation(row, kind)
    return (*prompt, Message("assistant", answer))


def to_prompt(row: Row, kind: Format) -> Prompt:
    """What waits for an answer; answers that the row also holds are left out."""
    match kind:
        case Format.TEXT:
            messages: Messages = (Message("text", words(row["text"], "text")),)
        case Format.PROMPT | Format.CANDIDATES | Format.RANKING | Format.RATING | Format.STEPWISE:
            messages = prompt_messages(row["prompt"], "prompt")
        case Format.MESSAGES | Format.SHAREGPT:
            field = "messages" if kind is Format.MESSAGES else "conversations"
            messages = with_system(row, messages_of(row[field], field))
            if messages[-1].role == "assistant":
                messages = split_answer(messages, field)[0]
            open_ended(messages, field)
        case _ if kind in PREFERENCES:
            messages = judged(row, kind)[0]
        case _:
            messages = conversation(row, kind)[0]
    return prompt_of(row, kind, messages)


def to_demonstration(row: Row, kind: Format) -> Demonstration:
    """A prompt and its answer; of a conversation, its last answer."""
    messages, answer = conversation(row, kind)
    return Demonstration(prompt=prompt_of(row, kind, messages), completion=answer)


def to_completion(row: Row, kind: Format) -> Completion:
    """An answer that a policy gave, with what was sampled where the row holds it."""
    if kind is Format.COMPLETION:
        messages = prompt_messages(row["prompt"], "prompt")
        answer = answer_to(messages, row["completion"], "completion", may_be_empty=True)  # a policy may say nothing
    else:
        messages, answer = conversation(row, kind)
    ids = tuple(list_of(row, "token_ids", int))
    logprobs = tuple(float(value) for value in list_of(row, "logprobs", float))
    if len(logprobs) not in (0, len(ids)):
        found, expected = describe(list(logprobs)), f"one for each of the {len(ids)} token_ids"
        raise RowFault("logprobs", found, expected, "write both or neither")
    return Completion(
        prompt=prompt_of(row, kind, messages),
        text=answer,
        policy=str(row.get("policy") or "given"),
        finish=cast(Finish, choice(row, "finish", get_args(Finish), "given")),
        token_ids=ids,
        logprobs=logprobs,
        temperature=number(row, "temperature", 1.0),
    )


def to_ranking(row: Row, kind: Format) -> Ranking:
    """One judgement: a ranking as given, or a preference as a ranking of two."""
    if kind is Format.RANKING:
        return _ranking(row)
    messages, chosen, rejected = judged(row, kind)
    if chosen.strip() == rejected.strip():
        raise RowFault("chosen", "the same text as 'rejected'", "two different answers", "remove the row")
    margin = number(row, "margin", 0.0)
    tie = row.get("tie", False)
    if not isinstance(tie, bool | None):
        raise RowFault("tie", describe(tie), "true or false", "write one of them")
    return Ranking(
        prompt=prompt_of(row, kind, messages),
        completions=(chosen, rejected),
        ranks=(0, 0) if tie else (0, 1),
        rater=str(row.get("rater") or ""),
        rater_kind=rater_kind(row),
        margins=(margin,) if margin else (),
        weight=weight(row),
    )


def to_labelled(row: Row, kind: Format) -> Labelled:
    """One answer judged by itself; `label` (or LLaMA-Factory's `kto_tag`) says whether it is wanted."""
    field = "label" if row.get("label") is not None else "kto_tag"
    label = row[field]
    if not isinstance(label, bool):
        raise RowFault(field, describe(label), "true or false", "write one of them")
    messages, answer = conversation(row, kind)
    return Labelled(
        prompt=prompt_of(row, kind, messages),
        completion=answer,
        label=label,
        weight=weight(row),
        rater=str(row.get("rater") or ""),
        rater_kind=rater_kind(row),
    )


def to_judgement(row: Row, kind: Format) -> Labelled | Ranking:
    """Whatever says which answers are wanted: a label, a preference, or a ranking."""
    return to_labelled(row, kind) if kind is Format.UNPAIRED else to_ranking(row, kind)


def prompt_of(row: Row, kind: Format, messages: Messages) -> Prompt:
    """The prompt with its id, and as metadata what stands in the row beside its format's own columns."""
    meta = row.get("meta") or {}
    if not isinstance(meta, dict):
        raise RowFault("meta", describe(meta), "an object", "write {…} or leave it out")
    name = row.get("id")
    if not isinstance(name, str | int | None) or isinstance(name, bool):
        raise RowFault("id", describe(name), "a text or a whole number", "rename the column")
    given = {key: value for key, value in meta.items() if value is not None}
    identity = prompt_id(messages) if name is None or name == "" else str(name)
    return Prompt(id=identity, messages=messages, meta=given | extras(row, kind))


def _ranking(row: Row) -> Ranking:
    prompt = prompt_of(row, Format.RANKING, prompt_messages(row["prompt"], "prompt"))
    given = row["completions"]
    if not isinstance(given, list) or len(given) < 2:
        raise RowFault("completions", describe(given), "a list of two answers or more", "remove the row")
    answers = tuple(
        answer_to(prompt.messages, value, f"completions[{i}]", may_be_empty=True) for i, value in enumerate(given)
    )
    _distinct(answers)
    ranks = list_of(row, "ranks", int)
    if len(ranks) != len(answers) or min(ranks) < 0:
        expected = f"{len(answers)} whole numbers from 0, one for each completion, 0 for the best"
        raise RowFault("ranks", f"{ranks}"[:60], expected, "write a rank for each completion")
    margins = tuple(float(value) for value in list_of(row, "margins", float))
    pairs = len(list(combinations(answers, 2)))
    if len(margins) not in (0, pairs):
        raise RowFault(
            "margins", describe(list(margins)), f"one for each of the {pairs} pairs, or none", "mend the list"
        )
    return Ranking(
        prompt=prompt,
        completions=answers,
        ranks=tuple(rank - min(ranks) for rank in ranks),  # others count from 1
        rater=str(row.get("rater") or ""),
        rater_kind=rater_kind(row),
        sources=tuple(list_of(row, "sources", str)),
        margins=margins,
        weight=weight(row),
    )


def _distinct(answers: tuple[str, ...]) -> None:
    """Equal answers can't be told apart, so an order between them says nothing."""
    for index, answer in enumerate(answers):
        if (earlier := answers.index(answer)) != index:
            field, found = f"completions[{index}]", f"the same text as completions[{earlier}]"
            raise RowFault(field, found, "different answers", "remove one of them and its rank")


def rater_kind(row: Row) -> RaterKind:
    """Who judged: a person where the row doesn't say."""
    return cast(RaterKind, choice(row, "rater_kind", get_args(RaterKind), "human"))
