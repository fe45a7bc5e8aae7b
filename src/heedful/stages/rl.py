"""Practise without a critic: RLOO, GRPO and their family, online DPO, XPO, Nash-MD."""

from __future__ import annotations

from accelerate import Accelerator
from torch import nn

from heedful.algorithms.on_policy.critic_free import critic_free_objective
from heedful.algorithms.on_policy.duels import duel_objective
from heedful.config import RLConfig
from heedful.config.rl import XPO, NashMD, OnlineDPO
from heedful.models.actor import Actor, LeashedActor
from heedful.run import Run
from heedful.stages.practice import asked, seat, text_of, train
from heedful.train.duel_method import DuelMethod
from heedful.train.group_method import GroupMethod, NashMethod
from heedful.train.loop import Objective, make_accelerator
from heedful.train.on_policy import Method, OnPolicySource
from heedful.train.opponents import FixedSampler, MixtureSampler, Opponent
from heedful.train.rollout import Players


def rl(config: RLConfig, run: Run) -> None:
    """Practise on prompts, paid by the rewards; keep the last policy within the KL budget."""
    accelerator = make_accelerator(config.training)
    players = seat(config, run, accelerator)
    source = OnPolicySource(
        players,
        method_of(config, players, run, accelerator),
        asked(config, players),
        text_of(config, players, run),
        config.practice,
        config,
        run,
        accelerator,
        starts_at_reference=not config.kl.apart,
    )
    train(source, _model(config, players), objective_of(config), {"": config.optim}, run)


def method_of(config: RLConfig, players: Players, run: Run, accelerator: Accelerator) -> Method:
    """How the algorithm learns from a rollout, and against whom."""
    match config.algorithm:
        case OnlineDPO() as algorithm:
            return DuelMethod(algorithm, config)
        case XPO() as algorithm:
            reference = Opponent(players, FixedSampler(players.reference), config, run, accelerator)
            return DuelMethod(algorithm, config, reference)
        case NashMD() as algorithm:
            mixture = MixtureSampler(players.policy, players.reference, algorithm.mixture)
            opponent = Opponent(players, mixture, config, run, accelerator)
            return NashMethod(GroupMethod(algorithm, config), opponent)
        case algorithm:
            return GroupMethod(algorithm, config)


def objective_of(config: RLConfig) -> Objective:
    """The algorithm's own, at the temperature that the answers are sampled at."""
    match config.algorithm:
        case OnlineDPO() | XPO() as algorithm:
            return duel_objective(algorithm, config.generation.temperature)
        case algorithm:
            limit = config.generation.max_new_tokens
            return critic_free_objective(algorithm, config.generation.temperature, limit=limit)


def _model(config: RLConfig, players: Players) -> nn.Module:
    """The policy, with the reference beside it where the loss needs its whole distribution."""
    if getattr(config.algorithm, "penalty", "") == "exact" and config.kl.coefficient:
        return LeashedActor(players.policy, players.reference)
    return Actor(players.policy)
