"""The select stage: the best answers become demonstrations, and the curve says what best-of-n is worth."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from math import log
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from rl_house import prompts, write

from heedful.config import SelectConfig
from heedful.data.sources import read_completions, read_demonstrations
from heedful.errors import InputError
from heedful.records import Completion, Message
from heedful.run import Run
from heedful.stages.select import select

ANSWERS = ("aaa", "a", "aa", "a")  # worth their length: 3, 1, 2, 1


@pytest.fixture
def answered(tmp_path: Path) -> str:
    (tmp_path / "rules.py").write_text("def length(prompt, text):\n    return len(text) + int(prompt.id)\n")
    rows = [
        Completion(prompt=prompt, text=text, policy="p", finish="eos", token_ids=(5,) * len(text), logprobs=())
        for prompt in prompts()
        for text in ANSWERS
    ]
    return write(tmp_path / "completions.jsonl", rows)


def rewards_of(answered: str) -> dict[str, object]:
    return {"parts": {"length": {"type": "function", "function": f"{Path(answered).parent / 'rules.py'}:length"}}}


def chosen(answered: str, **settings: object) -> tuple[Run, list[tuple[str, str]]]:
    folder = Path(answered).parent
    config = SelectConfig.model_validate({"completions": [answered], "rewards": rewards_of(answered)} | settings)
    run = Run(folder / "select", "select", seed=0)
    select(config, run)
    found = read_demonstrations(run.path / "demonstrations.jsonl")
    return run, [(one.prompt.id, one.completion) for one in found]


def test_the_best_answer_to_each_prompt_is_kept(answered: str) -> None:
    run, found = chosen(answered)
    assert found == [(str(i), "aaa") for i in range(6)]
    assert (run.summary["answers"], run.summary["prompts"], run.summary["demonstrations"]) == (24, 6, 6)


def test_more_a_prompt_and_fewer_prompts(answered: str) -> None:
    _, found = chosen(answered, keep=3, share=0.34)
    assert found == [(i, text) for i in "45" for text in ("aaa", "aa", "a")]  # equal texts once


def test_what_is_not_worth_enough_is_left_out(answered: str) -> None:
    _, found = chosen(answered, keep=2, at_least=7.0)
    assert found == [("4", "aaa"), ("5", "aaa"), ("5", "aa")]
    with pytest.raises(InputError, match="keeps nothing: the best whole answer is worth 8"):
        chosen(answered, at_least=9.0)


def cut_short(answered: str, texts: tuple[str, ...]) -> None:
    """Says of some of the answers that they were cut at their length limit."""
    given = read_completions(answered)
    write(Path(answered), [replace(one, finish="length" if one.text in texts else "eos") for one in given])


def test_an_answer_that_was_cut_is_never_a_demonstration(answered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(Run, "say", lambda self, text: said.append(text))
    cut_short(answered, ("aaa",))
    free = {"rewards": {"missing_eos_penalty": 0.0} | rewards_of(answered)}
    run, found = chosen(answered, **free, keep=3)
    assert found == [(str(i), text) for i in range(6) for text in ("aa", "a")]
    assert run.summary["cut"] == 6 and "6 of 24 answers were cut" in said[0]
    assert run.summary["worth_best"] == pytest.approx(3 + 2.5)  # it still is what the policy can say
    with pytest.raises(InputError, match="keeps nothing: the best whole answer is worth 7"):
        chosen(answered, **free, at_least=7.5)
    cut_short(answered, ANSWERS)
    with pytest.raises(InputError, match="every answer was cut at its length limit"):
        chosen(answered, **free)


def test_overlong_has_no_limit_to_be_a_share_of(answered: str) -> None:
    with pytest.raises(ValueError, match="leave it out"):
        chosen(answered, rewards={"overlong": 0.2} | rewards_of(answered))


def test_the_curve_by_hand(answered: str) -> None:
    """Worth 3, 1, 2, 1 (and 2.5 more, the mean of the prompts' numbers); the best of two: C(4,2) subsets."""
    run, _ = chosen(answered)
    rows = [json.loads(line) for line in (run.path / "best_of_n.jsonl").read_text().splitlines()]
    assert [row["n"] for row in rows] == [1, 2, 4]
    assert [row["worth"] - 2.5 for row in rows] == pytest.approx([7 / 4, (3 * 3 + 2 * 2 + 1) / 6, 3.0])
    assert rows[0]["kl"] == pytest.approx(0.0, abs=1e-9)
    # texts: aaa ¼, aa ¼, a ½; of two draws the best is aaa 7/16, aa 5/16, a 4/16
    kl = 7 / 16 * log(7 / 4) + 5 / 16 * log(5 / 4) + 4 / 16 * log(1 / 2)
    assert rows[1]["kl"] == pytest.approx(kl)
    assert rows[1]["kl"] < rows[1]["kl_bound"]


def test_two_files_of_prompts_1_to_n_are_not_mixed(answered: str) -> None:
    """The second file asks other questions under the same ids: six more prompts, each with its own best answer."""
    rows = [
        replace(
            one,
            prompt=replace(one.prompt, messages=(Message("user", f"Else, {one.prompt.messages[0].content}"),)),
            text=one.text.upper(),
        )
        for one in read_completions(answered)
    ]
    other = write(Path(answered).with_name("other.jsonl"), rows)
    run, found = chosen(answered, completions=[answered, other])
    assert run.summary["prompts"] == 12
    assert found == [(str(i), text) for text in ("aaa", "AAA") for i in range(6)]
