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
    """A side whose rate is its settings' `rate`, or whose words say why it fails; it remembers what it was asked."""

    pid = os.getpid()

    def __init__(self, name: str, calls: list[str], broken: str) -> None:
        self.name, self.calls, self.broken = name, calls, broken

    def __enter__(self) -> FakeSide:
        self.calls.append(f"{self.name} begins")
        return self

    def __exit__(self, *_: object) -> None:
        self.calls.append(f"{self.name} ends")

    def ready(self, limit: float) -> None:
        if self.broken:
            raise SideFailed(self.broken)

    def repeat(self, settings: Mapping[str, Any], limit: float) -> dict[str, Any]:
        if "fails" in settings:
            raise SideFailed(settings["fails"])
        if limit < settings.get("takes", 0):
            raise SideFailed(f"gave no answer within {limit:.0f} s")
        self.calls.append(f"{self.name} {'shortly' if 'short' in settings else ''}".strip())
        return {"work": settings["rate"], "seconds": 1.0, "peak_gib": settings["rate"], "info": {"version": self.name}}


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness_module, "wait_for_quiet", lambda patience: 0.0)


def benchmark(ours: Side, peer: Side | None, **changed: Any) -> Benchmark:
    settings = {"name": "x", "about": "a thing", "unit": "tokens/s", "goal": 2.0, "short": {"short": True}} | changed
    return Benchmark(ours=ours, peer=peer, **settings)


def measured(
    found: Benchmark, *, minutes: float = 1.0, repeats: int = 3, broken: str = ""
) -> tuple[dict[str, Any], list[str]]:
    """`broken`: what stands in the way of a peer's process."""
    calls: list[str] = []
    harness = Harness(
        start=lambda side: FakeSide(side.environment, calls, broken if side.environment != "ours" else ""),
        say=lambda text: None,
        minutes=minutes,
        repeats=repeats,
    )
    return harness.measure(found), calls


def test_sides_take_turns_after_a_short_run_and_the_ratio_is_ours_over_the_peers() -> None:
    line, calls = measured(benchmark(Side("ours", "t", {"rate": 30.0}), Side("trl", "t", {"rate": 10.0}, label="TRL")))
    beginning = ["ours begins", "ours shortly", "trl begins", "trl shortly"]
    assert calls == [*beginning, *["ours", "trl"] * 3, "trl ends", "ours ends"]
    assert (line["ours"], line["peer"], line["ratio"], line["unit"], line["goal"]) == (30.0, 10.0, 3.0, "tokens/s", 2.0)
    assert line["opponent"] == "TRL"
    assert line["sides"]["peer"]["info"] == {"version": "trl"}


def test_less_memory_is_better_and_peaks_are_those_of_fresh_processes() -> None:
    ours, peer = Side("ours", "t", {"rate": 2.0}), Side("trl", "t", {"rate": 3.0})
    line, calls = measured(benchmark(ours, peer, unit="GiB", less_is_better=True, kind="once"))
    assert line["ratio"] == 1.5
    assert calls == ["ours begins", "ours", "trl begins", "trl", "trl ends", "ours ends"]


def test_the_pilot_takes_the_fastest_setting_and_passes_over_one_that_fails() -> None:
    options = ({"rate": 5.0}, {"rate": 50.0, "fails": "no such kernel"}, {"rate": 9.0})
    line, calls = measured(benchmark(Side("ours", "t", {}, (options,)), None))
    assert line["ours"] == 9.0
    assert line["sides"]["ours"]["pilot"] == {
        "rate 5.0": 5.0,
        "rate 50.0, fails no such kernel": "no such kernel",
        "rate 9.0": 9.0,
    }
    assert calls.count("ours shortly") == 2
    assert calls.count("ours begins") == 2, "a new process after the one that failed"


def test_close_settings_are_run_again_and_far_ones_are_not() -> None:
    options = ({"rate": 10.0}, {"rate": 9.0}, {"rate": 2.0})
    line, calls = measured(benchmark(Side("ours", "t", {}, (options,)), None))
    assert line["ours"] == 10.0
    assert calls.count("ours shortly") == 3 + 2 + 2


def test_questions_are_answered_one_after_the_other() -> None:
    questions = (({"rate": 3.0}, {"rate": 7.0}), ({}, {"padding_free": True}, {"padding_free": True, "rate": 4.0}))
    line, _ = measured(benchmark(Side("ours", "t", {}, questions), None))
    assert line["sides"]["ours"]["settings"]["rate"] == 7.0
    assert set(line["sides"]["ours"]["pilot"]) == {
        "rate 3.0",
        "rate 7.0",
        "rate 7.0, padding_free True",
        "rate 4.0, padding_free True",
    }


def test_a_side_that_cannot_be_set_anew_has_a_process_for_each_setting() -> None:
    options = ({"rate": 9.0}, {"rate": 5.0})
    line, calls = measured(benchmark(Side("vllm", "t", {}, (options,), alone=True), None, short={}), repeats=2)
    assert line["ours"] == 9.0
    assert calls == [
        *["vllm begins", "vllm", "vllm ends"] * 2,
        *["vllm begins", "vllm", "vllm", "vllm", "vllm ends"],
    ], "the last one runs once before it is timed"


def test_the_pilot_waits_for_no_setting_far_slower_than_another() -> None:
    line, _ = measured(benchmark(Side("ours", "t", {}, (({"rate": 5.0}, {"rate": 50.0, "takes": 800}),)), None))
    assert line["ours"] == 5.0
    assert line["sides"]["ours"]["pilot"]["rate 50.0, takes 800"] == "gave no answer within 20 s"


def test_a_peer_that_fails_leaves_its_words() -> None:
    peer = Side("vllm", "t", {}, (({"fails": "needs AVX512"}, {"fails": "needs more"}),))
    line, _ = measured(benchmark(Side("ours", "t", {"rate": 5.0}), peer))
    assert line["ours"] == 5.0
    assert line["peer"] is None and line["ratio"] is None
    assert "needs AVX512" in line["failed"] and "needs more" in line["failed"]


def test_a_peer_that_cannot_begin_leaves_its_words_too() -> None:
    line, _ = measured(
        benchmark(Side("ours", "t", {"rate": 5.0}), Side("vllm", "t", {"rate": 1.0})), broken="not installed"
    )
    assert line["ours"] == 5.0 and line["ratio"] is None
    assert line["failed"] == "not installed"


def test_our_own_failure_is_said() -> None:
    with pytest.raises(SideFailed, match="broken"):
        measured(benchmark(Side("ours", "t", {"fails": "broken"}), Side("trl", "t", {"rate": 1.0})))


def test_no_time_still_gives_one_turn() -> None:
    line, calls = measured(benchmark(Side("ours", "t", {"rate": 1.0}), Side("trl", "t", {"rate": 1.0})), minutes=0.0)
    assert calls.count("ours") == calls.count("trl") == 1
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
