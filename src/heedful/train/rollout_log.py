"""What is logged of a rollout: numbers over all its answers, and a few answers to read.

Sequence quantities are sums over an answer's tokens, averaged over answers; token quantities are averages over tokens.
"""

from __future__ import annotations

import json
from collections import Counter

import torch
from torch import Tensor

from heedful.config import Rewards
from heedful.config.rewards import LOGGED
from heedful.ops.advantages import centred, differs
from heedful.ops.kl import k1, k3
from heedful.ops.logprobs import sequence_sums
from heedful.records import messages_to_rows
from heedful.run import MetricsLog, Run
from heedful.train.rollout import Collected

SHOWN = 4  # answers written to samples.jsonl


def sequence_kl(collected: Collected) -> Tensor:
    """Exact KL to the reference along each answer's path: summed over its tokens. (B,) nats"""
    return sequence_sums(collected.reading.kl, collected.rollout.packed.target_lengths)


def _correlation(x: Tensor, y: Tensor) -> float:
    """Pearson's correlation; 0 where either does not vary."""
    product = ((x - x.mean()) * (y - y.mean())).mean()
    spread = (x.var(correction=0) * y.var(correction=0)).sqrt()
    return float(product / spread) if float(spread) > 1e-8 else 0.0


def _reward_metrics(collected: Collected, rewards: Rewards, beta: float) -> dict[str, float]:
    values = torch.tensor([score.value for score in collected.scores], dtype=torch.float32)
    lengths = collected.rollout.packed.target_lengths
    log_ratio = collected.rollout.policy_logprobs - collected.rollout.reference_logprobs
    total = collected.rollout.scores - beta * sequence_sums(k1(log_ratio), lengths)  # what is maximised
    metrics = {
        "reward/mean": float(values.mean()),
        "reward/std": float(values.std(correction=0)),
        "reward/total": float(total.mean()),
        "reward/length_correlation": _correlation(values, lengths.float()),
    }
    if rewards.clip:
        metrics["reward/clipped"] = float((values.abs() > rewards.clip).float().mean())
    for name in collected.scores[0].parts:
        part = torch.tensor([score.parts[name] for score in collected.scores], dtype=torch.float32)
        place = f"model/{name}" if name in LOGGED else name  # a criterion of a single model may be called anything
        metrics[f"reward/{place}"] = float(part.mean())
    return metrics


def _kl_metrics(collected: Collected) -> dict[str, float]:
    lengths = collected.rollout.packed.target_lengths
    log_ratio = collected.rollout.policy_logprobs - collected.rollout.reference_logprobs
    return {
        "kl/reference": float(sequence_kl(collected).mean()),
        "kl/k1": float(sequence_sums(k1(log_ratio), lengths).mean()),
        "kl/k3": float(sequence_sums(k3(log_ratio), lengths).mean()),
    }


def rollout_metrics(collected: Collected, rewards: Rewards, *, beta: float) -> dict[str, float]:
    """Everything that one rollout says about reward, divergence and text. β is the one it was paid with."""
    lengths = collected.rollout.packed.target_lengths
    ended = torch.tensor([float(sample.finish == "eos") for sample in collected.samples])
    commonest = Counter(collected.texts).most_common(1)[0][1]
    return (
        _reward_metrics(collected, rewards, beta)
        | _kl_metrics(collected)
        | {
            "kl/coefficient": beta,
            "policy/entropy": float(collected.reading.entropy.mean()),
            "answers/eos": float(ended.mean()),
            "answers/length": float(lengths.float().mean()),
            "answers/commonest": commonest / len(collected.texts),  # one text for everything is a collapse
            "sampler/gap": collected.sampler_gap,
        }
    )


def critic_metrics(values: Tensor, returns: Tensor) -> dict[str, float]:
    """How much the critic knew. (N,), (N,)"""
    unexplained = (returns - values).var(correction=0)
    return {
        "value/explained_variance": float(1.0 - unexplained / (returns.var(correction=0) + 1e-8)),
        "value/returns": float(returns.mean()),
    }


def importance_metrics(weights: Tensor, cap: float) -> dict[str, float]:
    """How much the sampler is corrected for; nothing where that is off. (N,)"""
    if not cap:
        return {}
    return {
        "sampler/importance": float(weights.mean()),
        "sampler/truncated": float((weights >= cap).float().mean()),
    }


def group_metrics(collected: Collected) -> dict[str, float]:
    """How far the answers to one prompt are apart in what they are paid; nothing where each stands alone."""
    rollout = collected.rollout
    if len(rollout.groups.unique()) == len(rollout.groups):
        return {}
    apart = centred(rollout.scores, rollout.groups)
    return {
        "groups/std": float(apart.square().mean().sqrt()),
        "groups/informative": float(differs(rollout.scores, rollout.groups).float().mean()),
    }


def log_samples(run: Run, iteration: int, step: int, collected: Collected) -> None:
    """A few answers in samples.jsonl, as they were before step `step`; those of a broken later attempt are dropped."""
    if not run.main:
        return
    path = run.path / "samples.jsonl"
    MetricsLog(path).cut_after(step - 1)
    kl, chosen = sequence_kl(collected), run.rng("show", iteration).permutation(len(collected.texts))[:SHOWN]
    with path.open("a", encoding="utf-8") as file:
        for i in sorted(int(i) for i in chosen):
            row = {
                "step": step,
                "iteration": iteration,
                "prompt": messages_to_rows(collected.asked[i].prompt.messages),
                "completion": collected.texts[i],
                "score": collected.scores[i].value,
                "kl": float(kl[i]),
                "finish": collected.samples[i].finish,
            }
            file.write(json.dumps(row) + "\n")  # ASCII only, so that a line of the file is a line of text
