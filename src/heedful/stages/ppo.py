"""Proximal policy optimisation: from prompts and a reward model to a policy, on a KL leash to where it came from."""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import Accelerator

from heedful.algorithms.on_policy.ppo import ppo_objective
from heedful.config import PPOConfig
from heedful.data.chat import Chat
from heedful.data.sources import read_documents, read_prompts
from heedful.errors import InputError
from heedful.models.heads import ActorCritic, Policy, context_of
from heedful.models.loading import Affine, critic_from_reward, load_policy, save_policy
from heedful.models.lora import Underlying, add_lora
from heedful.records import Messages
from heedful.rewards.model import ModelReward
from heedful.run import Run
from heedful.sampling import make_sampler
from heedful.train.loop import fit, make_accelerator
from heedful.train.on_policy import OnPolicySource
from heedful.train.rollout import Asked, Players
from heedful.train.rollout_log import sequence_kl
from heedful.train.text_mix import TextMix


def ppo(config: PPOConfig, run: Run) -> None:
    """Practise on prompts, paid by the reward model; keep the last policy within the KL budget."""
    if config.generation.temperature == 0:
        raise InputError("generation.temperature is 0: PPO learns from varied answers, set it above 0 (1 is usual)")
    accelerator = make_accelerator(config.training)
    policy, chat = load_policy(config.model, device=accelerator.device)
    run.note(add_lora(policy.lm, config.lora, config.model, run.seed_for("lora")))
    critic = critic_from_reward(config.rewards.model, device=accelerator.device, affine=config.rewards.affine)
    said = add_lora(critic.backbone, config.critic_lora, config.rewards.model, run.seed_for("critic-lora"))
    run.note(f"critic: {said}" if said else "")
    reward = ModelReward.load(config.rewards.model, accelerator.device, affine=config.rewards.affine)
    players = Players(
        policy=policy,
        reference=_reference(config, policy, accelerator),
        critic=critic,
        sampler=make_sampler(policy, config.sampler, config.generation.batch),
        reward=reward,
        chat=chat,
    )
    _say_units(config, reward.affine, run)
    source = OnPolicySource(
        players,
        _asked(config, chat, context_of(policy.lm)),
        _text(config, chat, context_of(policy.lm)),
        config,
        run,
        accelerator,
        starts_at_reference=_starts_at_reference(config),
    )
    train(source, config, run, accelerator)


def train(source: OnPolicySource, config: PPOConfig, run: Run, accelerator: Accelerator) -> None:
    """Fit policy and critic, fall back where the KL left its budget, save, and sum up."""
    players = source.players
    fit(
        ActorCritic(players.policy, players.critic),
        source,
        ppo_objective(config.algorithm, config.generation.temperature),
        optim={"policy": config.optim, "critic": config.critic_optim},
        training=config.training.model_copy(update={"log_every": source.total_steps}),  # one line an iteration
        run=run,
        accelerator=accelerator,
    )
    if not source.stopped:
        _measure_end(source, config.algorithm.iterations, run)
    if source.stopped:
        source.last_good.restore(players.policy)
    if run.main:
        save_policy(players.policy, players.chat, run.model)
    accelerator.wait_for_everyone()  # all have read what was kept
    run.summary |= {
        "stopped": source.stopped,
        "kl": source.last_good.kl,
        "kept_iteration": source.last_good.iteration,
        "kl_coefficient": source.coefficient,
        "peak_memory_mb": _peak_memory_mb(),
    }


def _measure_end(source: OnPolicySource, iterations: int, run: Run) -> None:
    """One more rollout, which nothing is learned from: how the last weights do, and whether they are within budget."""
    collected = source.collect(iterations)
    if source.within_budget(iterations, collected):
        scores = torch.tensor([score.value for score in collected.scores])
        run.summary |= {"reward": source.mean(scores), "kl": source.mean(sequence_kl(collected))}
        run.say(f"reward {run.summary['reward']:+.3f} at a KL of {run.summary['kl']:.2f} nats to the reference")


def _starts_at_reference(config: PPOConfig) -> bool:
    return not config.reference or Path(config.reference).resolve() == Path(config.model).resolve()


def _reference(config: PPOConfig, policy: Policy, accelerator: Accelerator) -> Policy:
    """A frozen copy of its own, or what the policy's adapters stand on."""
    if config.lora.rank:
        if not _starts_at_reference(config):
            raise InputError(
                f"reference = {config.reference} is not model = {config.model}: with lora the reference is the model "
                "with its adapters off; leave reference out, or train all weights by leaving lora out"
            )
        return Underlying(policy.lm)
    reference, _ = load_policy(config.reference or config.model, device=accelerator.device)
    reference.requires_grad_(False)
    return reference


def _asked(config: PPOConfig, chat: Chat, context: int) -> list[Asked]:
    """The prompts as tokens; one that leaves no room for an answer is refused before anything is sampled."""
    asked = [Asked(prompt, chat.prompt_ids(prompt.messages)) for prompt in read_prompts(config.prompts)]
    for row, one in enumerate(asked, start=1):
        if len(one.ids) >= context:
            raise InputError(
                f"{config.prompts}: prompt {row} has {len(one.ids)} tokens and the model's context is {context}: "
                "shorten it to leave room for an answer"
            )
    if not asked:
        raise InputError(f"{config.prompts}: holds no prompts: give at least one")
    return asked


def _text(config: PPOConfig, chat: Chat, context: int) -> TextMix:
    """What is mixed in against forgetting: nothing where no text is given or it weighs nothing."""
    on = config.ptx.data and config.ptx.coefficient
    documents: Sequence[str | Messages] = read_documents(config.ptx.data) if on else ()
    return TextMix(documents, chat, config.ptx.tokens, context)


def _say_units(config: PPOConfig, affine: Affine, run: Run) -> None:
    """β means nothing without its unit."""
    beta = config.kl.coefficient
    run.summary |= {"beta": beta, "beta_log_odds": beta * affine.std}
    run.say(
        f"β {beta:g} a nat in units of the reward as paid = {beta * affine.std:.3g} in the reward model's log-odds "
        f"(one standard deviation of SFT samples is {affine.std:.3g} log-odds)"
    )


def _peak_memory_mb() -> float:
    """The most memory that this process has held: of the accelerator where there is one."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes, on macOS bytes
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
