"""Which kind of work an operation counts as."""

from __future__ import annotations

import pytest
from benchmarks.where import kind_of


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("aten::addmm", "products"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", "attention"),
        ("aten::_softmax", "log-softmax of the head"),
        ("aten::_fused_adamw_", "the optimizer"),
        ("aten::index_select", "rows taken, put and joined"),
        ("aten::rsqrt", "norms, gates, turns and other sums"),
    ],
)
def test_an_operation_counts_once_as_the_first_kind_that_knows_it(operation: str, kind: str) -> None:
    assert kind_of(operation) == kind
