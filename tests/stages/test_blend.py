"""The blend stage: two that are each right in half of what the other misses are right together, and it says so."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import ValidationError

from heedful.config import BlendConfig
from heedful.errors import InputError
from heedful.records import Completion, Message, Prompt, Ranking, to_row
from heedful.rewards import Score
from heedful.run import Run
from heedful.stages import blend as stage
from heedful.world import ladder

PROMPTS = [Prompt(id=f"q{i}", messages=(Message("user", f"Question {i}?"),)) for i in range(40)]


@dataclass
class Scorer:
    """Tells the better answer on even prompts, or on odd ones, loudly; and knows nothing of the others."""

    odd: int

    def score(self, asked: Sequence[Prompt], texts: Sequence[str]) -> list[Score]:
        return [
            Score({"good": 1.0, "bad": -1.0}[text] if int(p.id[1:]) % 2 == self.odd else (len(p.id) - 2.5) / 100)
            for p, text in zip(asked, texts, strict=True)
        ]


SCORERS: Mapping[str, Scorer] = {"even": Scorer(0), "odd": Scorer(1)}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    monkeypatch.setattr(stage, "open_part", lambda part, device: SCORERS[Path(part.model).name])
    rankings = [
        Ranking(prompt=p, completions=("bad", "good"), ranks=(1, 0), rater="r", rater_kind="simulated") for p in PROMPTS
    ]
    samples = [Completion(prompt=p, text=text, policy="sft") for p in PROMPTS for text in ("good", "bad")]
    for name, records in (("heldout", rankings), ("samples", samples)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(to_row(record)) + "\n" for record in records))
    for name in SCORERS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text('{"architectures": ["LlamaForSequenceClassification"]}')
    return {
        "parts": {name: {"model": str(tmp_path / name)} for name in SCORERS},
        "data": [str(tmp_path / "heldout.jsonl")],
        "calibration": [str(tmp_path / "samples.jsonl")],
    }


def test_together_they_are_right(tmp_path: Path, config: dict[str, object]) -> None:
    run = Run(tmp_path / "blend", "blend", 0)
    stage.blend(BlendConfig.model_validate(config), run)
    report = json.loads((run.path / "reward.json").read_text())
    assert report["accuracy"] == 1.0 == run.summary["accuracy"]
    assert {name: row["accuracy"] for name, row in report["parts"].items()} == {"even": 0.75, "odd": 0.75}
    saved = json.loads((run.model / "blend.json").read_text())
    assert saved["parts"]["even"]["weight"] > 0 and saved["parts"]["even"]["model"] == "../../even"
    assert {"mean": saved["mean"], "std": saved["std"]} == report["affine"]
    assert saved["std"] > 0


def test_its_order_of_the_worlds_answers_is_looked_at(
    tmp_path: Path, config: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the policy is paid by may order detailed, vague and wrong answers otherwise than any of its parts."""
    rungs = ladder(families=["fact", "sum"], per_family=3)
    monkeypatch.setattr("heedful.stages.reward.ladder.ladder", lambda: rungs)
    place = {text: rung for _, texts in rungs for rung, text in enumerate(texts)}

    @dataclass
    class Partial:
        """Knows the best of three, or the worst."""

        known: int

        def score(self, asked: Sequence[Prompt], texts: Sequence[str]) -> list[Score]:
            return [Score(float(place[text] <= self.known) + len(text) / 1e6) for text in texts]

    monkeypatch.setattr(stage, "open_part", lambda part, device: Partial(("even", "odd").index(Path(part.model).name)))
    rankings = [
        Ranking(prompt=p, completions=texts, ranks=(0, 1, 2), rater="r", rater_kind="simulated") for p, texts in rungs
    ]
    (tmp_path / "heldout.jsonl").write_text("".join(json.dumps(to_row(one)) + "\n" for one in rankings))
    run = Run(tmp_path / "blend", "blend", 0)
    stage.blend(BlendConfig.model_validate(config | {"calibration": []}), run)
    figures = json.loads((run.path / "reward.json").read_text())["ladder"]
    assert figures["prompts"] == 6 and figures["right_order"] == 1.0
    assert set(figures["families"]) == {"fact", "sum"}


def test_without_samples_scores_stay_in_log_odds(tmp_path: Path, config: dict[str, object]) -> None:
    run = Run(tmp_path / "blend", "blend", 0)
    stage.blend(BlendConfig.model_validate(config | {"calibration": []}), run)
    saved = json.loads((run.model / "blend.json").read_text())
    assert (saved["mean"], saved["std"]) == (0.0, 1.0)


def test_a_single_part_is_no_blend(config: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="a blend weighs at least two"):
        BlendConfig.model_validate(config | {"parts": {"even": {"model": "even"}}})


def test_the_name_of_the_whole_is_no_parts_name(config: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="parts.raw would be logged as reward/raw"):
        BlendConfig.model_validate(config | {"parts": {"raw": {"model": "even"}, "odd": {"model": "odd"}}})


def test_too_few_prompts_for_the_folds(tmp_path: Path, config: dict[str, object]) -> None:
    with pytest.raises(InputError, match="compares answers to 40 prompts; give at least 50, or fewer folds"):
        stage.blend(BlendConfig.model_validate(config | {"folds": 50}), Run(tmp_path / "blend", "blend", 0))


def test_a_part_that_says_nothing_is_named(
    tmp_path: Path, config: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclass
    class Silent:
        def score(self, asked: Sequence[Prompt], texts: Sequence[str]) -> list[Score]:
            return [Score(0.5) for _ in texts]

    monkeypatch.setattr(stage, "open_part", lambda part, device: Silent())
    with pytest.raises(InputError, match="says the same of most answers: leave part 'even' out"):
        stage.blend(BlendConfig.model_validate(config), Run(tmp_path / "blend", "blend", 0))
