"""`heedful frontier`: several sweeps as lines of truth over KL on one page, with the areas under them compared.

    runs/frontier/  frontier.json  frontier.html

Each cell's evaluation.json says how far its policy went; its answers.jsonl, what the truth makes of every answer.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from heedful.errors import InputError
from heedful.evaluate.frontier import Reached, SeedLine, compare_frontiers
from heedful.evaluate.kept import kept_answers, kept_resamples
from heedful.evaluate.statistics import Floats
from heedful.records import Row
from heedful.report.frontier import write_frontier
from heedful.report.sweep import SEED
from heedful.run import atomic_text, console, generator

PROXY = "reward"  # the judge by which the best of n answers is chosen
Draws = Mapping[str, Sequence[Row]]  # prompt → its sampled answers


@dataclass(frozen=True, slots=True)
class Cell:
    """One policy of a sweep, and the reference that it was measured against."""

    line: str
    seed: str
    point: Reached
    start: Floats  # (prompts,)
    prompts: Sequence[str]
    root: Path  # of its run


def frontier(folders: Sequence[Path], out: Path, best_of: Sequence[Path], primary: str = "") -> Path:
    """Read the sweeps, compare their areas, and write the page.

    best_of: runs of one reference, each with a seed of its own, whose answers best-of-n is drawn from.
    primary: the line whose difference to the first is the question named beforehand.
    InputError: a cell can't be set beside the others, or no such line is there.
    """
    if twice := [name for name, count in Counter(folder.name for folder in folders).items() if count > 1]:
        raise InputError(f"two sweeps are called {twice[0]}, and would be one line: rename one, or give it once")
    cells = [cell for folder in folders for cell in _cells(folder)]
    cells += [cell for root in best_of for cell in _best_of_n(root)]
    if not cells:
        raise InputError(f"{', '.join(map(str, folders))}: no cell has an evaluation with a truth and a KL yet")
    for cell in cells:
        if cell.prompts != cells[0].prompts:
            raise InputError(
                f"{cell.line} ({cell.point.label}) was asked other prompts than {cells[0].line}: evaluate all on the "
                "same ones"
            )
    if max(cell.point.kl for cell in cells) <= 0:
        raise InputError(f"{', '.join(map(str, folders))}: no policy is any nats from its reference: nothing to draw")
    by_line: dict[str, dict[str, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells:
        by_line[cell.line][cell.seed].append(cell)
    lines = {
        name: [SeedLine(np.mean([c.start for c in own], axis=0), [c.point for c in own]) for own in seeds.values()]
        for name, seeds in by_line.items()
    }
    if primary and primary not in list(lines)[1:]:
        raise InputError(f"--primary {primary}: is none of the lines behind the first ({', '.join(list(lines)[1:])})")
    rng = generator(0, "frontier", "bootstrap")
    rows = compare_frontiers(lines, kept_resamples(cells[0].root, cells[0].prompts, rng), rng, primary)
    table = [
        row | {"points": [_dot(name, same) for name, same in _labelled(by_line[row["line"]]).items()]} for row in rows
    ]
    start = fmean(float(seed.start.mean()) for seeds in lines.values() for seed in seeds)
    found = {"start": start, "prompts": len(cells[0].prompts), "lines": table}
    atomic_text(out / "frontier.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    write_frontier(out)
    console.print(f"\nOpen [bold]{out / 'frontier.html'}[/bold]")
    return out


def _labelled(seeds: Mapping[str, Sequence[Cell]]) -> dict[str, list[Reached]]:
    """Setting → its policy of every seed."""
    found: dict[str, list[Reached]] = defaultdict(list)
    for cells in seeds.values():
        for cell in cells:
            found[cell.point.label].append(cell.point)
    return found


def _dot(label: str, same: Sequence[Reached]) -> Row:
    return {
        "label": label,
        "seeds": len(same),
        "kl": fmean(point.kl for point in same),
        "truth": fmean(float(point.values.mean()) for point in same),
    }


def _cells(folder: Path) -> list[Cell]:
    """Every cell of a sweep that was evaluated by a truth."""
    if not (folder / "sweep.json").exists():
        raise InputError(f"{folder}: holds no sweep.json: give the folder of a sweep, runs/<name>-sweep")
    table = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
    along = next((key for key in table["grid"] if key != SEED), "")
    found = []
    for row in table["cells"]:
        settings = row["settings"]
        others = [f"{key} = {value}" for key, value in settings.items() if key not in (along, SEED)]
        evaluation = _read(folder / row["name"] / "evaluation.json")
        name = table["policy"] or evaluation.get("models", [""])[-1]
        if name not in evaluation.get("kl", {}) or not evaluation["truth"]:
            console.print(f"{folder.name}/{row['name']} has no truth and KL of a policy: left out", highlight=False)
            continue
        answers = _answers(folder / row["name"], (name, evaluation["reference"]))
        values, start = (_means(answers[who], evaluation["truth"]) for who in (name, evaluation["reference"]))
        point = Reached(settings.get(along, ""), evaluation["kl"][name]["mean"], values)
        line = ", ".join([folder.name.removesuffix("-sweep"), *others])
        found.append(Cell(line, settings.get(SEED, ""), point, start, list(answers[name]), folder / row["name"]))
    return found


def _best_of_n(root: Path) -> list[Cell]:
    """Best-of-n by the reward model among a reference's own answers, which an evaluation drew and had judged.

    Unbiased truth of the best of n = 2, 4, … (`ops.best_of_n`), and its KL by the answers' own frequencies: too small
    where nearly every answer is new, and never above the logarithm of their number.
    """
    import torch

    from heedful.ops.best_of_n import best_of_n_kl, best_of_n_mean

    evaluation = _read(root / "evaluation.json")
    if not evaluation or PROXY not in evaluation["judges"] or not evaluation["truth"]:
        raise InputError(f"{root}: holds no evaluation by a truth and by a reward model called '{PROXY}'")
    who, truth = evaluation["reference"], evaluation["truth"]
    answers = _answers(root, (who,))[who]
    most = min(map(len, answers.values()))
    if most < 2:
        raise InputError(f"{root}: was evaluated with one draw a prompt: set evaluate.draws, 16 for example")
    start, found = _means(answers, truth), []
    for n in (2**k for k in range(1, most.bit_length())):
        values, moved = [], []
        for draws in answers.values():
            proxy, gold = (torch.tensor([row["scores"][judge] for row in draws]) for judge in (PROXY, truth))
            values.append(float(best_of_n_mean(proxy, gold, n)))
            texts = [row["text"] for row in draws]
            distinct = list(dict.fromkeys(texts))
            shares = torch.tensor([texts.count(text) / len(texts) for text in distinct])
            moved.append(float(best_of_n_kl(shares, torch.stack([proxy[texts.index(text)] for text in distinct]), n)))
        point = Reached(f"n = {n}", fmean(moved), np.array(values))
        found.append(Cell("best of n", str(root), point, start, list(answers), root))
    return found


def _answers(root: Path, names: Sequence[str]) -> dict[str, dict[str, list[Row]]]:
    """Model → prompt → its sampled answers."""
    found: dict[str, dict[str, list[Row]]] = {name: defaultdict(list) for name in names}
    for row in kept_answers(root):
        if row["model"] in found and row["decoding"] == "sample":
            found[row["model"]][row["id"]].append(row)
    return found


def _means(answers: Draws, judge: str) -> Floats:
    """A judge's mean over the draws of each prompt. (prompts,)"""
    return np.array([fmean(row["scores"][judge] for row in draws) for draws in answers.values()])


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
