"""Dawid-Skene: an independent oracle, laws, and recovery of planted raters."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from heedful.feedback.reliability import dawid_skene, pseudo_counts


def crowd(seed: int, items: int = 150, overlap: int = 5) -> tuple[np.ndarray, ...]:
    """Three classes, eight raters whose confusion is drawn; every item is judged by `overlap` of them."""
    rng = np.random.default_rng(seed)
    accuracy = np.array([0.9, 0.85, 0.8, 0.75, 0.7, 0.6, 0.5, 0.35])
    truth = rng.choice(3, items, p=[0.5, 0.3, 0.2])
    item, rater = np.nonzero(np.argsort(rng.random((items, 8)), axis=1) < overlap)
    right = rng.random(len(item)) < accuracy[rater]
    label = np.where(right, truth[item], (truth[item] + rng.integers(1, 3, len(item))) % 3)
    return item, rater, label, truth, accuracy


def test_equals_crowd_kit() -> None:
    """The same number of steps from the same start: posterior, prevalence and confusion to 1e-9."""
    pandas = pytest.importorskip("pandas")
    oracle = pytest.importorskip("crowdkit.aggregation").DawidSkene(n_iter=8, tol=-1.0)
    item, rater, label, _, _ = crowd(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it calls pandas in ways that pandas 3 warns of
        theirs = oracle.fit(pandas.DataFrame({"task": item, "worker": rater, "label": label}))
    # their M-step comes after the last E-step, as ours does; a negative tolerance keeps both from stopping early
    ours = dawid_skene(item, rater, label, 3, items=150, raters=8, steps=8, tolerance=-np.inf)
    assert np.abs(ours.posterior - theirs.probas_.sort_index().sort_index(axis=1).to_numpy()).max() < 1e-9
    assert np.abs(ours.prevalence - theirs.priors_.sort_index().to_numpy()).max() < 1e-9
    errors = theirs.errors_.to_dict("index")
    for (worker, said), row in errors.items():
        for true, probability in row.items():
            assert ours.confusion[worker, true, said] == pytest.approx(probability, abs=1e-9)


def test_the_objective_never_falls() -> None:
    item, rater, label, _, _ = crowd(1)
    for prior in (0.0, pseudo_counts(3)):
        found = dawid_skene(item, rater, label, 3, items=150, raters=8, prior=prior)
        gains = np.diff(found.objective)
        assert len(gains) > 3 and gains.min() > -1e-9
        assert np.allclose(found.posterior.sum(1), 1) and np.allclose(found.confusion.sum(2), 1)


def test_the_mode_is_one() -> None:
    """No small change of a rater's confusion, and no change of the prevalence, makes the votes more likely."""
    item, rater, label, _, _ = crowd(2, items=60)
    found = dawid_skene(item, rater, label, 3, items=60, raters=8, steps=20000, tolerance=1e-16)

    def likelihood(prevalence: np.ndarray, confusion: np.ndarray) -> float:
        joint = np.tile(np.log(prevalence), (60, 1))
        np.add.at(joint, item, np.log(confusion)[rater, :, label])
        return float(np.logaddexp.reduce(joint, axis=1).sum())

    best = likelihood(found.prevalence, found.confusion)
    assert best == pytest.approx(found.objective[-1], abs=1e-6)
    rng = np.random.default_rng(0)
    for _ in range(200):
        prevalence = found.prevalence * np.exp(rng.normal(0, 0.01, 3))
        confusion = found.confusion * np.exp(rng.normal(0, 0.01, found.confusion.shape))
        moved = likelihood(prevalence / prevalence.sum(), confusion / confusion.sum(2, keepdims=True))
        assert moved < best + 1e-9


def test_finds_what_raters_are_worth_and_beats_the_majority() -> None:
    gains = []
    for seed in range(10):
        item, rater, label, truth, accuracy = crowd(seed, items=400)
        found = dawid_skene(item, rater, label, 3, items=400, raters=8, prior=pseudo_counts(3))
        assert np.abs(found.accuracy - accuracy).max() < 0.15
        table = np.zeros((400, 3))
        np.add.at(table, (item, label), 1)
        best = table == table.max(1, keepdims=True)
        plain = (best[np.arange(400), truth] / best.sum(1)).mean()  # an even split is a coin
        gains.append((found.posterior.argmax(1) == truth).mean() - plain)
    assert np.mean(gains) > 0.03 and np.mean(gains) - 2 * np.std(gains) / np.sqrt(10) > 0


def test_known_items_teach_what_a_rater_is_worth() -> None:
    """Two honest raters against two who always lie: only gold tells which is which."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 200)
    item, rater = np.repeat(np.arange(200), 4), np.tile(np.arange(4), 200)
    label = np.where(rater < 2, truth[item], 1 - truth[item])
    gold = np.where(np.arange(200) < 20, truth, -1)
    found = dawid_skene(item, rater, label, 2, items=200, raters=4, gold=gold, prior=0.01)
    assert (found.posterior.argmax(1) == truth).all()
    assert found.accuracy == pytest.approx([1, 1, 0, 0], abs=0.01)


def test_weights_count_as_votes() -> None:
    item, rater, label, _, _ = crowd(3, items=40)
    twice = [np.concatenate([column, column]) for column in (item, rater, label)]
    doubled = dawid_skene(*twice, 3, items=40, raters=8, steps=15, tolerance=-np.inf)
    weighted = dawid_skene(
        item, rater, label, 3, items=40, raters=8, weight=np.full(len(item), 2.0), steps=15, tolerance=-np.inf
    )
    assert np.abs(doubled.posterior - weighted.posterior).max() < 1e-12


def test_an_item_without_votes_stays_open() -> None:
    found = dawid_skene([0, 0, 1], [0, 1, 0], [0, 0, 1], 2, items=3, raters=2, prior=pseudo_counts(2))
    assert found.posterior[2] == pytest.approx(found.prevalence, abs=1e-4)
