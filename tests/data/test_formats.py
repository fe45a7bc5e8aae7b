"""The same dialogue in every tool's format is the same record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heedful.data.formats import Format, recognise
from heedful.data.sources import read_completions, read_demonstrations, read_documents, read_prompts, read_rankings
from heedful.errors import InputError
from heedful.records import (
    Comparison,
    Completion,
    Demonstration,
    Message,
    Prompt,
    Ranking,
    prompt_id,
    to_row,
)

ASKED = (Message("user", "Two and two?"),)
SYSTEM = Message("system", "Be brief.")
USER = {"role": "user", "content": "Two and two?"}
FOUR = {"role": "assistant", "content": "Four."}
FIVE = {"role": "assistant", "content": "Five."}


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


SINGLE: list[tuple[Format, dict[str, Any]]] = [
    (Format.DEMONSTRATION, {"prompt": "Two and two?", "completion": "Four."}),
    (Format.DEMONSTRATION, {"prompt": [USER], "completion": [FOUR]}),
    (Format.DEMONSTRATION, {"prompt": [USER], "completion": [USER, FOUR]}),
    (Format.MESSAGES, {"messages": [USER, FOUR]}),
    (Format.MESSAGES, {"messages": [{"role": "user", "content": [{"type": "text", "value": "Two and two?"}]}, FOUR]}),
    (
        Format.SHAREGPT,
        {
            "conversations": [{"from": "human", "value": "Two and two?"}, {"from": "gpt", "value": "Four."}],
            "system": "",
        },
    ),
    (Format.ALPACA, {"instruction": "Two and two?", "input": "", "output": "Four."}),
    (Format.QUESTION, {"question": "Two and two?", "answer": "Four."}),
]


@pytest.mark.parametrize(("kind", "row"), SINGLE)
def test_one_answer(tmp_path: Path, kind: Format, row: dict[str, Any]) -> None:
    assert recognise(row) is kind
    path = write(tmp_path / "a.jsonl", row)
    (demonstration,) = read_demonstrations(path)
    assert demonstration.prompt.messages == ASKED
    assert demonstration.prompt.id == prompt_id(ASKED)
    assert demonstration.completion == "Four."
    assert read_prompts(path) == [demonstration.prompt]
    assert read_documents(path) == [(*ASKED, Message("assistant", "Four."))]
    (completion,) = read_completions(path)
    assert (completion.text, completion.policy, completion.finish) == ("Four.", "given", "given")


PAIRED: list[tuple[Format, dict[str, Any]]] = [
    (Format.PREFERENCE, {"prompt": "Two and two?", "chosen": "Four.", "rejected": "Five."}),
    (Format.PREFERENCE, {"prompt": [USER], "chosen": [FOUR], "rejected": [FIVE]}),
    (Format.PREFERENCE, {"prompt": "Two and two?", "chosen": [USER, FOUR], "rejected": [USER, FIVE]}),
    (Format.PREFERENCE, {"prompt": "Two and two?", "chosen": FOUR, "rejected": FIVE}),
    (Format.IMPLICIT, {"chosen": [USER, FOUR], "rejected": [USER, FIVE]}),
    (
        Format.HH,
        {
            "chosen": "\n\nHuman: Two and two?\n\nAssistant: Four.",
            "rejected": "\n\nHuman: Two and two?\n\nAssistant: Five.",
        },
    ),
    (
        Format.SHAREGPT_PREFERENCE,
        {
            "conversations": [{"from": "human", "value": "Two and two?"}],
            "chosen": {"from": "gpt", "value": "Four."},
            "rejected": {"from": "gpt", "value": "Five."},
        },
    ),
    (Format.ALPACA_PREFERENCE, {"instruction": "Two and two?", "input": "", "chosen": "Four.", "rejected": "Five."}),
]


@pytest.mark.parametrize(("kind", "row"), PAIRED)
def test_two_answers(tmp_path: Path, kind: Format, row: dict[str, Any]) -> None:
    assert recognise(row) is kind
    (ranking,) = read_rankings([write(tmp_path / "a.jsonl", row | {"margin": 1.5})])
    assert ranking.prompt.messages == ASKED
    assert ranking.completions == ("Four.", "Five."), "chosen first"
    assert ranking.ranks == (0, 1), "rank 0 is the better one"
    assert ranking.margins == (1.5,)
    assert read_prompts(tmp_path / "a.jsonl")[0].messages == ASKED


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Two and two?", "completion": "Four.", "label": False},
        {"messages": [USER, FOUR], "label": True},
        {
            "conversations": [{"from": "human", "value": "Two and two?"}, {"from": "gpt", "value": "Four."}],
            "kto_tag": True,
        },
        {"instruction": "Two and two?", "output": "Four.", "kto_tag": False},
    ],
)
def test_single_labels_are_recognised_and_their_prompts_serve(tmp_path: Path, row: dict[str, Any]) -> None:
    assert recognise(row) is Format.UNPAIRED
    path = write(tmp_path / "a.jsonl", row)
    assert read_prompts(path)[0].messages == ASKED
    assert read_completions(path)[0].text == "Four."


def test_several_turns_keep_what_was_said_before(tmp_path: Path) -> None:
    text = "\n\nHuman: Hi\n\nAssistant: Hello!\nHow are you?\n\nHuman: Two and two?\n\nAssistant:"
    path = write(tmp_path / "a.jsonl", {"chosen": f"{text} Four.", "rejected": f"{text} Five."})
    (ranking,) = read_rankings([path])
    assert ranking.prompt.messages == (Message("user", "Hi"), Message("assistant", "Hello!\nHow are you?"), *ASKED)


def test_dialogues_that_part_before_the_last_answer_are_refused(tmp_path: Path) -> None:
    row = {
        "chosen": "\n\nHuman: Hi\n\nAssistant: A\n\nHuman: x\n\nAssistant: Four.",
        "rejected": "\n\nHuman: Hi\n\nAssistant: B\n\nHuman: x\n\nAssistant: Five.",
    }
    with pytest.raises(InputError, match="differs from 'chosen' already at turn 2"):
        read_rankings([write(tmp_path / "a.jsonl", row)])


def test_two_texts_with_a_common_beginning_go_on_from_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"chosen": "The sky is blue.", "rejected": "The sky is black."})
    (ranking,) = read_rankings([path])
    assert ranking.prompt.messages == (Message("text", "The sky is"),), "cut at a word, not at the common 'bl'"
    assert ranking.completions == (" blue.", " black.")
    write(path, {"chosen": "Blue.", "rejected": "Red."})
    with pytest.raises(InputError, match="two texts with no common beginning"):
        read_rankings([path])


def test_alpaca_with_input_system_and_history(tmp_path: Path) -> None:
    row = {
        "instruction": "Two and two?",
        "input": "in words",
        "output": "Four.",
        "system": "Be brief.",
        "history": [["Hi", "Hello"]],
    }
    (demonstration,) = read_demonstrations(write(tmp_path / "a.jsonl", row))
    assert demonstration.prompt.messages == (
        SYSTEM,
        Message("user", "Hi"),
        Message("assistant", "Hello"),
        Message("user", "Two and two?\nin words"),
    )


def test_plain_texts_as_prompts_are_beginnings(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("Once upon\n\n\nThere was\na cat\n")
    assert read_documents(path) == ["Once upon", "There was\na cat"]
    assert [p.messages for p in read_prompts(path)] == [
        (Message("text", "Once upon"),),
        (Message("text", "There was\na cat"),),
    ]


def test_other_columns_are_kept_as_metadata(tmp_path: Path) -> None:
    row = {
        "prompt": "p",
        "chosen": "a",
        "rejected": "b",
        "source": "web",
        "meta": {"family": "facts"},
        "id": 7,
        "gone": None,
    }
    (ranking,) = read_rankings([write(tmp_path / "a.jsonl", row)])
    assert ranking.prompt.meta == {"family": "facts", "source": "web"}
    assert ranking.prompt.id == "7"


def test_ranks_from_one_are_ranks_from_zero(tmp_path: Path) -> None:
    row = {"prompt": "p", "completions": ["a", "b", "c"], "ranks": [2, 1, 2]}
    (ranking,) = read_rankings([write(tmp_path / "a.jsonl", row)])
    assert ranking.ranks == (1, 0, 1)
    assert ranking.pairs() == [(1, 0, False), (0, 2, True), (1, 2, False)]


OURS = Prompt(id="x1", messages=(SYSTEM, *ASKED), meta={"family": "sums", "slot": 3})


@pytest.mark.parametrize(
    ("record", "reader"),
    [
        (OURS, read_prompts),
        (Demonstration(prompt=OURS, completion=" Four.\n"), read_demonstrations),
        (
            Completion(
                prompt=OURS,
                text="Four",
                policy="sft",
                finish="eos",
                token_ids=(5, 1),
                logprobs=(-0.5, -1e-3),
                temperature=0.7,
            ),
            read_completions,
        ),
        (
            Completion(prompt=OURS, text="", policy="base", finish="eos", token_ids=(1,), logprobs=(-3.0,)),
            read_completions,
        ),
        (
            Ranking(
                prompt=OURS,
                completions=("a", "", "a "),
                ranks=(1, 0, 1),
                rater="r1",
                rater_kind="simulated",
                sources=("sft", "base", "sft"),
                margins=(0.5, 0.0, 1.0),
            ),
            lambda path: read_rankings([path]),
        ),
    ],
)
def test_our_own_records_come_back_as_they_were(tmp_path: Path, record: Any, reader: Any) -> None:
    path = write(tmp_path / "a.jsonl", to_row(record))
    assert reader(path) == [record]


def test_a_comparison_comes_back_as_a_ranking_of_two(tmp_path: Path) -> None:
    pair = Comparison(prompt=OURS, chosen="a", rejected="b", tie=True, rater="r", rater_kind="ai", weight=0.25)
    (ranking,) = read_rankings([write(tmp_path / "a.jsonl", to_row(pair))])
    assert ranking.ranks == (0, 0)
    assert (ranking.rater, ranking.rater_kind) == ("r", "ai")
    assert ranking.weight == 0.25, "nothing of the row is lost"


def test_files_are_read_in_the_order_given(tmp_path: Path) -> None:
    one = write(tmp_path / "1.jsonl", {"prompt": "p", "chosen": "a", "rejected": "b"})
    two = write(tmp_path / "2.jsonl", {"prompt": "q", "chosen": "a", "rejected": "b"})
    assert [r.prompt.messages[0].content for r in read_rankings([two, one])] == ["q", "p"]
