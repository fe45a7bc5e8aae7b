"""Sheets that published studies asked, and sheets of one's own from TOML."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from heedful.errors import InputError
from heedful.feedback.presets import PRESETS
from heedful.feedback.sheet import Answered, check
from heedful.feedback.sheet_file import load_sheet, read_sheet

OWN = """
compare = "pair"
strength = 2
degrees = ["a little better", "clearly better"]
ties = ["tie"]
reason = "required"

[[criteria]]
key = "tone"
label = "Tone"
low = 1
high = 3
words = ["rude", "plain", "kind"]

[[flags]]
key = "made_up"
label = "Makes something up"
"""


def test_a_sheet_of_ones_own() -> None:
    sheet = read_sheet(OWN, "own.toml")
    assert (sheet.strength, sheet.ties, sheet.reason) == (2, ("tie",), "required")
    [tone] = sheet.criteria
    assert tone.words == ("rude", "plain", "kind") and sheet.flags[0].key == "made_up"
    assert sheet.model_validate(sheet.model_dump(mode="json")) == sheet


def test_the_sheet_in_the_docs_is_one() -> None:
    page = (Path(__file__).parents[2] / "docs" / "studio.md").read_text()
    [text] = [block for block in re.findall(r"```toml\n(.*?)```", page, re.S) if "[[criteria]]" in block]
    assert read_sheet(text, "docs").degrees == ("a little better", "clearly better")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("strength = 2", "strenght = 2"), "own.toml: field 'strenght' is unknown; did you mean 'strength'?"),
        (("strength = 2", "strength = 9"), "own.toml: field 'strength': expected at most 4, found 9"),
        (('words = ["rude", ', "words = ["), "[[criteria]] number 1: criterion 'tone' has 3 points and 2 words"),
        (("high = 3", "hihg = 3"), "field 'hihg' of [[criteria]] number 1 is unknown; did you mean 'high'?"),
        (('label = "Tone"', ""), "field 'label' of [[criteria]] number 1 is missing; add it"),
        (('key = "made_up"', 'key = "Made up"'), "field 'key' of [[flags]] number 1: expected a text that fits ^[a-z]"),
        (('["tie"]', '["draw"]'), "ties, entry 1: expected one of none, prefer"),
        (('compare = "pair"', 'compare = "none" '), "the sheet: "),
        (('degrees = ["a little better", ', "degrees = ["), "the sheet: strength has 2 steps and degrees names 1"),
        (('compare = "pair"', 'presort = "tone"'), "the sheet: presort names a criterion of a sheet that ranks"),
        (('compare = "pair"', "compare = pair"), "own.toml: is no TOML (Invalid value (at line 2"),
    ],
)
def test_a_wrong_field_is_named(change: tuple[str, str], said: str) -> None:
    text = OWN.replace(*change)
    if said == "the sheet: ":  # asks nothing at all
        text = 'compare = "none"'
    with pytest.raises(InputError) as refused:
        read_sheet(text, "own.toml")
    assert said in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        load_sheet(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="the byte 0xff at byte 0 is not UTF-8"):
        load_sheet(tmp_path / "bad.toml")


def test_llama_2_asks_for_a_choice_and_for_the_safety_of_each() -> None:
    sheet = PRESETS["safety"].sheet
    choice = {"verdict": "prefer", "preferred": 1, "strength": 4}
    check(Answered.model_validate(choice | {"ratings": [{"safe": 0}, {"safe": 1}]}), sheet, 2, 0)
    for wrong in ({"verdict": "tie"}, choice | {"ratings": [{"safe": 0}, {}]}, choice | {"ratings": [{"safe": 2}] * 2}):
        with pytest.raises(InputError):
            check(Answered.model_validate({"ratings": [{"safe": 1}] * 2} | wrong), sheet, 2, 0)


def test_open_assistant_labels_each_answer_by_itself() -> None:
    sheet = PRESETS["oasst"].sheet
    rated = {criterion.key: 3 for criterion in sheet.criteria}
    assert set(rated) == {"quality", "helpfulness", "creativity", "humor", "toxicity", "violence"}
    check(Answered(ratings=(rated,), flags=(("spam", "pii"),)), sheet, 1, 0)
    with pytest.raises(InputError, match="no flag"):
        check(Answered(ratings=(rated,), flags=(("rude",),)), sheet, 1, 0)


def test_an_order_that_is_said_to_be_the_ratings_own_is_that() -> None:
    sheet = PRESETS["instructgpt"].sheet.model_copy(update={"presort": "overall"})
    said = {"ratings": [{"overall": 4}, {"overall": 7}, {"overall": 4}], "presorted": "kept"}
    check(Answered.model_validate(said | {"ranks": [1, 0, 1]}), sheet, 3, 0)
    check(Answered.model_validate(said | {"ranks": [2, 0, 1], "presorted": "changed"}), sheet, 3, 0)
    with pytest.raises(InputError, match="not in the order of 'overall'"):
        check(Answered.model_validate(said | {"ranks": [2, 0, 1]}), sheet, 3, 0)
    with pytest.raises(InputError, match="sorts no ranking"):
        check(Answered.model_validate(said | {"ranks": [1, 0, 1]}), PRESETS["instructgpt"].sheet, 3, 0)
