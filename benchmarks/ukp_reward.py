"""A reward model from real people's votes: accuracy on unseen debates and unseen voters, beside length and the ceiling.

    python benchmarks/ukp_reward.py FOLDER [--text FILE] [--folds 4]

FOLDER holds UKPConvArg1 as `pairs.jsonl.gz` and `votes.csv.gz`. Debates are split by title into folds: for each fold a
small base is pretrained on the arguments of the other debates and on FILE (English text with `<|endoftext|>` between
documents), a reward model is trained on the votes of four fifths of the voters on those debates, and both meet the
fold's debates for the first time when they are tested.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heedful.algorithms.lm import lm_objective
from heedful.algorithms.reward.bradley_terry import bradley_terry_objective
from heedful.config import Architecture, Optim, Training
from heedful.data.chat import Chat, train_tokenizer
from heedful.data.lengths import cut
from heedful.data.pairs import pack_pairs
from heedful.data.sources import read_documents
from heedful.data.ukp import Argument, Vote, ranked_topics, read_ukp
from heedful.evaluate.reward_report import agreement
from heedful.evaluate.statistics import clustered_bootstrap
from heedful.evaluate.vote_ceiling import leave_one_out, vote_ceiling
from heedful.models.loading import new_policy, reward_from_policy, save_policy
from heedful.records import Message
from heedful.rewards.model import ModelReward
from heedful.run import Run
from heedful.train.loop import fit, make_accelerator
from heedful.train.pair_source import PairSource
from heedful.train.source import PackedSource

SHAPE = Architecture(vocabulary=1024, hidden=96, layers=3, heads=4, kv_heads=4, feedforward=256, context=384)
PRETRAIN = Training(epochs=1)
REPEATS = 4  # how often the base sees the arguments, for each time that it sees the other text
REWARD = Training(epochs=4)
UNSEEN_VOTERS = 0.2


@dataclass(frozen=True)
class Tested:
    """Votes that were tested, with the scores' gaps; all (n,)."""

    choice: NDArray[np.float64]
    gap: NDArray[np.float64]
    words: NDArray[np.float64]
    topic: list[str]


def arguments_of(votes: Sequence[Vote]) -> list[Argument]:
    return list({a.id: a for vote in votes for a in (vote.first, vote.second)}.values())


def train(votes: Sequence[Vote], texts: Sequence[str], folder: Path, seed: int) -> ModelReward:
    """A base from the arguments and other texts, and a reward model from the votes on the arguments."""
    arguments = arguments_of(votes)
    pages = [(*a.prompt.messages, Message("assistant", a.text)) for a in arguments]
    chat = Chat(train_tokenizer([*(m.content for page in pages for m in page), *texts], SHAPE.vocabulary))
    documents = [*([chat.document(page) for page in pages] * REPEATS), *(chat.document(text) for text in texts)]
    policy = new_policy(SHAPE, chat, seed)
    accelerator = make_accelerator(PRETRAIN)
    run = Run(folder / "pretrain", "pretrain", seed)
    source = PackedSource(list(cut(documents, SHAPE.context)), run, tokens_per_step=2048, training=PRETRAIN)
    optim = Optim(lr=3e-3, schedule="cosine", final=0.05, warmup=20, weight_decay=0.1)
    fit(policy, source, lm_objective, optim={"": optim}, training=PRETRAIN, run=run, accelerator=accelerator)
    save_policy(policy, chat, run.model)

    model, chat = reward_from_policy(run.model, seed)
    topics = ranked_topics(chat, votes)
    run = Run(folder / "reward", "reward", seed)
    walk = PairSource(
        [topic.tokens for topic in topics],
        lambda chosen: pack_pairs([topics[i] for i in chosen]),
        run,
        prompts_per_step=1,
        tokens_per_batch=REWARD.tokens_per_batch,
        epochs=REWARD.epochs,
    )
    fit(
        model,
        walk,
        bradley_terry_objective(),
        optim={"": Optim(lr=5e-4, warmup=5, weight_decay=0.1)},
        training=REWARD,
        run=run,
        accelerator=accelerator,
    )
    return ModelReward(model, chat)


