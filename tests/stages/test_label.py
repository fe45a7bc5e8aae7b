"""The label stage: whole prompts held out, every row a valid ranking, the same seed the same files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from heedful.config import JudgeLabels, LabelConfig, SimulatedLabels, load_stage
from heedful.config.paths import resolve
from heedful.data.flips import flip_rate
from heedful.data.sources import read_rankings
from heedful.errors import InputError
from heedful.evaluate.reward_report import TRUTH
from heedful.records import Completion, Message, Prompt, to_row
from heedful.run import Run
from heedful.stages.label import TIE_WIDTH, held_out, label
from heedful.world import ladder, preference_probability, raters

HAPPY = ("She was happy and loved it.", "They smiled at the great gift.", "He went home.", "It was sad and awful.")


def write(path: Path, completions: Sequence[Completion]) -> str:
    path.write_text("".join(json.dumps(to_row(completion)) + "\n" for completion in completions))
    return str(path)


def world_completions(per_family: int = 3) -> list[Completion]:
    return [
        Completion(prompt=prompt, text=text, policy=policy)
        for prompt, answers in ladder(per_family=per_family)
        for text, policy in zip(answers, ("sft", "sft", "base"), strict=True)
    ]


def stories(count: int = 60) -> list[Completion]:
    prompts = [Prompt(id=str(i), messages=(Message("text", f"Once {i}"),)) for i in range(count)]
    return [Completion(prompt=p, text=f"{text} {p.id}", policy="base") for p in prompts for text in HAPPY]


def run_label(folder: Path, config: LabelConfig, seed: int = 0) -> Run:
    run = Run(folder, "label", seed)
    label(config, run)
    return run


def test_prompts_are_split_whole_and_truth_stays_with_the_held_out(tmp_path: Path) -> None:
    config = LabelConfig(completions=[write(tmp_path / "c.jsonl", world_completions())], holdout=0.4)
    run = run_label(tmp_path / "label", config)
    training, heldout = (read_rankings([run.path / name]) for name in ("rankings.jsonl", "heldout.jsonl"))
    ids = [{ranking.prompt.id for ranking in part} for part in (training, heldout)]
    assert not ids[0] & ids[1]
    assert len(heldout) == round(0.4 * (len(training) + len(heldout)))
    assert all(TRUTH not in ranking.prompt.meta for ranking in training)
    assert run.summary["comparisons"] == sum(len(ranking.pairs()) for ranking in training)
    people = raters("train", 0)
    for ranking in heldout:
        truth = ranking.prompt.meta[TRUTH]
        assert len(truth["gold"]) == len(ranking.completions) and len(truth["p"]) == len(ranking.pairs())
        a, b = ranking.completions[:2]
        assert truth["p"][0] == pytest.approx(preference_probability(people, ranking.prompt, a, b))


def test_every_ranking_is_simulated_marked_and_complete(tmp_path: Path) -> None:
    config = LabelConfig(completions=[write(tmp_path / "c.jsonl", world_completions())], borrowed=2)
    run = run_label(tmp_path / "label", config)
    for ranking in read_rankings([run.path / "rankings.jsonl"]):
        assert ranking.rater_kind == "simulated" and ranking.rater.startswith("simulated-train")
        assert len(ranking.sources) == len(ranking.completions) == len(ranking.ranks) >= 2
        assert len(set(ranking.completions)) == len(ranking.completions)
    assert any(s.startswith("borrowed:") for r in read_rankings([run.path / "heldout.jsonl"]) for s in r.sources)


def test_the_same_seed_writes_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    config = LabelConfig(completions=[write(tmp_path / "c.jsonl", world_completions())])
    files = [
        (run_label(tmp_path / name, config, seed).path / "rankings.jsonl").read_bytes()
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert files[0] == files[1] != files[2]


def test_the_audit_group_shares_no_rater_with_the_training_group(tmp_path: Path) -> None:
    completions = [write(tmp_path / "c.jsonl", world_completions())]
    names = [
        run_label(tmp_path / group, LabelConfig(completions=completions, by=SimulatedLabels(raters=group))).summary[
            "raters"
        ]
        for group in ("train", "audit")
    ]
    assert not set(names[0]) & set(names[1])


def test_better_answers_win_more_often_and_labels_err_as_computed(tmp_path: Path) -> None:
    config = LabelConfig(completions=[write(tmp_path / "c.jsonl", world_completions(20))], borrowed=0, holdout=0.9)
    figures = run_label(tmp_path / "label", config).summary["heldout"]
    assert 0.6 < figures["gold_on_labels"] <= figures["ceiling"] + 0.03
    assert figures["labels_against_gold"] < 0.4


def test_no_source_always_comes_first(tmp_path: Path) -> None:
    config = LabelConfig(completions=[write(tmp_path / "c.jsonl", world_completions(10))], borrowed=0, holdout=0)
    run = run_label(tmp_path / "label", config)
    first = [ranking.sources[0] == "base" for ranking in read_rankings([run.path / "rankings.jsonl"])]
    assert 0.15 < float(np.mean(first)) < 0.55


def test_sentiment_raters_prefer_what_sounds_happier(tmp_path: Path) -> None:
    config = LabelConfig(
        completions=[write(tmp_path / "c.jsonl", stories())],
        borrowed=0,
        holdout=0.5,
        by=SimulatedLabels(truth="sentiment"),
    )
    run = run_label(tmp_path / "label", config)
    wins = [r.ranks[i] for r in read_rankings([run.path / "rankings.jsonl"]) for i in range(4)
            if r.completions[i].startswith("It was sad")]  # fmt: skip
    assert np.mean(wins) > 2.3  # rank 3 is worst
    assert 0.75 < run.summary["heldout"]["ceiling"] < 1
    assert run.summary["tie_width"] == TIE_WIDTH


def test_prompts_of_another_world_are_refused_in_one_sentence(tmp_path: Path) -> None:
    config = LabelConfig(completions=[write(tmp_path / "c.jsonl", stories(3))])
    with pytest.raises(InputError, match="sentiment"):
        run_label(tmp_path / "label", config)


def test_prompts_with_one_answer_only_are_refused(tmp_path: Path) -> None:
    one = [completion for completion in stories(3) if completion.text.startswith("He went")]
    config = LabelConfig(completions=[write(tmp_path / "c.jsonl", one)], borrowed=0)
    with pytest.raises(InputError, match="two different answers"):
        run_label(tmp_path / "label", config)


def test_held_out_is_a_share_of_whole_prompts() -> None:
    prompts = [str(i) for i in range(50)]
    held = held_out(prompts, 0.1, 0)
    assert len(held) == 5
    assert held_out(prompts, 0.0, 0) == frozenset()
    assert {prompts[i] for i in held} == {prompts[::-1][i] for i in held_out(prompts[::-1], 0.1, 0)}
    assert held != held_out(prompts, 0.1, 1)


def test_flipped_labels_are_of_two_answers_wrong_at_their_rate_and_the_same_two_in_every_stage(tmp_path: Path) -> None:
    given: dict[str, object] = {
        "completions": [write(tmp_path / "c.jsonl", world_completions(20))],
        "borrowed": 0,
        "holdout": 0.5,
        "overlap": 2,
    }
    clean, noisy = (
        run_label(tmp_path / name, LabelConfig.model_validate(given | {"name": name, "by": by}))
        for name, by in (("clean", {"type": "flipped"}), ("noisy", {"type": "flipped", "share": 0.3}))
    )
    assert clean.summary["heldout"]["labels_against_gold"] == 0
    assert clean.summary["heldout"]["ceiling"] > noisy.summary["heldout"]["ceiling"]
    rows = [read_rankings([run.path / "rankings.jsonl"]) for run in (clean, noisy)]
    asked = [{(r.prompt.id, frozenset(r.completions)) for r in side} for side in rows]
    assert asked[0] == asked[1] and all(len(texts) == 2 for _, texts in asked[0])
    assert flip_rate(rows[0]).rate == 0
    assert flip_rate(rows[1]).rate == pytest.approx(0.3, abs=0.08)
    with pytest.raises(InputError, match="flipped labels are of two answers"):
        run_label(tmp_path / "rate", LabelConfig.model_validate(given | {"ask": "rate", "by": {"type": "flipped"}}))


def test_an_ai_judge_ranks_by_worth(tmp_path: Path) -> None:
    """A function of one's own: here the shorter answer is better, and three letters more are no difference."""
    (tmp_path / "rules.py").write_text("def short(prompt, completion):\n    return -float(len(completion))\n")
    function = f"{tmp_path / 'rules.py'}:short"
    rows = [
        Completion(prompt=Prompt(id=f"q{i}", messages=(Message("user", f"question {i}"),)), text=text, policy="m")
        for i in range(10)
        for text in ("x" * (20 + i), "a", "bbbb", "hello there")
    ]
    path = tmp_path / "completions.jsonl"
    path.write_text("".join(json.dumps(to_row(row)) + "\n" for row in rows))
    by = JudgeLabels(function=function, tie=3)
    config = LabelConfig(completions=[str(path)], borrowed=0, holdout=0.2, by=by)
    run = Run(tmp_path / "label", "label", 0)
    label(config, run)
    training, heldout = (list(read_rankings([run.path / name])) for name in ("rankings.jsonl", "heldout.jsonl"))
    assert (len(training), len(heldout)) == (8, 2)
    for ranking in (*training, *heldout):
        ranks = dict(zip(ranking.completions, ranking.ranks, strict=True))
        assert (ranking.rater_kind, ranking.rater) == ("ai", function)
        assert (
            ranks.pop("a") == ranks.pop("bbbb") == 0 and ranks.pop("hello there") == 1 and list(ranks.values()) == [2]
        )
    with pytest.raises(InputError, match="an AI judge ranks, and says the same each time"):
        label(config.model_copy(update={"overlap": 2}), run)
    with pytest.raises(ValueError, match="give one judge"):
        JudgeLabels()


def test_a_reward_model_is_a_judge_too(tmp_path: Path) -> None:
    """As the command reads it: what is left out of the table stays left out."""
    found = load_stage("label", "", ["by.type=judge", "by.model=reward", 'completions=["c.jsonl"]'])
    again = resolve(found, {}, {})
    assert isinstance(again.by, JudgeLabels) and (again.by.model, again.by.function) == ("reward", "")
