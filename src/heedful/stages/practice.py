"""What the stages that let a policy practise share: who takes part, what is asked, and how it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn

from heedful.config import Optim, PPOConfig, RLConfig
from heedful.data.chat import Chat
from heedful.data.lengths import refuse_overlong
from heedful.data.sources import read_documents, read_prompts
from heedful.errors import InputError
from heedful.models.heads import Policy, context_of
from heedful.models.loading import load_policy, save_policy
from heedful.models.lora import Underlying, add_lora
from heedful.records import Messages
from heedful.rewards import Reward
from heedful.rewards.blend import BlendReward
from heedful.rewards.build import build_reward
from heedful.rewards.model import ModelReward
from heedful.run import Run, digest
from heedful.sampling import make_sampler
from heedful.train.loop import Objective, fit
from heedful.train.on_policy import OnPolicySource
from heedful.train.rollout import Asked, Players
from heedful.train.rollout_log import sequence_kl
from heedful.train.text_mix import TextMix

Config = PPOConfig | RLConfig


def seat(config: Config, run: Run, accelerator: Accelerator) -> Players:
    """Everyone who takes part in rollouts, and what β means in their units."""
    if config.generation.temperature == 0:
        raise InputError(
            "generation.temperature is 0: a policy learns from varied answers, set it above 0 (1 is usual)"
        )
    policy, chat = load_policy(config.model, device=accelerator.device)
    run.note(add_lora(policy.lm, config.lora, config.model, run.seed_for("lora")))
    reward = build_reward(config.rewards, accelerator.device)
    _say_units(config, reward, run)
    sampler = make_sampler(policy, config.sampler, config.generation.batch)
    return Players(policy, _reference(config, policy, chat, run, accelerator), sampler, reward, chat)


def _reference(config: Config, policy: Policy, chat: Chat, run: Run, accelerator: Accelerator) -> Policy:
    """A frozen copy of its own, or what the policy's adapters stand on. InputError: one that is not meant, or
    that reads other tokens."""
    begins = _is_the_model(config)
    if config.lora.rank and not begins:
        raise InputError(
            f"reference = {config.reference} is not model = {config.model}: with lora the reference is the model "
            "with its adapters off; leave reference out, or train all weights by leaving lora out"
        )
    _refuse_unmeant(config, begins)
    if config.lora.rank:
        return Underlying(policy.lm)
    reference, other = load_policy(config.reference or config.model, device=accelerator.device)
    if reference.vocabulary != policy.vocabulary or other.tokenizer.get_vocab() != chat.tokenizer.get_vocab():
        raise InputError(
            f"reference = {config.reference} has another vocabulary than model = {config.model}, so no KL lies between "
            "them: give the model that training starts from, or one that it was trained from"
        )
    if config.kl.apart:
        run.say(f"the reference is {config.reference}, not the model that training starts from: KL begins above 0")
    return reference.requires_grad_(False)


def _refuse_unmeant(config: Config, begins: bool) -> None:
    """A reference that is not where training starts is often a slip, and pulls the policy elsewhere from the start."""
    if not begins and not config.kl.apart:
        raise InputError(
            f"reference = {config.reference} is not model = {config.model}, where training starts, so KL would begin "
            "above 0: leave reference out, or set kl.apart = true if it is meant"
        )
    if begins and config.kl.apart:
        raise InputError(
            f"kl.apart says that the reference is another model, but reference = {config.reference} is "
            f"model = {config.model} itself or a copy of it: leave kl.apart out"
        )


class Moving(nn.Module):
    """A frozen network that follows another: as buffers, its tensors stand in the checkpoints."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        for name, parameter in network.named_parameters():
            self.register_buffer(name.replace(".", "/"), parameter.data)


def _is_the_model(config: Config) -> bool:
    """Whether the reference is the model that training starts from, or a copy of it, byte for byte. Once the
    reference is taken, that is what `kl.apart` denies: see `_refuse_unmeant`."""
    model, reference = Path(config.model), Path(config.reference or config.model)
    return reference.resolve() == model.resolve() or (reference.is_dir() and digest(reference) == digest(model))


def asked(config: Config, players: Players) -> list[Asked]:
    """The prompts as tokens; one that leaves no room for an answer is refused before anything is sampled."""
    prompts = read_prompts(config.prompts)
    ids = [players.chat.prompt_ids(prompt.messages) for prompt in prompts]
    refuse_overlong(prompts, ids, context_of(players.policy.lm), paths=[config.prompts], model=config.model)
    return [Asked(*each) for each in zip(prompts, ids, strict=True)]


def text_of(config: Config, players: Players, run: Run) -> TextMix:
    """What is mixed in against forgetting: nothing where no text is given."""
    documents: Sequence[str | Messages] = read_documents(config.ptx.data) if config.ptx.data else ()
    text = TextMix(documents, players.chat, config.ptx.tokens, context_of(players.policy.lm))
    if run.main:
        run.note(text.note())
    return text


def train(source: OnPolicySource, model: nn.Module, objective: Objective, optim: Mapping[str, Optim], run: Run) -> None:
    """Fit the model, fall back where the KL left its budget, save, and sum up."""
    players, config, accelerator = source.players, source.config, source.accelerator
    if config.kl.ema:
        model.add_module("reference", Moving(players.reference))
    summary = fit(
        model,
        source,
        objective,
        optim=optim,
        training=config.training.model_copy(update={"log_every": source.total_steps}),  # one line an iteration
        run=run,
        accelerator=accelerator,
    )
    kept = summary.kept // source.steps_per_iteration
    beyond = bool(source.stopped) and not config.training.early_stop.metric  # early stop kept better weights already
    if beyond or not _measure_end(source, source.practice.iterations, run):
        source.last_good.restore(players.policy)
        kept = source.last_good.iteration
    if run.main:
        save_policy(players.policy, players.chat, run.model)
    accelerator.wait_for_everyone()  # all have read what was kept
    run.summary |= {
        "stopped": source.stopped,
        "kl": source.last_good.kl,
        "kept_iteration": kept,
        "kl_coefficient": source.coefficient,
    }


def _measure_end(source: OnPolicySource, iterations: int, run: Run) -> bool:
    """One more rollout, which nothing is learned from: how the weights do, and whether they are within budget."""
    collected = source.collect(iterations)
    if not source.within_budget(iterations, collected):
        return False
    scores = torch.tensor([score.value for score in collected.scores])
    run.summary |= {"reward": float(scores.mean()), "kl": float(sequence_kl(collected).mean())}
    run.say(f"reward {run.summary['reward']:+.3f} at a KL of {run.summary['kl']:.2f} nats to the reference")
    return True


def _say_units(config: Config, reward: Reward, run: Run) -> None:
    """β means nothing without its unit."""
    beta = config.kl.coefficient
    run.summary |= {"beta": beta}
    if not isinstance(reward, ModelReward | BlendReward):
        run.say(f"β {beta:g} a nat in units of the reward as paid")
        return
    std = reward.affine.std
    run.summary |= {"beta_log_odds": beta * std}
    run.say(
        f"β {beta:g} a nat in units of the reward as paid = {beta * std:.3g} in the reward's log-odds "
        f"(one standard deviation of SFT samples is {std:.3g} log-odds)"
    )
