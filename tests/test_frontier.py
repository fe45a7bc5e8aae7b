"""`heedful frontier` on made folders: lines, best-of-n, the page, and what can't be set side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heedful.errors import InputError
from heedful.frontier import frontier

IDS = [str(i) for i in range(6)]


def rows(model: str, golds: list[float], group: str = "seen") -> list[dict[str, Any]]:
    """One answer for each of `golds` to every prompt; the reward model sees the truth."""
    return [
        {
            "id": prompt, "group": group, "model": model, "decoding": "sample", "text": f"text {gold}",
            "scores": {"gold": gold, "reward": gold},
        }
        for prompt in IDS for gold in golds
    ]  # fmt: skip


def evaluated(root: Path, kl: float, golds: list[float], start: list[float], **changes: object) -> None:
    stage = root / "02-evaluate"
    stage.mkdir(parents=True)
    (stage / "config.toml").write_text("")
    unlike = rows("dpo", [99.0], group="nowhere")
    greedy = [row | {"decoding": "greedy"} for row in rows("dpo", [99.0])]
    lines = [*rows("sft", start), *rows("dpo", golds), *unlike, *greedy]
    (stage / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    earlier = root / "01-look"  # an evaluation on other prompts, before the one whose figures stand at the top
    earlier.mkdir()
    (earlier / "answers.jsonl").write_text("".join(json.dumps(row | {"id": "other"}) + "\n" for row in lines[:3]))
    evaluation = {"models": ["sft", "dpo"], "reference": "sft", "truth": "gold", "judges": ["gold", "reward"]}
    (root / "evaluation.json").write_text(json.dumps(evaluation | {"kl": {"dpo": {"mean": kl}}} | changes))


def swept(root: Path, key: str, cells: dict[str, tuple[float, float]], **changes: object) -> Path:
    """A sweep along one key with two seeds; a cell is (KL, gold)."""
    table = []
    for value, (kl, gold) in cells.items():
        for seed in ("0", "1"):
            name = f"{value}_{seed}"
            table.append({"name": name, "settings": {key: value, "seed": seed}, "error": ""})
            evaluated(root / name, kl, [gold - 0.1, gold + 0.1], [0.5], **changes)
    grid = {key: list(cells), "seed": ["0", "1"]}
    (root / "sweep.json").write_text(json.dumps({"grid": grid, "policy": "", "cells": table}))
    return root


def test_sweeps_are_lines_of_one_chart(tmp_path: Path) -> None:
    dpo = swept(tmp_path / "dpo-sweep", "dpo.loss.beta", {"0.1": (1, 0.7), "0.03": (2, 0.8)})
    ipo = swept(tmp_path / "ipo-sweep", "dpo.loss.tau", {"0.1": (1, 0.6)})
    table = json.loads((frontier([dpo, ipo], tmp_path / "out", []) / "frontier.json").read_text())
    assert (table["start"], table["prompts"]) == (0.5, 6)
    first, second = table["lines"]
    assert (first["line"], first["seeds"], second["line"]) == ("dpo", 2, "ipo")
    assert [(d["label"], d["seeds"], d["kl"], pytest.approx(d["truth"])) for d in first["points"]] == [
        ("0.1", 2, 1, 0.7),
        ("0.03", 2, 2, 0.8),
    ]
    assert first["area"] == pytest.approx(0.2 / 2)  # 0.2 from 1 to 2 nats
    assert second["difference"] == pytest.approx(-0.1 / 2)
    page = (tmp_path / "out" / "frontier.html").read_text()
    assert "2 ways of training, 6 prompts" in page and "more than dpo" in page


def test_best_of_n_comes_from_the_draws_of_an_evaluation(tmp_path: Path) -> None:
    dpo = swept(tmp_path / "dpo-sweep", "dpo.loss.beta", {"0.1": (1, 0.7)})
    evaluated(tmp_path / "many", 1, [0.5], [0.0, 0.0, 1.0, 1.0])
    out = frontier([dpo], tmp_path / "out", [tmp_path / "many"])
    line = json.loads((out / "frontier.json").read_text())["lines"][1]
    assert line["line"] == "best of n" and [dot["label"] for dot in line["points"]] == ["n = 2", "n = 4"]
    assert [dot["truth"] for dot in line["points"]] == pytest.approx(
        [5 / 6, 1]
    )  # 1 − C(2,2)/C(4,2), and the best of all
    assert line["points"][0]["kl"] == pytest.approx(0.130812)  # of (¼, ¾) to (½, ½): the KL at two draws


def test_each_run_of_best_of_n_is_a_seed(tmp_path: Path) -> None:
    dpo = swept(tmp_path / "dpo-sweep", "dpo.loss.beta", {"0.1": (1, 0.7)})
    evaluated(tmp_path / "one", 1, [0.5], [0.0, 0.0, 1.0, 1.0])
    evaluated(tmp_path / "two", 1, [0.5], [0.0, 0.0, 0.0, 1.0])
    out = frontier([dpo], tmp_path / "out", [tmp_path / "one", tmp_path / "two"])
    line = json.loads((out / "frontier.json").read_text())["lines"][1]
    assert line["seeds"] == 2 and [dot["seeds"] for dot in line["points"]] == [2, 2]
    assert line["points"][0]["truth"] == pytest.approx((5 / 6 + 1 / 2) / 2)


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    dpo = swept(tmp_path / "dpo-sweep", "dpo.loss.beta", {"0.1": (1, 0.7)})
    with pytest.raises(InputError, match=r"holds no sweep.json: give the folder of a sweep"):
        frontier([tmp_path], tmp_path / "out", [])
    blind = swept(tmp_path / "blind-sweep", "dpo.loss.beta", {"0.1": (1, 0.7)}, truth="")
    with pytest.raises(InputError, match="no cell has an evaluation with a truth and a KL yet"):
        frontier([blind], tmp_path / "out", [])
    other = swept(tmp_path / "other-sweep", "dpo.loss.beta", {"0.1": (1, 0.7)})
    for file in other.glob("*/02-evaluate/answers.jsonl"):
        file.write_text(file.read_text().replace('"id": "5"', '"id": "another"'))
    with pytest.raises(InputError, match="was asked other prompts than dpo"):
        frontier([dpo, other], tmp_path / "out", [])
    with pytest.raises(InputError, match="by a reward model called 'reward'"):
        frontier([dpo], tmp_path / "out", [tmp_path / "nothing"])
    swept(tmp_path / "elsewhere" / "dpo-sweep", "dpo.loss.beta", {"0.3": (2, 0.9)})
    with pytest.raises(InputError, match="two sweeps are called dpo-sweep"):
        frontier([dpo, tmp_path / "elsewhere" / "dpo-sweep"], tmp_path / "out", [])
    still = swept(tmp_path / "still-sweep", "dpo.loss.beta", {"0.1": (0, 0.5)})
    with pytest.raises(InputError, match="no policy is any nats from its reference"):
        frontier([still], tmp_path / "out", [])
    evaluated(tmp_path / "single", 1, [0.5], [0.5])
    with pytest.raises(InputError, match="was evaluated with one draw a prompt"):
        frontier([dpo], tmp_path / "out", [tmp_path / "single"])
