"""A database with a project of pairs, and raters."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from heedful.feedback import projects
from heedful.feedback.fitting import NewItem
from heedful.feedback.intake import Imported, import_items
from heedful.feedback.presets import PRESETS
from heedful.feedback.projects import Project, QueuePolicy, create_project, rater_named, read_project
from heedful.feedback.sheet import Sheet
from heedful.feedback.store import Store, open_store
from heedful.feedback.submit import Submitted, submit
from heedful.records import Message, Prompt

TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def plain(**changes: Any) -> QueuePolicy:
    """One rater an item, no checks, no shared items; more raters on disagreement only where asked for."""
    most = {"overlap_most": changes.get("overlap", 1)}
    return QueuePolicy.model_validate({"overlap": 1, "shared": 0, "gold": 0} | most | changes)


PLAIN = plain()


@pytest.fixture(autouse=True)
def one_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Projects made here draw alike in every run: what one seed in a thousand breaks must not fail that often."""
    monkeypatch.setattr(projects, "_drawn_seed", lambda: 20_261_123)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(str(tmp_path / "studio.db"))
    yield opened
    opened.close()


@pytest.fixture
def make(store: Store) -> Callable[..., Project]:
    """make(items=3, queue=…, sheet=…, part="main", name=…): a project with so many items of two answers."""

    def made(
        items: int = 3, queue: QueuePolicy = PLAIN, sheet: Sheet = PRESETS["pair"].sheet, name: str = "p", **more: Any
    ) -> Project:
        with store.write() as connection:
            project = read_project(connection, create_project(connection, name, sheet, queue))
        import_items(store, project, [new_item(i, **more) for i in range(items)], Imported())
        return project

    return made


def new_item(number: int, answers: int = 2, **more: Any) -> NewItem:
    return NewItem(
        prompt=Prompt(id=f"q{number}", messages=(Message("user", f"question {number}"),)),
        answers=tuple(f"answer {number}.{i}" for i in range(answers)),
        sources=tuple(f"model-{i}" for i in range(answers)),
        **more,
    )


@pytest.fixture
def people(store: Store) -> list[int]:
    with store.write() as connection:
        return [rater_named(connection, "human", f"rater-{i}") for i in range(6)]


PREFER_FIRST = {"verdict": "prefer", "preferred": 0, "strength": 2}


def say(
    connection: Connection, project: Project, assignment: int, rater: int, value: Any = None, **more: Any
) -> Submitted:
    """Submit a judgement with a UUID of its own."""
    given = {"client_uuid": str(uuid.uuid4()), "seconds": 1.0, "now": 100.0} | more
    return submit(connection, project, assignment, rater, value=PREFER_FIRST if value is None else value, **given)


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """Every byte, and a template of which each turn tells its role."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE(unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<unk>", "<pad>", "</s>", "<user>", "<assistant>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(["why so"], trainers.BpeTrainer(special_tokens=special, initial_alphabet=alphabet))
    made = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", pad_token="<pad>", eos_token="</s>")
    made.chat_template = TEMPLATE
    return made
