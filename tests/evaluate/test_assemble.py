"""What fell, in the order of its weight: surely before maybe, the last model before earlier ones."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from heedful.evaluate.assemble import Contest, warnings_section


def change(mean: float, p: float) -> dict[str, Any]:
    row = {"mean": mean, "low": mean - 0.1, "high": mean + 0.1, "before": 0.5, "after": 0.5 + mean}
    return row | {"p_holm": p, "clear": p < 0.05}


def test_clear_falls_of_the_last_model_stand_first_and_noise_never_before_them() -> None:
    criteria = {
        "dpo": {
            "sample": {"difference": {"harmlessness": change(-0.002, 0.74)}, "difference_by_family": {}},
            "greedy": {"difference": {}, "difference_by_family": {"claim.false": change(-0.43, 0.01)}},
        },
        "ppo": {
            "sample": {"difference": {"clarity": change(-0.01, 1.0)}, "difference_by_family": {}},
            "greedy": {
                "difference": {"correctness": change(0.3, 0.001), "detail": change(-0.2, 0.03)},
                "difference_by_family": {
                    "sum": change(-0.2, 0.89),
                    "claim.false": change(-0.42, 0.01),
                    "writing": change(-0.01, 0.9),  # less than is named without certainty
                },
            },
        },
    }
    same = {"sentence": "Yes.", "sentence_share": 0.1, "sentence_share_reference": 0.1}
    contest = cast("Contest", SimpleNamespace(reference="sft", later=["dpo", "ppo"]))
    found = warnings_section(contest, criteria, dict.fromkeys(("sft", "dpo", "ppo"), same))
    assert found["clear_warnings"] == 3
    assert [sentence.split(" falls")[0] for sentence in found["warnings"]] == [
        "ppo (greedy): the family 'claim.false'",
        "ppo (greedy): detail",
        "dpo (greedy): the family 'claim.false'",
        "ppo (greedy): the family 'sum'",
        "ppo (sample): clarity",
        "dpo (sample): harmlessness",
    ]
