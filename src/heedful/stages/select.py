"""Best-of-n and rejection sampling: the best answers to each prompt become demonstrations.

Sampled, selected and learned from again, a policy improves without a gradient through its reward (expert iteration;
RAFT, Dong 2023). The stage also says what the best of n is worth for n up to the number of answers, and its KL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from heedful.config import Rewards, SelectConfig
from heedful.data.sources import read_completions
from heedful.errors import InputError
from heedful.ops.best_of_n import best_of_n_kl, best_of_n_kl_bound, best_of_n_mean
from heedful.records import Completion, Demonstration, Messages
from heedful.rewards.build import build_reward, paid
from heedful.run import Run


@dataclass(frozen=True, slots=True)
class Candidates:
    """All answers to one prompt, with what each is worth."""

    completions: list[Completion]
    worth: Tensor  # (G,)

    @property
    def whole(self) -> list[int]:
        """Which answers were not cut at their length limit: the others would teach to stop in mid-sentence."""
        return [i for i, one in enumerate(self.completions) if one.finish != "length"]

    @property
    def best(self) -> float:
        """What the best whole answer is worth; −∞ where there is none."""
        return max((float(self.worth[i]) for i in self.whole), default=-inf)

    def demonstrations(self, keep: int, at_least: float | None) -> list[Demonstration]:
        """At most `keep` different texts of whole answers, the best first."""
        order = sorted(self.whole, key=lambda i: -float(self.worth[i]))
        best = {self.completions[i].text: i for i in reversed(order)}  # of equal texts the best one
        kept = sorted(best.values(), key=order.index)[:keep]
        return [
            Demonstration(prompt=self.completions[i].prompt, completion=self.completions[i].text)
            for i in kept
            if at_least is None or float(self.worth[i]) >= at_least
        ]


def select(config: SelectConfig, run: Run) -> None:
    """Score all answers, keep the best as demonstrations.jsonl, and write the best-of-n curve."""
    completions = [completion for path in config.completions for completion in read_completions(path)]
    if not completions:
        raise InputError(f"{', '.join(config.completions)}: holds no answers: give at least one")
    candidates = _candidates(completions, worth(completions, config.rewards))
    kept = sorted(candidates, key=lambda one: one.best, reverse=True)[: max(1, round(config.share * len(candidates)))]
    chosen = {id(one) for one in kept}
    demonstrations = [
        demonstration
        for one in candidates
        if id(one) in chosen
        for demonstration in one.demonstrations(config.keep, config.at_least)
    ]
    if not demonstrations:
        raise InputError(_nothing_kept(config, max(one.best for one in candidates)))
    run.write_records("demonstrations.jsonl", demonstrations)
    curve = best_of_n_curve(candidates)
    run.write_rows("best_of_n.jsonl", curve)
    cut = len(completions) - sum(len(one.whole) for one in candidates)
    run.note(f"{cut:,} of {len(completions):,} answers were cut at their length limit: none is kept" if cut else "")
    run.summary |= {
        "answers": len(completions),
        "cut": cut,
        "prompts": len(candidates),
        "demonstrations": len(demonstrations),
        "worth": curve[0]["worth"],
        "worth_best": curve[-1]["worth"],
        "kl_best": curve[-1]["kl"],
    }
    run.say(
        f"{len(demonstrations):,} demonstrations of {len(completions):,} answers to {len(candidates):,} prompts; "
        f"an answer is worth {curve[0]['worth']:+.3f}, the best of {curve[-1]['n']} {curve[-1]['worth']:+.3f} "
        f"at a KL of {curve[-1]['kl']:.2f} nats (at most {curve[-1]['kl_bound']:.2f})"
    )


def _nothing_kept(config: SelectConfig, best: float) -> str:
    if best == -inf:
        return (
            f"{', '.join(config.completions)}: every answer was cut at its length limit, so none can be a "
            "demonstration: sample with a larger generation.max_new_tokens"
        )
    return f"select.at_least = {config.at_least} keeps nothing: the best whole answer is worth {best:.3g}"


def worth(completions: Sequence[Completion], rewards: Rewards) -> Tensor:
    """What each answer would be paid in training. (B,)"""
    reward = build_reward(rewards, "cuda" if torch.cuda.is_available() else "cpu")
    scores = reward.score([one.prompt for one in completions], [one.text for one in completions])
    cut = [one.finish == "length" for one in completions]
    return paid(scores, [0] * len(cut), cut, rewards, limit=1)  # lengths matter to `overlong` alone, refused here


def best_of_n_curve(candidates: Sequence[Candidates]) -> list[dict[str, float]]:
    """For n = 1, 2, 4 … answers: unbiased worth of the best of n, its KL by the answers' own frequencies, the bound.

    Means over prompts, n up to the fewest answers that one has. The KL takes the distinct texts of a prompt for all
    that the policy says: right where it says little, too small where every text is new; at most log(answers).
    """
    most = min(len(one.completions) for one in candidates)
    sizes = [2**k for k in range(most.bit_length()) if 2**k < most] + [most]
    return [
        {
            "n": n,
            "worth": _mean([float(best_of_n_mean(one.worth, one.worth, n)) for one in candidates]),
            "kl": _mean([float(best_of_n_kl(*_frequencies(one), n)) for one in candidates]),
            "kl_bound": best_of_n_kl_bound(n),
        }
        for n in sizes
    ]


def _candidates(completions: Sequence[Completion], values: Tensor) -> list[Candidates]:
    """Answers by prompt, in the order in which prompts first appear."""
    of: dict[Messages, list[int]] = {}
    for i, completion in enumerate(completions):
        of.setdefault(completion.prompt.messages, []).append(i)
    return [Candidates([completions[i] for i in places], values[places]) for places in of.values()]


def _frequencies(one: Candidates) -> tuple[Tensor, Tensor]:
    """How often each distinct text was given, and what it is worth."""
    texts: dict[str, list[float]] = {}
    for completion, value in zip(one.completions, one.worth.tolist(), strict=True):
        texts.setdefault(completion.text, []).append(value)
    counts = torch.tensor([float(len(values)) for values in texts.values()])
    return counts / counts.sum(), torch.tensor([max(values) for values in texts.values()])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
