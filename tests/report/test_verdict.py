"""The verdict follows from evaluation.json alone; each target has a case on either side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heedful.errors import InputError
from heedful.report.terminal import verdict
from heedful.report.verdict import Finding, findings, headline_policy, page_findings, tally
from heedful.run import console


def row(result: dict[str, Any], policy: str, against: str, decoding: str) -> dict[str, Any]:
    wanted = (policy, against, decoding, "gold")
    return next(r for r in result["win_rate"] if (r["policy"], r["against"], r["decoding"], r["judge"]) == wanted)


def the(found: list[Finding], words: str) -> Finding:
    return next(f for f in found if words in f.text)


def test_the_primary_endpoint_stands_first_and_prefers_the_best_temperature(result: dict[str, Any]) -> None:
    assert findings(result)[0].text.startswith("Primary: ppo against sft, sampled at T = 1")
    result["win_rate"].append({**row(result, "ppo", "sft", "greedy"), "decoding": "best", "low": 0.49})
    first = findings(result)[0]
    assert first.text.startswith("Primary: ppo against sft, each at its best temperature") and first.state == "fail"


@pytest.mark.parametrize(
    ("policy", "against", "decoding", "low", "state", "words"),
    [
        ("ppo", "sft", "sample", 0.501, "pass", "ppo against sft, sampled"),
        ("ppo", "sft", "sample", 0.500, "fail", "ppo against sft, sampled"),
        ("ppo", "sft", "greedy", 0.499, "fail", "ppo against sft, greedy"),
        ("ppo", "pretrain", "sample", 0.850, "pass", "ppo against pretrain"),
        ("ppo", "pretrain", "sample", 0.849, "fail", "ppo against pretrain"),
    ],
)
def test_lower_bounds_decide(
    result: dict[str, Any], policy: str, against: str, decoding: str, low: float, state: str, words: str
) -> None:
    row(result, policy, against, decoding)["low"] = low
    assert the(findings(result), words).state == state


def test_a_base_of_another_size_is_held_to_the_even_chance(result: dict[str, Any]) -> None:
    row(result, "ppo", "pretrain", "sample")["low"] = 0.6
    assert the(findings(result), "ppo against pretrain").state == "fail"
    result["parameters"]["pretrain"] = 12_000_000
    larger = the(findings(result), "ppo against pretrain")
    assert larger.state == "pass" and larger.text.startswith("against 12.0 times as many parameters")


def change_over_refusal(result: dict[str, Any]) -> None:
    result["over_refusal"]["ppo"]["increase_high"] = 0.021


def change_reward(result: dict[str, Any]) -> None:
    result["reward_model"]["accuracy"] = 0.700


def change_truth(result: dict[str, Any]) -> None:
    result["criteria"]["ppo"]["sample"]["difference"]["total"]["low"] = -0.001


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (change_over_refusal, "harmless look-alikes"),
        (change_reward, "the reward model agrees"),
        (change_truth, "the truth (gold) rises"),
    ],
)
def test_each_target_can_fail(result: dict[str, Any], change: Callable[[dict[str, Any]], None], words: str) -> None:
    assert the(findings(result), words).state == "pass"
    change(result)
    assert the(findings(result), words).state == "fail"


def test_a_win_at_temperature_one_alone_is_called_sharpening(result: dict[str, Any]) -> None:
    assert not any("sharpening" in f.text for f in findings(result))
    row(result, "ppo", "sft", "greedy")["low"] = 0.45
    assert the(findings(result), "sharpening").state == "fail"


def test_a_win_by_length_alone_is_named(result: dict[str, Any]) -> None:
    row(result, "ppo", "sft", "sample")["length_controlled"] = 0.48
    assert the(findings(result), "at equal length").state == "fail"


def test_clear_falls_count_and_falls_within_noise_are_named(result: dict[str, Any]) -> None:
    result["warnings"] = ["ppo collapsed into 'I don't know'", "honesty falls, within noise"]
    result["clear_warnings"] = 1
    found = findings(result)
    assert found[-1] == Finding("note", "honesty falls, within noise")
    fault = found.index(Finding("fail", "ppo collapsed into 'I don't know'"))
    assert fault < min(found.index(the(found, words)) for words in ("dpo against sft", "prefers ppo to sft", "tax"))


def test_the_page_keeps_clear_falls_and_counts_the_others(result: dict[str, Any]) -> None:
    result["warnings"] = ["ppo collapsed into 'I don't know'", "honesty falls", "the family 'sum' falls"]
    result["clear_warnings"] = 1
    shown = page_findings(result)
    assert Finding("fail", "ppo collapsed into 'I don't know'") in shown
    assert shown[-1] == Finding("note", "2 falls that may be chance are named under “No harm done?”")
    result["warnings"] = []
    result["clear_warnings"] = 0
    assert page_findings(result) == findings(result)


def test_the_order_of_answers_is_said_pair_by_pair(result: dict[str, Any]) -> None:
    """Beside chance, and where a pair is told no better than by a coin, or the wrong way round, in words."""
    words = "detailed and clear > vague > wrong"
    sure = the(findings(result), words)
    assert sure.state == "note" and "no better than chance" not in sure.text
    assert "71.0\N{NO-BREAK SPACE}% [64.0, 78.0] of 220 unseen prompts (by chance on 17\N{NO-BREAK SPACE}%" in sure.text
    pair = result["reward_model"]["ladder"]["pairs"][2]
    pair |= {"rate": 0.41, "low": 0.33, "high": 0.504}
    coin = the(findings(result), words)
    assert coin.state == "note"
    assert coin.text.endswith("vague over wrong 41.0\N{NO-BREAK SPACE}% [33.0, 50.4] (no better than chance)")
    pair["high"] = 0.499
    reversed_order = the(findings(result), words)
    assert reversed_order.state == "fail" and reversed_order.text.endswith("(the wrong way round)")
    del result["reward_model"]["ladder"]["pairs"]
    assert not any(words in f.text for f in findings(result))


@pytest.mark.parametrize(
    ("low", "length", "near"), [(0.498, 0.45, True), (0.53, 0.54, True), (0.53, 0.52, False), (0.51, 0.505, False)]
)
def test_a_judges_preference_stands_beside_its_own_accuracy(
    result: dict[str, Any], low: float, length: float, near: bool
) -> None:
    result["reward_models"]["audit"] |= {"accuracy": 0.542, "low": low, "high": 0.589, "length_only": length}
    said = the(findings(result), "the reward model 'audit' prefers ppo to sft").text
    assert f"it is right on 54.2\N{NO-BREAK SPACE}% [{100 * low:.1f}, 58.9] of its held-out labels" in said
    assert said.endswith(": near chance") == near
    result["reward_models"] = {}
    assert "held-out" not in the(findings(result), "the reward model 'audit' prefers ppo to sft").text


def test_targets_and_faults_beside_them_are_counted_apart(result: dict[str, Any]) -> None:
    assert tally(findings(result)) == "6 of 6 targets met"
    row(result, "ppo", "sft", "greedy")["low"] = 0.45  # one target missed, and the sharpening it shows
    assert tally(findings(result)) == "5 of 6 targets met, 1 fault besides"
    assert tally([Finding("note", "nothing to compare")]) == ""


def test_the_last_round_of_ppo_is_the_headline(result: dict[str, Any]) -> None:
    assert headline_policy(result) == "ppo"
    result["models"] = ["pretrain", "sft", "ppo", "ppo-2", "dpo"]
    assert headline_policy(result) == "ppo-2"
    result["models"] = ["base", "dpo"]
    assert headline_policy(result) == "dpo"


def test_one_model_alone_has_no_verdict(result: dict[str, Any]) -> None:
    assert [f.state for f in findings(result | {"win_rate": []})] == ["note"]


def test_the_terminal_says_the_same(root: Path, tmp_path: Path) -> None:
    with console.capture() as captured:
        verdict(root)
    text = " ".join(captured.get().split())
    assert "demo: 6 of 6 targets met" in text and "✓ Primary: ppo against sft" in text
    with pytest.raises(InputError, match="run the recipe's evaluate stage first"):
        verdict(tmp_path)


def test_a_policys_own_reward_is_no_evidence(result: dict[str, Any]) -> None:
    """Without a truth, a reward model that trained nothing judges; where there is none, the win is a note."""
    result["truth"] = ""
    result["judges"] = ["reward", "audit"]
    assert "audit prefers it" in findings(result)[0].text
    result["judges"] = ["reward"]
    for win_rate in result["win_rate"]:
        win_rate["judge"] = "reward"
    first = findings(result)[0]
    assert first.state == "note" and "own training signal" in first.text


def test_a_judge_that_is_no_better_than_a_coin_is_no_evidence(result: dict[str, Any]) -> None:
    """Where a reward model judges, its own accuracy stands beside what it says."""
    result["truth"], result["judges"] = "", ["audit"]
    report = {"pairs": 300, "accuracy": 0.6, "low": 0.55, "high": 0.65, "length_only": 0.52}
    result["reward_models"] = {"audit": report}
    first = findings(result)[0]
    assert first.state == "pass" and "audit is a reward model, right on 60.0\xa0% [55.0, 65.0]" in first.text
    report["low"] = 0.51
    first = findings(result)[0]
    assert first.state == "note" and first.text.endswith("near chance, so it is no evidence")
    result["truth"], result["judges"] = "audit", ["audit"]
    assert "reward model" not in findings(result)[0].text


def test_people_take_the_place_of_the_truth(result: dict[str, Any]) -> None:
    reward = result["reward_model"]
    for key in [key for key in reward if key.startswith(("gold", "short_of_gold", "ceiling"))]:
        del reward[key]
    assert "the raters' own agreement: not enough data" in the(findings(result), "the reward model agrees").text
    reward |= {"raters_agree": 0.71, "raters_agree_low": 0.66, "raters_agree_high": 0.76, "overlapping": 300}
    reward |= {"ceiling": 0.78, "ceiling_low": 0.74, "ceiling_high": 0.82}
    found = the(findings(result), "the reward model agrees")
    assert "the majority of the other raters 71.0\xa0% [66.0, 76.0] on 300 pairs" in found.text
    assert "ceiling 78.0\xa0% [74.0, 82.0]" in found.text and found.state == "note"
