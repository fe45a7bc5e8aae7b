"""The way from the command to the first label, as it is timed."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.studio_first_label import measure
from benchmarks.studio_versus import HERE_OWN


@pytest.mark.slow
def test_the_demo_is_owned_by_its_link_and_takes_a_label(tmp_path: Path) -> None:
    seconds = measure(HERE_OWN, tmp_path)
    assert list(seconds) == ["start", "own", "label"]
