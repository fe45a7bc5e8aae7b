"""A chat in the terminal, with one model or several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.columns import Columns
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from heedful.errors import InputError
from heedful.records import Message, Messages
from heedful.serve.speaker import Speaker

HELP = "/temperature 0.7 · /system TEXT · /new (forget the conversation) · /again (another answer) · /quit"


@dataclass
class Conversation:
    """What was said, once for each model: each sees its own answers only."""

    speakers: Sequence[Speaker]
    temperature: float
    max_new_tokens: int
    system: str = ""
    asked: list[str] = field(default_factory=list)
    answers: list[list[str]] = field(default_factory=list)  # answers[turn][speaker]
    draws: int = 0

    def ask(self, text: str) -> list[str]:
        """Every model's answer. The oldest turns are left out for a model whose context they would fill."""
        self.asked.append(text)
        try:
            answers = [self._answer(number) for number in range(len(self.speakers))]
        except InputError:
            self.asked.pop()
            raise
        self.answers.append(answers)
        return answers

    def again(self) -> list[str]:
        """Another answer to the last question."""
        self.answers.pop()
        return self.ask(self.asked.pop())

    def forget(self) -> None:
        self.asked.clear()
        self.answers.clear()

    def _answer(self, number: int) -> str:
        self.draws += 1
        for first in range(len(self.asked)):
            try:
                [answer] = self.speakers[number].answer(
                    self._messages(number, first),
                    [self.draws],
                    temperature=self.temperature,
                    max_new_tokens=self.max_new_tokens,
                )
                return answer.text
            except InputError:
                if first == len(self.asked) - 1:
                    raise
        raise AssertionError("a conversation has at least one question")

    def _messages(self, number: int, first: int) -> Messages:
        """The turns from `first` on, as one model knows them."""
        messages = [Message("system", self.system)] if self.system else []
        for question, answers in zip(self.asked[first:], [*self.answers[first:], []], strict=True):
            messages.append(Message("user", question))
            if answers:
                messages.append(Message("assistant", answers[number]))
        return tuple(messages)


def chat(folders: Sequence[str | Path], *, temperature: float, max_new_tokens: int) -> None:
    """Read questions until /quit or the end of the input."""
    screen = Console(highlight=False)
    talk = Conversation([Speaker.load(folder) for folder in folders], temperature, max_new_tokens)
    screen.print(f"[dim]{' and '.join(escape(one.name) for one in talk.speakers)} · {HELP}[/dim]")
    while True:
        try:
            line = screen.input("[bold cyan]you[/bold cyan] ").strip()
        except (EOFError, KeyboardInterrupt):
            return
        if line == "/quit":
            return
        try:
            show(screen, talk, obey(talk, line))
        except InputError as error:
            screen.print(f"[red]{escape(str(error))}[/red]")


def obey(talk: Conversation, line: str) -> list[str]:
    """Do what a line asks: the answers to show, none after a command that changes a setting."""
    command, _, rest = line.partition(" ")
    match command:
        case "":
            return []
        case "/temperature":
            talk.temperature = _temperature(rest)
        case "/system":
            talk.system = rest
        case "/new":
            talk.forget()
        case "/again":
            if not talk.asked:
                raise InputError("nothing was asked yet")
            return talk.again()
        case _ if command.startswith("/"):
            raise InputError(f"{command} is no command: {HELP}")
        case _:
            return talk.ask(line)
    return []


def _temperature(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise InputError(f"'{text}' is no temperature: give a number from 0 (greedy) up")
    return value


def show(screen: Console, talk: Conversation, answers: Sequence[str]) -> None:
    """One answer as a line, several side by side."""
    if len(answers) == 1:
        screen.print(f"[bold green]{escape(talk.speakers[0].name)}[/bold green] {escape(answers[0])}")
    elif answers:
        width = max(20, screen.width // len(answers) - 2)
        pairs = zip(talk.speakers, answers, strict=True)
        screen.print(Columns([Panel(escape(text), title=escape(one.name), width=width) for one, text in pairs]))
