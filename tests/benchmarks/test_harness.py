"""The harness on fake figures: who is measured when, what is kept, and what a result says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pytest
from benchmarks.catalogue import Benchmark, Side
from benchmarks.harness import Harness, Measured, Repeat, result
from benchmarks.process import SideFailed

from benchmarks import harness as harness_module


class FakeSide:
    """A side whose rate is its settings' `rate`, or whose words say why it fails."""

    pid = os.getpid()

    def __init__(self, name: str, settings: Mapping[str, Any], calls: list[str]) -> None:
        self.name, self.settings, self.calls = name, settings, calls

    def __enter__(self) -> FakeSide:
        return self

    def __exit__(self, *_: object) -> None:
        self.calls.append(f"{self.name} ends")

    def ready(self, limit: float) -> dict[str, Any]:
        if "fails" in self.settings:
            raise SideFailed(self.settings["fails"])
        return {"version": self.name}

    def repeat(self, limit: float) -> dict[str, Any]:
        if limit < self.settings.get("takes", 0):
            raise SideFailed(f"gave no answer within {limit:.0f} s")
        self.calls.append(f"{self.name} {self.settings.get('pilot', '') and 'pilot'}".strip())
        return {"work": self.settings["rate"], "seconds": 1.0, "peak_gib": self.settings["rate"]}


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness_module, "wait_for_quiet", lambda patience: 0.0)


def benchmark(ours: Side, peer: Side | None, **changed: Any) -> Benchmark:
    settings = {"name": "x", "about": "a thing", "unit": "tokens/s", "goal": 2.0} | changed
    return Benchmark(ours=ours, peer=peer, **settings)


def measured(found: Benchmark, *, minutes: float = 1.0, repeats: int = 3) -> tuple[dict[str, Any], list[str]]:
    calls: list[str] = []
    harness = Harness(
        start=lambda side, settings: FakeSide(side.environment, settings, calls),
        say=lambda text: None,
        minutes=minutes,
        repeats=repeats,
    )
    return harness.measure(found), calls


def test_sides_take_turns_and_the_ratio_is_ours_over_the_peers() -> None:
    line, calls = measured(benchmark(Side("ours", "t", {"rate": 30.0}), Side("trl", "t", {"rate": 10.0}, label="TRL")))
    assert calls == ["ours", "trl", "ours", "trl", "ours", "trl", "trl ends", "ours ends"]
    assert (line["ours"], line["peer"], line["ratio"], line["unit"], line["goal"]) == (30.0, 10.0, 3.0, "tokens/s", 2.0)
    assert line["opponent"] == "TRL"


def test_less_memory_is_better() -> None:
    ours, peer = Side("ours", "t", {"rate": 2.0}), Side("trl", "t", {"rate": 3.0})
    line, calls = measured(benchmark(ours, peer, unit="GiB", less_is_better=True, kind="once"))
    assert line["ratio"] == 1.5
    assert calls.count("ours") == 1


def test_the_pilot_takes_the_fastest_candidate_and_passes_over_one_that_fails() -> None:
    candidates = ({"rate": 5.0}, {"rate": 50.0, "fails": "no such kernel"}, {"rate": 9.0})
    line, calls = measured(benchmark(Side("ours", "t", {}, candidates), None))
    assert line["ours"] == 9.0
    assert line["sides"]["ours"]["pilot"]["rate 50.0, fails no such kernel"] == "no such kernel"
    assert calls.count("ours pilot") == 2


def test_the_pilot_waits_for_no_candidate_far_slower_than_another() -> None:
    line, _ = measured(benchmark(Side("ours", "t", {}, ({"rate": 5.0}, {"rate": 1.0, "takes": 800})), None))
    assert line["ours"] == 5.0
    assert line["sides"]["ours"]["pilot"]["rate 1.0, takes 800"] == "gave no answer within 5 s"


def test_a_peer_that_fails_leaves_its_words() -> None:
    line, _ = measured(
        benchmark(Side("ours", "t", {"rate": 5.0}), Side("vllm", "t", {}, ({"fails": "needs AVX512"},) * 2))
    )
    assert line["ours"] == 5.0
    assert line["peer"] is None and line["ratio"] is None
    assert "needs AVX512" in line["failed"]


def test_a_peer_with_one_setting_that_fails_leaves_its_words_too() -> None:
    line, _ = measured(benchmark(Side("ours", "t", {"rate": 5.0}), Side("vllm", "t", {"fails": "needs AVX512"})))
    assert line["ours"] == 5.0 and line["ratio"] is None
    assert line["failed"] == "needs AVX512"


def test_our_own_failure_is_said() -> None:
    with pytest.raises(SideFailed, match="broken"):
        measured(benchmark(Side("ours", "t", {"fails": "broken"}), Side("trl", "t", {"rate": 1.0})))


def test_no_time_still_gives_one_turn() -> None:
    line, calls = measured(benchmark(Side("ours", "t", {"rate": 1.0}), Side("trl", "t", {"rate": 1.0})), minutes=0.0)
    assert calls[:2] == ["ours", "trl"] and calls.count("ours") == 1
    assert line["sides"]["ours"]["repeats"] == 1


def side(*repeats: tuple[float, float]) -> Measured:
    return Measured({}, repeats=[Repeat(value, 1.0, others, {}) for value, others in repeats])


def test_disturbed_repeats_are_left_out() -> None:
    line = result(benchmark(Side("ours", "t", {}), None), side((10, 0.0), (2, 0.9), (12, 0.1)), None, "")
    assert line["ours"] == 11 and not line["noisy"]
    assert line["sides"]["ours"]["disturbed"] == 1


def test_a_figure_without_an_undisturbed_repeat_is_marked() -> None:
    line = result(benchmark(Side("ours", "t", {}), None), side((10, 0.3), (2, 0.9)), None, "")
    assert line["ours"] == 6 and line["noisy"]


def test_points_are_held_to_the_first_one() -> None:
    def row(factor: float) -> dict[str, Any]:
        points = [(128, 2.0, 1.0), (256, 5.0, 2.0)]
        return {"points": [{"at": at, "cost": factor * cost, "predicted": p} for at, cost, p in points]}

    ours = Measured({}, repeats=[Repeat(1.0, 1.0, 0.0, row(factor)) for factor in (0.5, 1.0, 3.0)])
    line = result(benchmark(Side("ours", "t", {}), None, kind="points", unit="µs/token"), ours, None, "")
    assert [point["predicted"] for point in line["points"]] == [2.0, 4.0]
    assert line["ratio"] == pytest.approx(4.0 / 5.0)
