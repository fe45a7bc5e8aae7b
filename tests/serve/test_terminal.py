"""The chat: each model sees its own answers, commands change settings, long talks lose their oldest turns."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from heedful.errors import InputError
from heedful.records import Message
from heedful.serve import terminal
from heedful.serve.speaker import Speaker
from heedful.serve.terminal import Conversation, chat, obey


@pytest.fixture
def talk(speaker: Speaker) -> Conversation:
    return Conversation([speaker, speaker], temperature=1.0, max_new_tokens=6)


def test_each_model_sees_its_own_answers(talk: Conversation) -> None:
    first = obey(talk, "how are you")
    assert len(first) == 2
    assert first[0] != first[1], "answers are drawn with seeds of their own"
    talk.asked.append("what is it")
    assert talk._messages(1, 0) == (
        Message("user", "how are you"),
        Message("assistant", first[1]),
        Message("user", "what is it"),
    )


def test_again_replaces_the_last_answer(talk: Conversation) -> None:
    first = obey(talk, "how are you")
    second = obey(talk, "/again")
    assert second != first
    assert (talk.asked, talk.answers) == (["how are you"], [second])


def test_commands(talk: Conversation) -> None:
    assert obey(talk, "/temperature 0") == []
    assert talk.temperature == 0
    one, other = obey(talk, "how are you")
    assert one == other
    assert obey(talk, "/system be kind") == []
    talk.asked.append("what is it")
    assert talk._messages(0, 1) == (Message("system", "be kind"), Message("user", "what is it"))
    assert obey(talk, "/new") == []
    assert talk.asked == talk.answers == []
    assert obey(talk, "") == []


@pytest.mark.parametrize(
    "line", ["/temperature", "/temperature hot", "/temperature -1", "/temperature nan", "/fly", "/again"]
)
def test_wrong_commands_are_explained(talk: Conversation, line: str) -> None:
    with pytest.raises(InputError):
        obey(talk, line)
    assert talk.temperature == 1.0


def test_old_turns_are_left_out_where_the_context_is_full(talk: Conversation) -> None:
    for _ in range(8):
        answers = obey(talk, "how are you")
        assert len(answers) == 2
    with pytest.raises(InputError, match="shorten"):
        obey(talk, "how " * 99)
    assert len(talk.asked) == len(talk.answers) == 8


def test_the_loop_reads_until_quit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = iter(["how are you", "/fly", "/quit", "never read"])
    monkeypatch.setattr(Console, "input", lambda *_, **__: next(lines))
    screen = Console(file=io.StringIO(), width=100)
    monkeypatch.setattr(terminal, "Console", lambda **_: screen)
    chat([folder, folder], temperature=0.0, max_new_tokens=4)
    said = screen.file.getvalue()  # type: ignore[attr-defined]
    assert said.count("02-sft") >= 4
    assert "/fly is no command" in said
    assert next(lines) == "never read"
