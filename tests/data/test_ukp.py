"""Votes on arguments, from a small file of the same shape, and from the real one where it is there."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from heedful.data.packing import Example
from heedful.data.ukp import ranked_topics, read_ukp, vote_rankings
from heedful.errors import InputError
from heedful.records import Messages

REAL = Path(os.environ.get("HEEDFUL_DATA", Path(__file__).parents[3] / "shared" / "data")) / "ukpconvarg"


class Letters:
    def example(self, messages: Messages, completion: str) -> Example:
        return Example((*(ord(c) for c in completion), 0), answer=1)


def write(folder: Path, votes: str) -> Path:
    pair = {"topic": "t", "title": "T?", "stance": "yes", "a1_id": "x", "a2_id": "y", "a1": "one", "a2": "three"}
    other = {**pair, "a1_id": "y", "a2_id": "z", "a1": "three", "a2": "two"}
    rows = [{"pair_id": "x_y", **pair}, {"pair_id": "y_z", **other}]
    (folder / "pairs.jsonl.gz").write_bytes(gzip.compress("".join(json.dumps(r) + "\n" for r in rows).encode()))
    (folder / "votes.csv.gz").write_bytes(gzip.compress(f"topic,pair_id,worker,vote\n{votes}".encode()))
    return folder


def test_votes_become_rankings_of_two(tmp_path: Path) -> None:
    rankings = vote_rankings(read_ukp(write(tmp_path, "t,x_y,W1,a2\nt,y_z,W2,equal\n")))
    assert [(r.completions, r.ranks, r.rater) for r in rankings] == [
        (("one", "three"), (1, 0), "W1"),
        (("three", "two"), (0, 0), "W2"),
    ]
    assert rankings[0].rater_kind == "human"
    assert rankings[0].prompt.messages[0].content == "T?\nyes"


def test_a_topic_reads_each_argument_once_and_shares_are_targets(tmp_path: Path) -> None:
    votes = read_ukp(write(tmp_path, "t,x_y,W1,a1\nt,x_y,W2,a2\nt,x_y,W3,a1\nt,x_y,W4,equal\nt,y_z,W1,a2\n"))
    (topic,) = ranked_topics(Letters(), votes)
    assert len(topic.examples) == 3
    assert (topic.chosen, topic.rejected) == ((0, 1), (1, 2))
    assert topic.target == (pytest.approx(2.5 / 4), 0.0)


def test_an_unknown_vote_names_its_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 3"):
        read_ukp(write(tmp_path, "t,x_y,W1,a1\nt,x_y,W2,maybe\n"))


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pairs\.jsonl\.gz"):
        read_ukp(tmp_path)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real votes are not on this machine")
def test_the_real_file() -> None:
    votes = read_ukp(REAL)
    assert len(votes) == 62_016
    assert len({vote.worker for vote in votes}) == 3_711
    assert len({vote.first.topic for vote in votes}) == 24
