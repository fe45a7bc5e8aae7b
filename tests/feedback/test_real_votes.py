"""Real people's votes, where they lie beside the project: published figures are reproduced, and consensus gains."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from heedful.data.ukp import read_ukp, vote_rankings
from heedful.feedback.agreement import count_table, fleiss_kappa, raw_agreement, unanimous
from heedful.feedback.consensus import agree_on
from heedful.feedback.judgements import from_ranking
from heedful.feedback.votes import collect_votes

REAL = Path(os.environ.get("HEEDFUL_DATA", Path(__file__).parents[3] / "shared" / "data")) / "ukpconvarg"
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="the real votes are not on this machine")


def test_agreement_is_as_published() -> None:
    votes = read_ukp(REAL)
    pair = np.unique([f"{vote.pair}{vote.first.topic}" for vote in votes], return_inverse=True)[1]
    counts = count_table(pair, [{1.0: 0, 0.0: 1, 0.5: 2}[vote.choice] for vote in votes], 3)
    assert fleiss_kappa(counts).estimate() == pytest.approx(0.273, abs=5e-4)
    assert raw_agreement(counts[:, :2]).estimate() == pytest.approx(0.738, abs=5e-4)
    assert unanimous(counts).estimate() == pytest.approx(0.201, abs=5e-4)


def test_one_vote_a_pair_tells_more_with_the_crowds_model() -> None:
    """Six topics, the first vote of each pair: fewer errors against gold than the vote itself makes."""
    lines = gzip.decompress((REAL / "pairs.jsonl.gz").read_bytes()).decode().splitlines()
    rows = [row for row in map(json.loads, lines) if row["gold"] in ("a1", "a2")]
    gold = {(row["topic"], frozenset((row["a1"], row["a2"]))): row[row["gold"]] for row in rows}
    topics = sorted({row["topic"] for row in rows})[:6]
    firsts = {(v.first.topic, v.pair): v for v in reversed(read_ukp(REAL)) if v.first.topic in topics}
    votes = collect_votes(map(from_ranking, vote_rankings(list(firsts.values()))))
    topic_of = {ranking.prompt.id: ranking.prompt.meta["family"] for ranking in vote_rankings(firsts.values())}
    best = [
        gold.get((topic_of[votes.names[i]], frozenset((votes.texts[votes.first[i]], votes.texts[votes.second[i]]))))
        for i in range(votes.items)
    ]
    sign = np.array([0 if b is None else 1 if b == votes.texts[votes.first[i]] else -1 for i, b in enumerate(best)])
    right = {
        rule: (0.5 + 0.5 * np.sign(agree_on(votes, rule).preference - 0.5) * sign)[sign != 0].mean()  # type: ignore[arg-type]
        for rule in ("majority", "crowd")
    }
    assert (sign != 0).sum() > 1500
    assert right["crowd"] > right["majority"] + 0.03, right
