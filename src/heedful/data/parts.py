"""The parts of a row of any format: the prompt with its one answer, or with the chosen and the rejected one."""

from __future__ import annotations

from heedful.data.dialogues import (
    FILL,
    answer_to,
    hh_messages,
    messages_of,
    open_ended,
    prompt_messages,
    split_answer,
    words,
)
from heedful.data.faults import RowFault, describe
from heedful.data.formats import Format
from heedful.records import Message, Messages, Row


def conversation(row: Row, kind: Format) -> tuple[Messages, str]:
    """(prompt, answer) of a format that holds one answer."""
    match kind:
        case Format.MESSAGES | Format.UNPAIRED if row.get("messages") is not None:
            return split_answer(messages_of(row["messages"], "messages"), "messages")
        case Format.SHAREGPT | Format.UNPAIRED if row.get("conversations") is not None:
            return split_answer(with_system(row, messages_of(row["conversations"], "conversations")), "conversations")
        case Format.ALPACA | Format.UNPAIRED if row.get("instruction") is not None:
            return _alpaca_prompt(row), words(row["output"], "output")
        case Format.QUESTION:
            return (Message("user", words(row["question"], "question")),), words(row["answer"], "answer")
    prompt = prompt_messages(row["prompt"], "prompt")
    return prompt, answer_to(prompt, row["completion"], "completion")


def judged(row: Row, kind: Format) -> tuple[Messages, str, str]:
    """(prompt, chosen, rejected) of a format that holds two answers."""
    match kind:
        case Format.HH:
            return _common(hh_messages(row["chosen"], "chosen"), hh_messages(row["rejected"], "rejected"))
        case Format.IMPLICIT if isinstance(row["chosen"], str):
            return _common_text(words(row["chosen"], "chosen"), words(row["rejected"], "rejected"))
        case Format.IMPLICIT:
            return _common(messages_of(row["chosen"], "chosen"), messages_of(row["rejected"], "rejected"))
        case Format.SHAREGPT_PREFERENCE:
            prompt = with_system(row, messages_of(row["conversations"], "conversations"))
            prompt = open_ended(prompt, "conversations")
        case Format.ALPACA_PREFERENCE:
            prompt = _alpaca_prompt(row)
        case _:
            prompt = prompt_messages(row["prompt"], "prompt")
    return prompt, answer_to(prompt, row["chosen"], "chosen"), answer_to(prompt, row["rejected"], "rejected")


def _common(chosen: Messages, rejected: Messages) -> tuple[Messages, str, str]:
    """Two whole conversations that differ in the last answer alone."""
    prompt, good = split_answer(chosen, "chosen")
    other, bad = split_answer(rejected, "rejected")
    if prompt != other:
        turn = next(
            (i for i, (a, b) in enumerate(zip(prompt, other, strict=False)) if a != b), min(len(prompt), len(other))
        )
        found = f"a conversation that differs from 'chosen' already at turn {turn + 1}"
        raise RowFault("rejected", found, "two answers to one prompt", "remove the row")
    return prompt, good, bad


def _common_text(chosen: str, rejected: str) -> tuple[Messages, str, str]:
    """Two plain texts whose common beginning, up to a word's end, is the prompt; the answers go on from there."""
    pairs = zip(chosen, rejected, strict=False)
    begin = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(chosen), len(rejected)))
    while begin and not chosen[begin - 1].isspace():
        begin -= 1
    head = chosen[:begin].rstrip()
    if not head:
        found = "two texts with no common beginning"
        raise RowFault("chosen", found, "a prompt, or texts that begin with it", "add a 'prompt' field")
    return (Message("text", head),), words(chosen[len(head) :], "chosen"), words(rejected[len(head) :], "rejected")


def _alpaca_prompt(row: Row) -> Messages:
    """Instruction and input, after the system text and the earlier turns where there are any."""
    text = words(row["instruction"], "instruction")
    if (given := row.get("input")) and words(given, "input"):
        text = f"{text}\n{given}"
    earlier: list[Message] = []
    history = row.get("history") or []
    if not isinstance(history, list):
        raise RowFault("history", describe(history), "a list of [question, answer]", "mend the list or leave it out")
    for index, pair in enumerate(history):
        if not isinstance(pair, list) or len(pair) != 2:
            raise RowFault(f"history[{index}]", describe(pair), "a question and its answer", "write [question, answer]")
        earlier += [
            Message("user", words(pair[0], f"history[{index}]")),
            Message("assistant", words(pair[1], f"history[{index}]")),
        ]
    return with_system(row, (*earlier, Message("user", text)))


def with_system(row: Row, messages: Messages) -> Messages:
    """ShareGPT and Alpaca rows may hold the system message in a column of its own; empty means none."""
    system = row.get("system")
    if not isinstance(system, str | None):
        raise RowFault("system", describe(system), "a text", FILL)
    return (Message("system", system), *messages) if system and system.strip() else messages
