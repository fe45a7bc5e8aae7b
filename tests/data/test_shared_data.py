"""Real files of other tools, where they lie beside the project."""

from __future__ import annotations

from pathlib import Path

import pytest

from heedful.data.chat import Chat
from heedful.data.sources import read_demonstrations, read_documents, read_prompts, read_rankings
from heedful.data.validate import validate, write_sound
from heedful.errors import InputError
from heedful.records import Message

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the real data sets don't lie in {DATA}")


def test_hh_dialogues(tmp_path: Path) -> None:
    path = DATA / "hh-rlhf" / "harmless-base.jsonl.gz"
    report = validate(path)
    assert (report.rows, report.sound) == (1156, 1150)
    assert report.longer_chosen == pytest.approx(0.44, abs=0.01), "the published share"
    with pytest.raises(InputError, match="6 faults in 1156 rows"):
        read_rankings([path])
    write_sound(path, tmp_path / "hh.jsonl")
    rankings = read_rankings([tmp_path / "hh.jsonl"])
    assert len(rankings) == 1150
    assert all(ranking.prompt.messages[-1].role == "user" for ranking in rankings)


@pytest.mark.parametrize(
    ("name", "rows"), [("alpaca_en_demo.json", 999), ("v1_sft_demo.jsonl", 500)], ids=["alpaca", "messages"]
)
def test_demonstrations_of_other_tools(name: str, rows: int) -> None:
    assert len(read_demonstrations(DATA / "formats" / name)) == rows


def test_preferences_of_other_tools(tmp_path: Path) -> None:
    assert len(read_rankings([DATA / "formats" / "dpo_en_demo.json"])) == 300
    report = validate(DATA / "instruct" / "instruction-data-with-preference.json")
    assert (report.rows, report.sound) == (1100, 1094), "six answers are chosen and rejected at once"
    assert len(read_prompts(DATA / "formats" / "kto_en_demo.json")) == 300


def test_worked_solutions_and_stories() -> None:
    assert len(read_demonstrations(DATA / "gsm8k" / "train.jsonl.gz")) == 7473
    assert len(read_documents(DATA / "tinystories" / "stories.txt")) == 2317


def test_a_real_base_model_without_pad_and_template() -> None:
    chat = Chat.load(DATA / "stories260K")
    assert (chat.pad_id, chat.eos_id, len(chat.tokenizer)) == (0, 2, 512), "no token is added: <unk> is never met"
    example = chat.example((Message("text", "Once upon a time"),), ", there was a cat.")
    assert example.ids[0] == 1 and example.ids.count(1) == 1 and example.ids[-1] == 2
    assert example.ids == chat.document("Once upon a time, there was a cat.").ids
    assert chat.decode(example.ids[example.answer :]) == ", there was a cat."
    turn = chat.example((Message("user", "Hi"),), "Hello.")
    assert chat.decode(turn.ids) == "<|user|>\nHi\n<|assistant|>\nHello."
