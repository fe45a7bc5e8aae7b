"""Conversations as other tools write them, as messages: role/content, from/value, and "Human: … Assistant: …"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from heedful.data.faults import RowFault, describe
from heedful.records import Message, Messages

ROLES = ("system", "user", "assistant", "text")
SPEAKERS = {  # ShareGPT's names and ours
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "system": "system",
    "text": "text",
}
FILL = "fill it in or remove the row"
HH_TURN = re.compile(r"\n\n(Human|Assistant):")


def words(value: Any, field: str) -> str:
    """A text that is there and not only white space, exactly as given."""
    if isinstance(value, str) and value.strip():
        return value
    if value is None:
        raise RowFault(field, "nothing", "a text", FILL)
    raise RowFault(field, describe(value), "a text that is not empty", FILL)


def messages_of(value: Any, field: str) -> Messages:
    """A list of `{"role", "content"}` or `{"from", "value"}` objects, in an order that conversations have."""
    if not isinstance(value, list | tuple) or not value:
        raise RowFault(field, describe(value), "a list of messages", "write [{'role': …, 'content': …}, …]")
    messages = tuple(message_of(item, f"{field}[{index}]") for index, item in enumerate(value))
    check_order(messages, field)
    return messages


def message_of(value: Any, field: str, *, may_be_empty: bool = False) -> Message:
    """One message of either spelling."""
    if not isinstance(value, Mapping):
        raise RowFault(field, describe(value), "an object with role and content", "write {'role': …, 'content': …}")
    if value.get("tool_calls"):
        raise RowFault(f"{field}.tool_calls", "a tool call", "messages of words alone", "remove the row")
    role_key, content_key = ("from", "value") if "from" in value else ("role", "content")
    for key in (role_key, content_key):
        if key not in value:
            found, expected = describe(dict(value)), f"an object with {role_key} and {content_key}"
            raise RowFault(field, found, expected, f"add '{key}'")
    role = SPEAKERS.get(value[role_key]) if isinstance(value[role_key], str) else None
    if role is None:
        expected = f"one of {', '.join(SPEAKERS)}"
        raise RowFault(f"{field}.{role_key}", describe(value[role_key]), expected, "rename the role or remove the row")
    content = value[content_key]
    if may_be_empty and isinstance(content, str):
        return Message(role, content)
    return Message(role, _content(content, f"{field}.{content_key}"))


def _content(value: Any, field: str) -> str:
    """A text, or a list of text parts put together."""
    if not isinstance(value, list):
        return words(value, field)
    return words("".join(_part(part, f"{field}[{index}]") for index, part in enumerate(value)), field)


def _part(part: Any, field: str) -> str:
    """The text of one part of a message."""
    if not isinstance(part, Mapping) or part.get("type") != "text":
        raise RowFault(field, describe(part), "a part of type text", "heedful reads words only: remove the row")
    text = part.get("text", part.get("value"))
    if not isinstance(text, str):
        raise RowFault(field, describe(text), "a part with a text", FILL)
    return text


def check_order(messages: Messages, field: str) -> None:
    """At most one system message, first; then user and assistant in turn. Bare text may stand anywhere."""
    turns = [(index, message.role) for index, message in enumerate(messages) if message.role != "text"]
    if turns and turns[0][1] == "system":
        turns = turns[1:]
    expected = "user"
    for index, role in turns:
        if role != expected:
            order = "an optional system message, then user and assistant in turn"
            raise RowFault(
                f"{field}[{index}]", f"the role {role} where {expected} speaks next", order, "mend the order"
            )
        expected = "assistant" if role == "user" else "user"


def open_ended(messages: Messages, field: str) -> Messages:
    """The messages, which must wait for an answer: the last one is the user's, or bare text to be continued."""
    if messages[-1].role not in ("user", "text"):
        found = f"a prompt that ends with the {messages[-1].role}'s turn"
        raise RowFault(field, found, "a prompt that ends with the user's turn", "move the answer to its own field")
    return messages


def split_answer(messages: Messages, field: str) -> tuple[Messages, str]:
    """A whole conversation as what comes before its last answer, and that answer."""
    if len(messages) < 2 or messages[-1].role != "assistant":
        found = f"a conversation whose last message is the {messages[-1].role}'s"
        raise RowFault(field, found, "one that ends with the assistant's answer", "add the answer or remove the row")
    return open_ended(messages[:-1], field), messages[-1].content


def prompt_messages(value: Any, field: str) -> Messages:
    """A prompt: a text (what the user says), or messages that end with the user's."""
    if isinstance(value, str) or value is None:
        return (Message("user", words(value, field)),)
    return open_ended(messages_of(value, field), field)


def answer_to(prompt: Messages, value: Any, field: str, *, may_be_empty: bool = False) -> str:
    """An answer: a text, one assistant message, or the whole conversation that begins with the prompt."""
    if may_be_empty and isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list | tuple):
        return words(value, field)
    if not value:
        raise RowFault(field, "an empty list", "an answer", FILL)
    last = len(value) - 1
    messages = tuple(
        message_of(item, f"{field}[{index}]", may_be_empty=may_be_empty and index == last)
        for index, item in enumerate(value)
    )
    if messages[-1].role != "assistant" or messages[:-1] not in ((), prompt):
        roles = ", ".join(message.role for message in messages)
        expected = "one assistant message, or the prompt's messages and one"
        raise RowFault(
            field, f"messages of the roles {roles}", expected, "put what comes before the answer in 'prompt'"
        )
    return messages[-1].content


def hh_messages(value: Any, field: str) -> Messages:
    """`"\\n\\nHuman: …\\n\\nAssistant: …"` (Bai 2022) as messages."""
    text = words(value, field)
    head, *rest = HH_TURN.split("\n\n" + text.lstrip())
    if head.strip() or not rest:
        found, expected = describe(text), "a dialogue that begins with '\\n\\nHuman:'"
        raise RowFault(field, found, expected, "write '\\n\\nHuman: …\\n\\nAssistant: …'")
    roles = ["user" if speaker == "Human" else "assistant" for speaker in rest[0::2]]
    contents = [words(said.strip(), f"{field}, turn {turn}") for turn, said in enumerate(rest[1::2], start=1)]
    messages = tuple(map(Message, roles, contents))
    check_order(messages, field)
    return messages
