"""UKPConvArg1 (Habernal and Gurevych 2016): which of two arguments is more convincing, by about five people a pair.

Reads `pairs.jsonl.gz` (pairs of arguments on one side of a debate) and `votes.csv.gz` (who chose which).
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from heedful.data.packing import Example
from heedful.data.pairs import RankedExamples, Tokenises
from heedful.errors import InputError
from heedful.records import Message, Prompt, Ranking, prompt_id

CHOICES = {"a1": 1.0, "a2": 0.0, "equal": 0.5}


@dataclass(frozen=True, slots=True)
class Argument:
    """One side's argument in a debate. `topic` is debate and side, `title` the debate."""

    id: str
    topic: str
    title: str
    text: str
    prompt: Prompt


@dataclass(frozen=True, slots=True)
class Vote:
    """One worker's judgement: 1 for the first argument, 0 for the second, 0.5 for equal."""

    first: Argument
    second: Argument
    worker: str
    choice: float

    @property
    def pair(self) -> tuple[str, str]:
        return self.first.id, self.second.id


def read_ukp(folder: str | Path) -> list[Vote]:
    """All votes, in the order of the file, on the arguments that they are about."""
    pairs: dict[str, tuple[Argument, Argument]] = {}
    for line in io.StringIO(_text(Path(folder) / "pairs.jsonl.gz")):
        row = json.loads(line)
        pairs[row["pair_id"]] = (_argument(row, "a1"), _argument(row, "a2"))
    votes = []
    path = Path(folder) / "votes.csv.gz"
    for number, row in enumerate(csv.DictReader(io.StringIO(_text(path))), start=2):
        if row["vote"] not in CHOICES or row["pair_id"] not in pairs:
            raise InputError(f"{path}, line {number}: expected a vote a1, a2 or equal on a known pair, found {row}")
        votes.append(Vote(*pairs[row["pair_id"]], worker=row["worker"], choice=CHOICES[row["vote"]]))
    return votes


def _text(path: Path) -> str:
    try:
        return gzip.decompress(path.read_bytes()).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a gzip file of UKPConvArg1 there ({error})") from None


def _argument(row: Mapping[str, str], side: str) -> Argument:
    messages = (Message("user", f"{row['title']}\n{row['stance']}"),)
    prompt = Prompt(id=prompt_id(messages), messages=messages, meta={"family": row["topic"]})
    return Argument(row[f"{side}_id"], row["topic"], row["title"], row[side], prompt)


def vote_rankings(votes: Iterable[Vote]) -> list[Ranking]:
    """One ranking of two for each vote on two different texts; the rater is the worker."""
    ranks = {1.0: (0, 1), 0.0: (1, 0), 0.5: (0, 0)}
    return [
        Ranking(
            prompt=vote.first.prompt,
            completions=(vote.first.text, vote.second.text),
            ranks=ranks[vote.choice],
            rater=vote.worker,
            rater_kind="human",
        )
        for vote in votes
        if vote.first.text != vote.second.text
    ]


def ranked_topics(chat: Tokenises, votes: Sequence[Vote]) -> list[RankedExamples]:
    """One item a topic: every argument once, and each judged pair with the share of votes for its first as target.

    Bradley-Terry's loss is linear in the target, so five votes on a pair are one pair with their mean, and the some
    thirty arguments of a topic are read once for all its hundreds of pairs.
    """
    topics: dict[str, dict[str, Argument]] = {}
    shares: dict[tuple[str, str], list[float]] = {}
    for vote in votes:
        if vote.first.text != vote.second.text:
            topics.setdefault(vote.first.topic, {}).update({vote.first.id: vote.first, vote.second.id: vote.second})
            shares.setdefault(vote.pair, []).append(vote.choice)
    items = []
    for arguments in topics.values():
        place = {name: index for index, name in enumerate(arguments)}
        judged = [(pair, choices) for pair, choices in shares.items() if pair[0] in place]
        items.append(
            RankedExamples(
                examples=tuple(_example(chat, argument) for argument in arguments.values()),
                chosen=tuple(place[first] for (first, _), _ in judged),
                rejected=tuple(place[second] for (_, second), _ in judged),
                target=tuple(sum(choices) / len(choices) for _, choices in judged),
                margin=(0.0,) * len(judged),
                weights=(1.0,) * len(judged),
            )
        )
    return items


def _example(chat: Tokenises, argument: Argument) -> Example:
    return chat.example(argument.prompt.messages, argument.text)
