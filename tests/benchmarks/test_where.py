"""Which kind of work an operation counts as, and what is timed of a metrics log."""

from __future__ import annotations

import pytest
from benchmarks.ours.training import behind_the_first, measured
from benchmarks.where import kind_of


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("aten::addmm", "products"),
        ("_BlockBackward", "a block's compiled work"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", "attention"),
        ("aten::_softmax", "log-softmax of the head"),
        ("aten::_fused_adamw_", "the optimizer"),
        ("aten::index_select", "rows taken, put and joined"),
        ("aten::rsqrt", "norms, gates, turns and other sums"),
    ],
)
def test_an_operation_counts_once_as_the_first_kind_that_knows_it(operation: str, kind: str) -> None:
    assert kind_of(operation) == kind


def test_a_rollout_is_timed_with_its_sampling() -> None:
    """Three rollouts of four steps: a line stands after step 1, after each rollout, and after step 10."""
    rows = [{"step": s, "time/step": t} for s, t in ((1, 90.0), (4, 1.0), (8, 3.0), (10, 5.0), (12, 1.0))]
    assert [(row["step"], taken) for row, taken in behind_the_first(rows, 4)] == [(8, 12.0), (10, 10.0), (12, 2.0)]
    assert measured({"stage": "ppo", "episodes": 64}, rows, 999.0) == {"work": 128.0, "seconds": 24.0}
