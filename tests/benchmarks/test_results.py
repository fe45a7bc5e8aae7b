"""The catalogue's names, the merged list, the page's table and the figures."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
from benchmarks.__main__ import expected
from benchmarks.catalogue import BENCHMARKS, chosen
from benchmarks.figures import figure

from benchmarks import results


def line(name: str, **changed: Any) -> dict[str, Any]:
    info = {"torch": "2.13.0", "threads": 2}
    one = {"median": 30, "low": 27, "high": 33, "repeats": 5, "settings": {"precision": "float32"}, "info": info}
    one |= {"pilot": {"precision float32": 30.0, "precision bfloat16": 12.0}}
    return {
        "name": name,
        "ours": 30.0,
        "peer": 10.0,
        "unit": "tokens/s",
        "ratio": 3.0,
        "goal": 2.0,
        "about": "a thing",
        "noisy": False,
        "opponent": "TRL",
        "sides": {"ours": one, "peer": one},
        "machine": "a box",
        "threads": 2,
        "when": "2026-11-21 10:00:00",
    } | changed


def test_names_are_unique_and_chosen_by_beginning_or_pattern() -> None:
    names = [benchmark.name for benchmark in BENCHMARKS]
    assert len(set(names)) == len(names)
    assert [b.name for b in chosen(["sft"])] == ["sft/1m", "sft/15m", "sft/110m"]
    assert {b.name for b in chosen(["sample/*/skewed"])} == {f"sample/{s}/skewed" for s in ("1m", "15m", "110m")}
    assert [b.name for b in chosen(["sample/1m/uniform"])] == ["sample/1m/uniform"]  # and not its bfloat16
    assert chosen([]) == BENCHMARKS
    with pytest.raises(ValueError, match="no benchmark is called 'sfft'"):
        chosen(["sfft"])


def test_both_sides_of_a_pair_are_given_the_same_work() -> None:
    for benchmark in BENCHMARKS:
        if benchmark.peer and "limit/" not in benchmark.name:
            assert dict(benchmark.ours.settings).items() <= dict(benchmark.peer.settings).items(), benchmark.name


def test_results_are_merged_by_name_in_the_catalogues_order() -> None:
    lines = results.merge(results.merge([line("dpo/1m")], line("sft/1m", ours=1.0)), line("sft/1m", ours=2.0))
    assert [(one["name"], one["ours"]) for one in lines] == [("sft/1m", 2.0), ("dpo/1m", 30.0)]


def test_the_table_says_what_reached_its_goal_and_what_did_not() -> None:
    rows = [results.row(line("a")), results.row(line("b", goal=4.0)), results.row(line("c", noisy=True))]
    assert "| **3.00** | 2 | 5 |" in rows[0] and "±10 %" in rows[0]
    assert "| 3.00 (short) | 4 |" in rows[1]
    assert "5, disturbed" in rows[2]
    failed = results.row(line("d", peer=None, ratio=None, failed="needs AVX512"))
    assert "| — |" in failed and "needs AVX512" in failed


def test_a_row_says_what_it_rests_on() -> None:
    """The repeats of both sides where they differ, and a start-up that was left out."""
    ours = line("a")["sides"]["ours"]
    peer = ours | {"repeats": 1, "info": {"vllm": "0.32.0", "start_seconds": 22.3}}
    found = results.row(line("a", sides={"ours": ours, "peer": peer}))
    assert found.endswith("| 5 and 1 |") and "TRL (start-up of 22 s left out)" in found


def test_the_notes_name_machine_versions_and_settings() -> None:
    text = results.table([line("sft/1m")])
    for words in ("a box", "torch 2.13.0", "2 threads", "`sft/1m` float32 against float32"):
        assert words in text


def test_the_page_keeps_what_stands_around_the_table() -> None:
    page = f"before\n{results.BEGIN}\nold\n{results.END}\nafter\n"
    assert results.with_table(page, "new") == f"before\n{results.BEGIN}\nnew\n{results.END}\nafter\n"
    with pytest.raises(ValueError, match="marks"):
        results.with_table("no marks", "new")


def test_the_shipped_page_is_made_from_the_shipped_results() -> None:
    assert results.table(results.read()).splitlines()[0] in results.PAGE.read_text(encoding="utf-8")


def test_a_figure_is_a_whole_svg_file() -> None:
    points = [{"at": at, "cost": cost, "predicted": 2.0} for at, cost in ((8, 2.0), (64, 1.5))]
    drawn = figure(line("scaling/rows", points=points))
    root = ElementTree.fromstring(drawn)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert sum(1 for _ in root.iter("{http://www.w3.org/2000/svg}path")) > 2


def test_only_undisturbed_figures_count_as_reached_and_what_has_none_is_named() -> None:
    aims = [benchmark for benchmark in BENCHMARKS if benchmark.goal]
    first, second, third = (line(benchmark.name, ratio=100.0) for benchmark in aims[:3])
    lines = [first, second | {"noisy": True}, third | {"ratio": 0.01}]
    _, counted, missing = results.standing(lines, "a box")
    assert counted == f"Of {len(aims)} goals 2 have an undisturbed figure and 1 are reached by it."
    assert f"`{aims[3].name}`" in missing and f"`{aims[1].name}`" not in missing
    assert len(results.standing([line(benchmark.name) for benchmark in BENCHMARKS], "a box")) == 2
    assert results.standing([first | {"ratio": None}], "a box")[1].endswith(
        "1 have an undisturbed figure and 0 are reached by it."
    )


def test_figures_of_another_machine_stand_apart() -> None:
    old = line("sft/1m", machine="an old box")
    text = results.table([old, line("dpo/1m", when="2026-11-22 10:00:00")])
    here, _, there = text.partition("not to be compared with the above (an old box)")
    assert "`dpo/1m` | 30" in here and "`sft/1m` | 30" in there and "`sft/1m` | 30" not in here
    assert "1 have an undisturbed figure and 0 are reached" in here and "Not measured yet: `sft/1m`" in here


def test_a_cards_figures_stand_apart_and_leave_the_count_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "card", lambda: "a card, 80 GiB")
    assert results.machine("cuda") == f"a card, 80 GiB; {results.machine()}"
    newer = line("card/sft/0.5b", machine="a card; a box", when="2026-11-22 10:00:00", ours=40_000.0)
    text = results.table([line("sft/1m"), newer])
    here, _, there = text.partition("On a card (a card; a box):")
    assert "`sft/1m` | 30" in here and "1 have an undisturbed figure" in here and "`card/" not in here
    assert "`card/sft/0.5b` | 40,000" in there and "`sft/1m`" not in there
    assert "run `make bench`" in results.table([newer]), "of the processor nothing is measured"


def test_the_list_says_how_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "read", lambda: [line("sft/1m", took=30)])
    assert expected(chosen(["sft/1m", "sft/15m"]), 2.0) == 30 + 120
