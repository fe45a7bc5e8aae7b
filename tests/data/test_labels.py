"""Answers labelled one by one: split from rankings, grouped by prompt, matched with other prompts, and rewritten."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from heedful.cli import app
from heedful.data.labels import label_examples, mismatched, pack_labels, split, wanted_share
from heedful.data.packing import Example
from heedful.data.rewrite import rewrite
from heedful.data.sources import read_judgements, read_labels, read_rankings
from heedful.data.validate import validate
from heedful.data.wanted import rankings_of
from heedful.errors import InputError
from heedful.records import Comparison, Labelled, Message, Messages, Prompt, Ranking, to_row


class Letters:
    """A chat whose tokens are letters: the prompt's, then the answer's, then 0."""

    def example(self, messages: Messages, completion: str) -> Example:
        prompt = [ord(c) for m in messages for c in m.content]
        return Example((*prompt, *(ord(c) for c in completion), 0), answer=len(prompt))


def asked(text: str) -> Prompt:
    return Prompt(id=text, messages=(Message("user", text),))


def label(text: str, wanted: bool, *, prompt: str = "p", weight: float = 1.0) -> Labelled:
    return Labelled(prompt=asked(prompt), completion=text, label=wanted, weight=weight)


def ranking(texts: tuple[str, ...], ranks: tuple[int, ...], weight: float = 1.0) -> Ranking:
    return Ranking(prompt=asked("p"), completions=texts, ranks=ranks, rater="r", rater_kind="human", weight=weight)


def write(path: Path, *rows: object) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_a_ranking_is_split_into_what_each_answer_won_and_lost() -> None:
    found = [(i.completion, i.label, i.weight) for i in ranking(("a", "b", "c"), (1, 0, 2), weight=0.6).labels()]
    expected = [("a", True, 0.2), ("a", False, 0.2), ("b", True, 0.4), ("c", False, 0.4)]
    assert [(text, wanted) for text, wanted, _ in found] == [(text, wanted) for text, wanted, _ in expected]
    assert [weight for *_, weight in found] == pytest.approx([weight for *_, weight in expected])


def test_ties_give_no_label() -> None:
    assert ranking(("a", "b"), (0, 0)).labels() == []
    found = ranking(("a", "b", "c"), (0, 0, 1)).labels()
    assert [(i.completion, i.label, i.weight) for i in found] == [("a", True, 0.5), ("b", True, 0.5), ("c", False, 1.0)]


def test_labels_of_a_prompt_stand_together_and_add_up() -> None:
    given = [label("a", True), label("x", False, prompt="q"), label("a", False, weight=0.5), label("b", False)]
    first, second = label_examples(Letters(), split([*given, ranking(("b", "c"), (0, 1))]))
    assert first.texts == ("a", "b", "c")
    assert (first.desirable, first.undesirable) == ((1.0, 1.0, 0.0), (0.5, 1.0, 1.0))
    assert first.weight == 4.5 and second.weight == 1.0
    assert wanted_share([first, second]) == pytest.approx(2 / 5.5)
    batch = pack_labels([first, second], torch.zeros(8))
    assert batch.desirable.tolist() == [1.0, 1.0, 0.0, 0.0]
    assert batch.undesirable.tolist() == [0.5, 1.0, 1.0, 1.0]
    assert batch.packed.lengths.tolist() == [3, 3, 3, 3] and batch.baseline == 0


def test_prompts_of_two_files_with_the_same_ids_are_not_mixed() -> None:
    given = [label("a", True), label("a", False, prompt="q")]
    given = [replace(one, prompt=replace(one.prompt, id="1")) for one in given]
    assert [(item.prompt[0].content, item.desirable) for item in label_examples(Letters(), given)] == [
        ("p", (1.0,)),
        ("q", (0.0,)),
    ]
    assert rankings_of(given) == ([], 2, 0)


def test_a_prompt_is_matched_with_the_next_answer_that_fits() -> None:
    items = label_examples(
        Letters(), [label("a", True, prompt="p"), label("bbbb", True, prompt="q"), label("c", False)]
    )
    items += label_examples(Letters(), [label("dd", False, prompt="s")])
    found = mismatched(Letters(), items, [2, 0, 1], context=4)
    assert [bytes(e.ids[:-1]).decode() for (e,) in found] == ["pdd", "qdd", "sa"]  # after p comes q, too long
    assert all(example.answer == 1 for (example,) in found)
    assert mismatched(Letters(), items, [0, 1, 2], context=3)[0] == ()  # nothing fits
    with pytest.raises(InputError, match="give labels on several prompts, or use bco"):
        mismatched(Letters(), items[:1], [0], context=9)


def test_labels_come_back_as_they_were_written(tmp_path: Path) -> None:
    one = replace(label("a", True, weight=0.5), rater="r", rater_kind="ai")
    assert read_labels(write(tmp_path / "a.jsonl", to_row(one))) == [one]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"prompt": "p", "completion": "c", "label": 1}, "'label': found the number 1, expected true or false"),
        ({"messages": [{"role": "user", "content": "p"}], "kto_tag": "yes"}, "'kto_tag'"),
        ({"prompt": "p", "completion": "c", "label": True, "weight": 0}, "'weight': found the number 0"),
        ({"prompt": "p", "chosen": "c", "rejected": "d", "weight": -1}, "'weight'"),
    ],
)
def test_a_bad_label_or_weight_is_named(tmp_path: Path, row: dict[str, object], sentence: str) -> None:
    path = write(tmp_path / "a.jsonl", row)
    with pytest.raises(InputError) as error:
        read_judgements([path])
    assert sentence in str(error.value)
    assert validate(path).fault_count == 1


def test_labels_become_rankings_and_nothing_is_lost_in_silence(tmp_path: Path) -> None:
    """Answers to `q` are all wanted; `c` is labelled both ways."""
    given = [label("a", True), label("b", False), label("c", True), label("c", False), label("d", True, prompt="q")]
    path = write(tmp_path / "labels.jsonl", *map(to_row, given))
    said = rewrite(path, tmp_path / "rankings.jsonl", "rankings")
    assert "5 judgements became 1 rankings" in said
    assert "1 prompts left out, whose answers are all wanted or all unwanted" in said
    assert "1 answers left out, which are labelled both ways" in said
    (found,) = read_rankings([tmp_path / "rankings.jsonl"])
    assert (found.completions, found.ranks, found.weight) == (("a", "b"), (0, 1), 1.0)


def test_answers_with_the_same_label_are_ties() -> None:
    (found,), lone, unclear = rankings_of([label("a", True), label("b", False, weight=0.5), label("c", False)])
    assert (found.ranks, lone, unclear) == ((0, 1, 1), 0, 0)
    assert found.weight == pytest.approx(2.5 / 3)


def test_rankings_become_labels_and_comparisons(tmp_path: Path) -> None:
    path = write(tmp_path / "rankings.jsonl", to_row(ranking(("a", "b", "c"), (0, 1, 2), weight=0.5)))
    rewrite(path, tmp_path / "labels.jsonl", "labels")
    assert read_labels(tmp_path / "labels.jsonl") == ranking(("a", "b", "c"), (0, 1, 2), weight=0.5).labels()
    rewrite(path, tmp_path / "pairs.jsonl", "comparisons")
    pairs = read_rankings([tmp_path / "pairs.jsonl"])
    assert [pair.completions for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert sum(pair.weight for pair in pairs) == pytest.approx(0.5)


def test_a_comparison_keeps_its_weight_as_a_ranking() -> None:
    pair = Comparison(prompt=asked("p"), chosen="a", rejected="b", weight=0.3, margin=0.4)
    assert pair.ranking().comparisons() == [replace(pair)]


@pytest.mark.parametrize(
    ("form", "row", "sentence"),
    [
        ("rankings", {"prompt": "p", "completion": "c", "label": True}, "no prompt has both"),
        ("labels", {"prompt": "p", "chosen": "c", "rejected": "d", "tie": True}, "every ranking is a tie"),
    ],
)
def test_what_gives_nothing_is_bad_input(tmp_path: Path, form: str, row: dict[str, object], sentence: str) -> None:
    path = write(tmp_path / "a.jsonl", row)
    with pytest.raises(InputError, match=sentence):
        rewrite(path, tmp_path / "b.jsonl", form)  # type: ignore[arg-type]
    assert not (tmp_path / "b.jsonl").exists()


def test_the_command_keeps_a_file_that_is_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"prompt": "p", "chosen": "c", "rejected": "d"})
    asked_for = ["convert", path, str(tmp_path / "b.jsonl"), "--to", "labels"]
    assert "became 2 labels" in CliRunner().invoke(app, asked_for).output
    again = CliRunner().invoke(app, asked_for)
    assert isinstance(again.exception, InputError) and "is there already" in str(again.exception)
    other = CliRunner().invoke(app, [*asked_for[:-1], "pairs"])
    assert isinstance(other.exception, InputError) and "expected one of rankings" in str(other.exception)
