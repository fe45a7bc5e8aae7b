"""Proximal policy optimisation: from prompts and rewards to a policy, on a KL leash to where it came from."""

from __future__ import annotations

from heedful.algorithms.on_policy.ppo import ppo_objective
from heedful.config import PPOConfig
from heedful.config.rl import Practice
from heedful.models.heads import ActorCritic
from heedful.models.loading import critic_from_reward
from heedful.models.lora import add_lora
from heedful.rewards.blend import is_blend, scored_by
from heedful.run import Run
from heedful.stages.practice import asked, seat, text_of, train
from heedful.train.loop import make_accelerator
from heedful.train.on_policy import OnPolicySource
from heedful.train.ppo_method import PPOMethod


def ppo(config: PPOConfig, run: Run) -> None:
    """Practise on prompts, paid by the rewards; keep the last policy within the KL budget."""
    accelerator = make_accelerator(config.training)
    players = seat(config, run, accelerator)
    start = config.algorithm.critic or config.rewards.model
    start = scored_by(start) if is_blend(start) else start
    critic = critic_from_reward(start, device=accelerator.device, affine=config.rewards.affine)
    said = add_lora(critic.backbone, config.critic_lora, start, run.seed_for("critic-lora"))
    run.note(f"critic: {said}" if said else "")
    source = OnPolicySource(
        players,
        PPOMethod(critic, config, accelerator),
        asked(config, players),
        text_of(config, players, run),
        practice_of(config),
        config,
        run,
        accelerator,
        starts_at_reference=not config.kl.apart,
    )
    train(
        source,
        ActorCritic(players.policy, critic),
        ppo_objective(config.algorithm, config.generation.temperature),
        {"policy": config.optim, "critic": config.critic_optim},
        run,
    )


def practice_of(config: PPOConfig) -> Practice:
    """PPO's rollouts: one answer a prompt."""
    algorithm = config.algorithm
    return Practice(
        iterations=algorithm.iterations,
        prompts=algorithm.prompts,
        completions=1,
        epochs=algorithm.epochs,
        minibatches=algorithm.minibatches,
        overlap=algorithm.overlap,
    )
