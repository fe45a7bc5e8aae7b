"""Functions as rewards, several rewards as one, and what an answer is paid in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from heedful.config import Rewards
from heedful.config.paths import input_paths
from heedful.errors import InputError, Killed
from heedful.records import Message, Prompt
from heedful.rewards import Score
from heedful.rewards.build import build_reward, paid
from heedful.rewards.combined import CombinedReward, Part
from heedful.rewards.function import FunctionReward


def prompt(name: str, **meta: object) -> Prompt:
    return Prompt(id=name, messages=(Message("user", f"{name}: 2 + 2?"),), meta=meta)


class Given:
    """Scores that were written down."""

    def __init__(self, *values: float) -> None:
        self.values = values

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[Score]:
        return [Score(value) for value in self.values]


def test_a_function_in_a_file_sees_the_prompt_and_its_meta(tmp_path: Path) -> None:
    file = tmp_path / "rules.py"
    file.write_text("def right(prompt, completion):\n    return completion.strip() == prompt.meta['answer']\n")
    reward = FunctionReward.load(f"{file}:right")
    found = reward.score([prompt("a", answer="4"), prompt("b", answer="5")], [" 4 ", "4"])
    assert [score.value for score in found] == [1.0, 0.0]


def test_a_functions_own_network_computes_as_its_author_says() -> None:
    def product(prompt: Prompt, completion: str) -> float:
        ones = torch.ones(2, 2)
        return float((ones @ ones).dtype == torch.float32)

    with torch.autocast("cpu", torch.bfloat16):
        assert FunctionReward(product, "product").score([prompt("a")], ["x"])[0].value == 1.0
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


def test_a_function_in_a_module() -> None:
    found = FunctionReward.load("operator:ne").score([prompt("a")], ["x"])
    assert found[0].value == 1.0


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("json.loads(completion)", r"rules\.py, line 5: JSONDecodeError: Expecting value"),  # where it was called from
        ("raise SystemExit(3)", r"rules\.py, line 5: SystemExit: 3"),
    ],
)
def test_a_function_that_fails_is_named_with_its_line(tmp_path: Path, line: str, sentence: str) -> None:
    file = tmp_path / "rules.py"
    file.write_text(f"import json\n\n\ndef f(prompt, completion):\n    {line}\n")
    with pytest.raises(InputError, match=f"failed on the answer 'x' to prompt 'a': .*{sentence}"):
        FunctionReward.load(f"{file}:f").score([prompt("a")], ["x"])
    file.write_text("raise SystemExit(3)\n")
    with pytest.raises(InputError, match=r"rules\.py can't be imported: SystemExit: 3"):
        FunctionReward.load(f"{file}:f")


def test_a_second_signal_ends_a_run_inside_a_function_too() -> None:
    def stopped(prompt: Prompt, completion: str) -> float:
        raise Killed(143)

    with pytest.raises(Killed):
        FunctionReward(stopped, "f").score([prompt("a")], ["x"])


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("no_such_module_here:f", "module no_such_module_here can't be imported: ModuleNotFoundError"),
        ("operator:nowhere", "operator has no function 'nowhere'"),
        ("nowhere.py:f", r"nowhere\.py: there is no such file"),
        ("{folder}/broken.py:f", r"broken\.py can't be imported: SyntaxError"),
        ("{folder}/empty.py:f", r"has no function 'f' \(functions there: none\)"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, place: str, sentence: str) -> None:
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "empty.py").write_text("f = 3\n")
    with pytest.raises(InputError, match=sentence):
        FunctionReward.load(place.format(folder=tmp_path))


def test_parts_are_scaled_weighed_and_added() -> None:
    reward = CombinedReward(
        {"a": Part(Given(1.0, 3.0), weight=2.0, mean=1.0, std=4.0), "b": Part(Given(5.0, 0.0), weight=-1.0)}
    )
    found = reward.score([prompt("x"), prompt("y")], ["", ""])
    assert [score.value for score in found] == [0.0 - 5.0, 2 * 0.5 - 0.0]
    assert found[1].parts == {"a": 3.0, "b": 0.0}


def test_within_a_prompt_parts_of_any_scale_weigh_alike() -> None:
    """Prompt x is paid (0, 100) by one part and (.02, .01) by the other: they cancel."""
    big, small = Given(0.0, 7.0, 100.0), Given(0.2, 9.0, 0.1)
    reward = CombinedReward({"a": Part(big, within_prompt=True), "b": Part(small, within_prompt=True)})
    asked = [prompt("x"), replace(prompt("y"), id="x"), replace(prompt("x"), id="1")]  # not ids make prompts the same
    found = reward.score(asked, ["", "", ""])
    assert [score.value for score in found] == pytest.approx([0.0, 0.0, 0.0], abs=2e-3)
    assert found[2].parts == {"a": 100.0, "b": 0.1}


class Inner:
    """A score with parts of its own."""

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[Score]:
        return [Score(4.0, {"spread": 0.5})]


def test_what_a_part_is_made_of_is_kept() -> None:
    reward = CombinedReward({"a": Part(Inner(), weight=0.5), "b": Part(Given(1.0))})
    assert reward.score([prompt("x")], [""]) == [Score(3.0, {"a": 4.0, "b": 1.0, "a/spread": 0.5})]


@pytest.mark.parametrize("name", ["mean", "std", "total", "clipped", "length_correlation"])
def test_a_part_hides_no_figure_of_the_rollout(name: str) -> None:
    with pytest.raises(ValueError, match=f"would be logged as reward/{name}"):
        Rewards.model_validate({"parts": {name: {"type": "model", "model": "m"}}})


@pytest.mark.parametrize(
    ("combine", "penalty", "fits"),
    [("penalised", 0.5, True), ("penalised", 0.0, False), ("mean", 0.5, False), ("worst", 0.5, False)],
)
def test_a_penalty_belongs_to_penalised(combine: str, penalty: float, fits: bool) -> None:
    part = {"type": "ensemble", "members": "m", "combine": combine, "penalty": penalty}
    if fits:
        Rewards.model_validate({"parts": {"e": part}})
    else:
        with pytest.raises(ValueError, match="needs a penalty above 0"):
            Rewards.model_validate({"parts": {"e": part}})


def test_overlong_needs_a_price() -> None:
    with pytest.raises(ValueError, match="set it above 0, or drop overlong"):
        Rewards(model="m", overlong=0.2, missing_eos_penalty=0.0)


def test_what_an_answer_is_paid() -> None:
    scores, lengths, cut = [Score(3.0), Score(3.0), Score(-3.0)], [2, 8, 8], [False, True, True]
    rewards = Rewards(model="m", missing_eos_penalty=0.25)
    assert paid(scores, lengths, cut, rewards, limit=8).tolist() == [3.0, 2.75, -3.25]
    clipped = Rewards(model="m", missing_eos_penalty=0.25, clip=1.0)
    assert paid(scores, lengths, cut, clipped, limit=8).tolist() == [1.0, 0.75, -1.25]


def test_overlong_answers_pay_little_by_little() -> None:
    """Limit 20, zone 4: free up to 16, a quarter at 17, all at 20; an answer that the context cut earlier pays all."""
    rewards = Rewards(model="m", overlong=0.2, missing_eos_penalty=1.0)
    lengths, cut = [10, 16, 17, 19, 20, 12], [False, False, False, False, False, True]
    found = paid([Score(0.0)] * 6, lengths, cut, rewards, limit=20)
    assert found.tolist() == pytest.approx([0.0, 0.0, -0.25, -0.75, -1.0, -1.0])


def test_a_functions_file_is_an_input_of_the_stage() -> None:
    rewards = Rewards.model_validate(
        {
            "model": "rm",
            "parts": {
                "rule": {"type": "function", "function": "rules.py:f"},
                "other": {"type": "function", "function": "operator:ne"},
                "second": {"type": "model", "model": "rm2"},
            },
        }
    )
    assert [str(path) for path in input_paths(rewards)] == ["rm", "rules.py", "rm2"]


def test_functions_alone_need_no_model(tmp_path: Path) -> None:
    rewards = Rewards.model_validate({"parts": {"differs": {"type": "function", "function": "operator:ne"}}})
    assert build_reward(rewards, "cpu").score([prompt("a")], ["x"])[0].parts == {"differs": 1.0}
    for wrong in ("no-colon", "a:b:c", "m:1f"):
        with pytest.raises(ValueError, match="named as module:function"):
            Rewards.model_validate({"parts": {"x": {"type": "function", "function": wrong}}})