def test(reward: ModelReward, votes: Sequence[Vote]) -> Tested:
    arguments = arguments_of(votes)
    scores = reward.score([a.prompt for a in arguments], [a.text for a in arguments])
    value = {a.id: score.value for a, score in zip(arguments, scores, strict=True)}
    return Tested(
        choice=np.array([vote.choice for vote in votes]),
        gap=np.array([value[vote.first.id] - value[vote.second.id] for vote in votes]),
        words=np.array([float(len(vote.first.text.split()) - len(vote.second.text.split())) for vote in votes]),
        topic=[vote.first.topic for vote in votes],
    )


def ceilings(votes: Sequence[Vote]) -> tuple[float, float]:
    """The computed ceiling, and how often one voter agrees with the majority of the others."""
    first: Counter[tuple[str, str]] = Counter()
    total: Counter[tuple[str, str]] = Counter()
    for vote in votes:
        if vote.choice != 0.5:
            total[vote.pair] += 1
            first[vote.pair] += int(vote.choice)
    k, n = [first[pair] for pair in total], list(total.values())
    return vote_ceiling(k, n), leave_one_out(k, n)


def row(name: str, parts: Sequence[Tested], ceiling: float, others: float) -> str:
    """One line of the table: decided votes only, intervals by topics drawn whole."""
    decided = [(part, part.choice != 0.5) for part in parts]
    choice, gap, words = (
        np.concatenate([getattr(part, field)[mask] for part, mask in decided]) for field in ("choice", "gap", "words")
    )
    topic = [name for part, mask in decided for name, keep in zip(part.topic, mask, strict=True) if keep]
    model, longer = agreement(gap, choice), agreement(words, choice)
    rng = np.random.default_rng(0)
    low, high = clustered_bootstrap(model, topic, rng)
    gain_low, gain_high = clustered_bootstrap(model - longer, topic, rng)
    return (
        f"| {name} | {len(choice)} | {model.mean():.1%} [{low:.1%}, {high:.1%}] | {longer.mean():.1%} | "
        f"{(model - longer).mean():+.1%} [{gain_low:+.1%}, {gain_high:+.1%}] | {others:.1%} | {ceiling:.1%} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--text", type=Path)
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.folder is None:
        print("ukp_reward: skipped, since it needs the folder of UKPConvArg1 (see --help)")
        return
    begun = time.monotonic()
    votes = read_ukp(options.folder)
    texts = [page for page in read_documents(options.text) if isinstance(page, str)] if options.text else []
    rng = np.random.default_rng(options.seed)
    titles = sorted({vote.first.title for vote in votes})
    fold_of = {title: int(i) % options.folds for title, i in zip(titles, rng.permutation(len(titles)), strict=True)}
    workers = sorted({vote.worker for vote in votes})
    unseen = {w for w, u in zip(workers, rng.random(len(workers)), strict=True) if u < UNSEEN_VOTERS}
    cells: dict[str, list[Tested]] = {
        name: []
        for name in ("unseen debates, unseen voters", "unseen debates, known voters", "known debates, unseen voters")
    }
    for fold in range(options.folds):
        known = [vote for vote in votes if fold_of[vote.first.title] != fold]
        new = [vote for vote in votes if fold_of[vote.first.title] == fold]
        with tempfile.TemporaryDirectory() as folder:
            reward = train([vote for vote in known if vote.worker not in unseen], texts, Path(folder), options.seed)
        parts = (
            [vote for vote in new if vote.worker in unseen],
            [vote for vote in new if vote.worker not in unseen],
            [vote for vote in known if vote.worker in unseen],
        )
        for tested, part in zip(cells.values(), parts, strict=True):
            tested.append(test(reward, part))
    ceiling, others = ceilings(votes)  # over the folds, every cell holds all debates
    print(
        f"{len(votes)} votes, {len(titles)} debates, {options.folds} folds, {len(unseen)}/{len(workers)} voters unseen"
    )
    print("| tested on | decided votes | reward model | longer wins | gain | majority of the others | ceiling |")
    print("|---|---|---|---|---|---|---|")
    for name, tested in cells.items():
        print(row(name, tested, ceiling, others))
    print(f"{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
