"""Answers that say who wrote them are found; those that only speak of models are not; none is changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.feedback.conftest import new_item, say

from heedful.feedback.exports.pairs import LeftOut
from heedful.feedback.exports.rows import ExportFormat
from heedful.feedback.exports.write import Query, export
from heedful.feedback.intake import Imported, import_items
from heedful.feedback.labels import rows_of
from heedful.feedback.leaks import ANY_NAME, MAKERS, MODELS, leak_of, leaks
from heedful.feedback.projects import Project
from heedful.feedback.queue import lease
from heedful.feedback.store import Store
from heedful.feedback.tables import completion


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("As ChatGPT, I can't do that.", ""),
        ("Hello! I am Claude, and I am glad to help.", ""),
        ("I’m a GPT-4 model.", ""),
        ("I am a large language model, trained by Google.", ""),
        ("I was created and trained by OpenAI to help.", ""),
        ("As an AI assistant developed by Anthropic, I have no body.", ""),
        ("This answer comes from Llama-2-7b.", "meta/llama-2-7b"),
        ("Sadly as ChatGPT I can't do that.", ""),
        ("However, as a chatbot made by xAI, I like jokes.", ""),
        ("You can call me Sft, if you like.", "runs/demo/02-sft"),
    ],
)
def test_an_answer_that_names_itself_or_its_maker_is_found(text: str, source: str) -> None:
    found = leak_of(text, source)
    assert found and found in text


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("ChatGPT was released by OpenAI in 2022.", "first"),
        ("Claude Monet painted water lilies. Gemini is a constellation, as Leo is.", ""),
        ("As an AI language model, I have no opinions.", "gpt-4"),
        ("Put the first one first, as first things go.", "first"),
        ("Tools such as ChatGPT help; so do others, as well as GPT-4. Rocks such as granite are hard.", ""),
        ("Go began as a language designed by Google; use libraries such as TensorFlow, developed by Google.", ""),
        ("I was made to wait at Google's door.", ""),
        ("The model was trained by Meta.", ""),
        ("", "given"),
        ("12 and 34", "12"),
    ],
)
def test_what_only_speaks_of_models_is_left_alone(text: str, source: str) -> None:
    assert leak_of(text, source) == ""


def test_leaks_are_counted_listed_and_left_out_only_where_asked(
    store: Store, make: Callable[..., Project], people: list[int], tmp_path: Path
) -> None:
    project = make(2)
    done = Imported()
    import_items(store, project, [replace(new_item(7), answers=("I am Claude.", "No name."))], done)
    assert (done.items, done.leaks) == (1, 1)
    with store.write() as connection:
        while held := lease(connection, project, people[0], 0.0, 1):
            say(connection, project, held[0], people[0])
        found = leaks(connection, project.id)
        assert (found.leaking, found.answers) == (1, 6)
        assert [(leak.prompt, leak.source, leak.said, len(leak.items)) for leak in found.first] == [
            ("q7", "model-0", "I am Claude", 1)
        ]
        every = list(rows_of(connection, project, ExportFormat.RANKINGS))
        kept = list(rows_of(connection, project, ExportFormat.RANKINGS, without_leaks=True))
        assert connection.execute(select(completion.c.text).where(completion.c.leak != "")).scalar() == "I am Claude."
        raw = list(rows_of(connection, project, ExportFormat.RAW))
    assert len(every) == 3 and sum(isinstance(row, LeftOut) for row in kept) == 1
    path = tmp_path / "raw.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in raw))
    whole = export([path], Query(format=ExportFormat.TRL), tmp_path / "a")
    less = export([path], Query(format=ExportFormat.TRL, without_leaks=True), tmp_path / "b")
    assert (whole.rows["train.jsonl"], less.rows["train.jsonl"]) == (3, 2)
    assert less.left_out == {"an answer names who wrote it": 1}


def test_every_name_is_seen_at_the_quick_look() -> None:
    """What is quick to see must not hide what is there: spellings of names that have more than one."""
    spellings = [*MODELS.split("|"), *MAKERS.split("|")]
    plain = [name for name in spellings if name.replace(" ", "").isalpha()]
    others = {
        "chat ?gpt": ("chatgpt", "chat gpt"), r"gpt[- ]?\d[\w.]*": ("gpt4", "gpt-3.5"), "mi[sx]tral": ("mixtral",),
        r"phi-\d": ("phi-3",), r"yi-\d+b": ("yi-34b",), r"glm-\d": ("glm-4",), r"x\.ai": ("x.ai",), "ai2": ("ai2",),
        r"command[- ]r\b": ("command r", "command-r"), "open ?assistant": ("openassistant", "open assistant"),
        "meta(?: ai)?": ("meta", "meta ai"), "mistral(?: ai)?": ("mistral ai",), "alibaba(?: cloud)?": ("alibaba",),
        "palm 2": ("palm 2",), "zhipu(?: ai)?": ("zhipu",), "moonshot(?: ai)?": ("moonshot",),
        "hugging ?face": ("huggingface",),
    }  # fmt: skip
    assert set(others) | set(plain) == set(spellings)
    for name in (*plain, *(one for given in others.values() for one in given)):
        assert ANY_NAME.search(f"so says {name}."), name
        assert leak_of(f"I am {name}.") or leak_of(f"I was made by {name}."), name
    assert not ANY_NAME.search("one begins with what a friend knows already, and it goes on as it began")
