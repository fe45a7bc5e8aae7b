"""No loss without a value worked by hand: every algorithm of the unions has its test named here."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, get_args

import pytest

from heedful.config.direct import PairedLoss, UnpairedLoss
from heedful.config.reward import RewardLoss
from heedful.config.rl import RLAlgorithm

TESTS = Path(__file__).parents[1] / "algorithms"
GROUPS, DUELS = "on_policy/test_critic_free.py", "on_policy/test_duels.py"
RIGHT = "reward/test_correctness.py"
ON_POLICY = {
    "rloo": (GROUPS, "test_rloo_by_hand_with_the_kl_in_the_reward"),
    "grpo": (GROUPS, "test_advantages_by_hand_in_groups_of_two"),
    "dr_grpo": (GROUPS, "test_advantages_by_hand_in_groups_of_two"),
    "reinforce_pp": (GROUPS, "test_reinforce_pp_credits_a_token_with_what_comes_after_it"),
    "dapo": (GROUPS, "test_what_a_moved_token_costs"),
    "gspo": (GROUPS, "test_gspo_takes_the_geometric_mean_of_an_answers_ratios"),
    "cispo": (GROUPS, "test_cispo_keeps_the_gradient_of_a_token_whose_weight_is_cut"),
    "sapo": (GROUPS, "test_what_a_moved_token_costs"),
    "nash_md": (GROUPS, "test_wins_by_hand"),
    "online_dpo": (DUELS, "test_by_hand_away_from_the_reference"),
    "xpo": (DUELS, "test_xpos_bonus_lowers_what_the_reference_wrote"),
}
REWARD = {
    "bradley_terry": ("reward/test_bradley_terry.py", "test_hand_worked_pair_and_gradient"),
    "plackett_luce": ("reward/test_plackett_luce.py", "test_hand_worked_ranking_of_three"),
    "odin": ("reward/test_odin.py", "test_the_whole_loss_by_hand"),
    "pairwise": ("reward/test_pairwise.py", "test_by_hand"),
    "regression": ("reward/test_regression.py", "test_hand_worked_loss_and_gradient"),
    "outcome": (RIGHT, "test_nothing_known_costs_ln_2_and_one_logit_by_hand"),
    "process": (RIGHT, "test_a_process_head_is_the_usual_cross_entropy_each_answer_weighing_one"),
}


def kinds(union: Any) -> list[str]:
    return [kind.model_fields["type"].default for kind in get_args(union)]


DIRECT = {kind: ("direct/test_by_hand.py", f"test_{kind}") for kind in kinds(PairedLoss | UnpairedLoss)}
HAND = DIRECT | ON_POLICY | REWARD


def test_every_loss_of_the_unions_is_named() -> None:
    assert set(ON_POLICY) == set(kinds(RLAlgorithm))
    assert set(REWARD) == set(kinds(get_args(RewardLoss)[0]))


@pytest.mark.parametrize("kind", HAND)
def test_its_hand_worked_test_is_there(kind: str) -> None:
    file, name = HAND[kind]
    tests = {
        node.name: node for node in ast.parse((TESTS / file).read_text()).body if isinstance(node, ast.FunctionDef)
    }
    assert name in tests, f"{file} lacks {name}: a value of {kind} worked by hand"
    assert any(isinstance(node, ast.Assert) for node in ast.walk(tests[name]))
