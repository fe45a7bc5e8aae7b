"""`heedful runs compare`: the mean over runs with an interval over the prompts that all of them were asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from heedful.evaluate.statistics import t_interval
from heedful.evaluate.winrate import mean_rate, resamples_of
from heedful.records import Message, Prompt
from heedful.run import console, generator, output
from heedful.runs import show_comparison, show_list

PROMPTS = [
    Prompt(id=str(i), messages=(Message("user", str(i)),), meta={"template": f"t{i % 4}", "slot": f"s{i % 7}"})
    for i in range(28)
]
NAMES = ("a", "b", "c")
Compared = Callable[..., str]


def evaluated(root: Path, prompts: str, wins: list[float], asked: list[Prompt] = PROMPTS) -> None:
    """A run whose policy wins one of two draws at each prompt, both or none; and a prompt that no headline counts."""
    stage = root / "02-evaluate"
    stage.mkdir(parents=True)
    (root / "recipe.toml").write_text(f'name = "x"\n[inputs]\nrun = "{root.parent}"\n')
    (stage / "config.toml").write_text(f'type = "evaluate"\nprompts = "{prompts}"\n')
    lines = []
    for prompt, won in zip(asked, wins, strict=True):
        for model, golds in (("sft", (0.5, 0.5)), ("ppo", (float(won > 0), float(won == 1)))):
            one = {"id": prompt.id, "group": "seen", "model": model, "decoding": "sample"}
            lines += [one | {"scores": {"gold": gold}} for gold in golds]
    lines += [row | {"id": "no", "group": "nowhere", "scores": {"gold": 9.0}} for row in lines[:4]]
    (stage / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    row = {"policy": "ppo", "against": "sft", "judge": "gold", "decoding": "sample"}
    rates = {"rate": float(np.mean(wins)), "low": 0.1, "high": 0.9}
    (root / "evaluation.json").write_text(json.dumps({"win_rate": [row | rates]}))


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Compared:
    for one in (output, console):
        monkeypatch.setattr(one, "width", 200)

    def shown(*names: str) -> str:
        with output.capture() as table, console.capture() as notes:
            show_comparison(tmp_path, list(names))
        return table.get() + notes.get()

    return shown


def wins(seed: int) -> list[float]:
    """What goes with the template: prompts that share one stand or fall together."""
    draws = np.random.default_rng(seed)
    return [[0.0, 0.5, 1.0][min(2, i % 4 + int(draws.integers(2)))] for i in range(len(PROMPTS))]


@pytest.mark.parametrize("place", ["@world/test.jsonl", "$run/prompts/test.jsonl"])
def test_the_interval_over_prompts_is_of_their_means_over_runs(place: str, compared: Compared, tmp_path: Path) -> None:
    """Clustered on template and slot, wherever the config says that the prompts stand."""
    rows = [{"id": p.id, "prompt": [{"role": "user", "content": p.id}], **p.meta} for p in PROMPTS]
    for name in NAMES:
        for folder in (tmp_path / "prompts", tmp_path / name / "01-world"):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        evaluated(tmp_path / name, place, wins(NAMES.index(name)))
    table = np.array([wins(seed) for seed in range(3)])
    over_prompts = mean_rate(table.mean(0), resamples_of(PROMPTS, generator(0, "compare", "bootstrap")))
    over_runs = t_interval(table.mean(1).tolist())
    text = compared(*NAMES)
    assert f"{100 * over_runs.mean:.1f} [{100 * over_runs.low:.1f}, {100 * over_runs.high:.1f}]" in text
    assert f"[{100 * over_prompts.low:.1f}, {100 * over_prompts.high:.1f}]" in text
    assert over_prompts.mean == pytest.approx(over_runs.mean)
    assert "no interval" not in text and "by itself" not in text


def test_where_there_is_no_interval_over_prompts_it_says_why(compared: Compared, tmp_path: Path) -> None:
    evaluated(tmp_path / "a", "gone.jsonl", wins(0))
    evaluated(tmp_path / "b", "gone.jsonl", wins(1))
    evaluated(tmp_path / "c", "gone.jsonl", wins(2)[1:], PROMPTS[1:])
    assert "not in 'gone.jsonl' any more" in compared("a", "b")
    assert "these runs were not asked the same prompts" in compared("a", "b", "c")
    (tmp_path / "b" / "02-evaluate" / "answers.jsonl").unlink()
    assert "answers.jsonl is gone: evaluate again" in compared("a", "b")
    assert "no interval" not in compared("a")


def test_a_list_counts_stages_that_never_began(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    (root / "01-world").mkdir(parents=True)
    (root / "recipe.toml").write_text('name = "mine"\n[[stages]]\ntype = "world"\n[[stages]]\ntype = "report"\n')
    with output.capture() as shown:
        show_list(tmp_path)
    assert "0 of 2" in shown.get()
