"""Charts whose meaning hangs on the stage's settings."""

from __future__ import annotations

import pytest

from heedful.report.figures import loss_charts
from heedful.report.read import Stage


@pytest.mark.parametrize(
    ("loss", "title"),
    [
        ("dpo", "Log-probability against the reference"),
        ("kto", "Log-probability against the reference"),
        ("simpo", "Log-probability (the loss has no reference)"),
        ("orpo", "Log-probability (the loss has no reference)"),
    ],
)
def test_drift_is_told_from_likelihood_and_displacement_is_explained(loss: str, title: str) -> None:
    rows = [{"step": step, "logps/chosen": -1.0 * step, "logps/rejected": -2.0 * step} for step in (1, 2)]
    chart, *_ = loss_charts([Stage("dpo", "dpo", None, rows, {}, [], {"loss": {"type": loss}})])
    assert f"<b>{title}</b>" in chart
    assert "displacement" in chart
