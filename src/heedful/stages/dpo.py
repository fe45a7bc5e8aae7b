"""Direct preference optimisation: from judged answers to a policy without a reward model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from accelerate import Accelerator

from heedful.config import DPOConfig
from heedful.config.direct import UnpairedLoss
from heedful.models.loading import load_policy, save_policy
from heedful.models.lora import add_lora
from heedful.run import Run
from heedful.train import laws
from heedful.train.course import Course, Setting
from heedful.train.loop import fit, make_accelerator
from heedful.train.paired import paired_course
from heedful.train.unpaired import unpaired_course

CHECKED = 8  # items of the first step by which the loss must start as stated
SHOWN = (8, 64)  # at least and at most, of the items that stand in for held-out ones where none are given
FALLEN = 50.0  # nats that chosen answers may lose: losses that kept a policy whole cost 3, the one that ruined it 102
SHOWN_PART = 8  # one in so many: the look costs little beside the epoch


def dpo(config: DPOConfig, run: Run) -> None:
    """Read judgements, hold the policy to its own start, train, save, and say how it fares on held-out ones."""
    accelerator = make_accelerator(config.training)
    policy, chat = load_policy(config.model, device=accelerator.device)
    run.note(add_lora(policy.lm, config.lora, config.model, run.seed_for("lora")))
    setting = Setting(config, policy, chat, run, accelerator)
    loss = config.loss
    course = unpaired_course(loss, setting) if isinstance(loss, UnpairedLoss) else paired_course(loss, setting)
    held_out = course.items > course.training
    shown = range(course.training, course.items) if held_out else range(shown_of(course.training))
    if config.loss.reference:
        start = _measure(course, course.first[:CHECKED], accelerator)
        laws.first_loss_is_as_stated(config.loss.type, start["loss"], start["loss/start"], config.training.precision)
    before = {} if config.loss.reference else _measure(course, shown, accelerator)
    fit(
        course.model,
        course.source,
        course.objective,
        optim={"": config.optim},
        training=config.training,
        run=run,
        accelerator=accelerator,
        heldout=(lambda: list(course.batches(shown))) if held_out and config.training.early_stop.metric else tuple,
    )
    found = _measure(course, shown, accelerator)
    drift = {side: found[f"logps/{side}"] - before.get(f"logps/{side}", 0.0) for side in ("chosen", "rejected")}
    _report(course, found, drift, run, where="held-out" if held_out else "training")
    if run.main:
        save_policy(policy, chat, run.model)


def shown_of(training: int) -> int:
    """How many of the items that are trained on stand in for held-out ones."""
    return min(training, max(SHOWN[0], training // SHOWN_PART), SHOWN[1])


@torch.no_grad()
def _measure(course: Course, members: Sequence[int], accelerator: Accelerator) -> dict[str, float]:
    """The objective and its metrics over some items, each with its own weight."""
    totals, count = dict[str, float](), 0.0
    for batch in course.batches(members):
        with accelerator.autocast():
            output = course.objective(course.model, batch.to(accelerator.device))
        count += float(output.count)
        for name, value in {"loss": output.loss, **output.metrics}.items():
            totals[name] = totals.get(name, 0.0) + float(value)
    return {name: total / count for name, total in totals.items()}


def _report(course: Course, found: dict[str, float], drift: dict[str, float], run: Run, *, where: str) -> None:
    """What the trained policy makes of judgements, into the summary; a sentence where chosen answers grew rarer."""
    run.summary |= {
        course.counted: course.count,
        "rankings" if course.counted == "pairs" else "prompts": course.items,
        "shown": where,
        "loss": found["loss"],
        "accuracy": found["rewards/accuracy"],
        "margin": found["rewards/margin"],
        "chosen_drift": drift["chosen"],
        "rejected_drift": drift["rejected"],
    }
    run.say(
        f"{where} {course.counted}: {found['rewards/accuracy']:.1%} right, "
        f"reward margin {found['rewards/margin']:.2f}; log-probability of chosen answers {drift['chosen']:+.1f} nats, "
        f"of rejected ones {drift['rejected']:+.1f}"
    )
    run.note(_displaced(drift["chosen"]))


def _displaced(chosen: float) -> str:
    """A sentence where chosen answers grew rarer, by so many nats; "" where they did not."""
    if chosen >= 0:
        return ""
    if chosen < -FALLEN:
        return (
            f"chosen answers fell by {-chosen:.0f} nats on average, more than {FALLEN:.0f}: the policy may have "
            "collapsed, so evaluate it before anything builds on it; lower optim.lr, end training by a held-out metric "
            "(heldout, training.early_stop.metric = heldout/rewards/accuracy, .better = higher), or take another loss"
        )
    return (
        "chosen answers became less likely (likelihood displacement): usual where a loss sees only the difference "
        "to the rejected ones; where the policy then says something worse than both, raise loss.beta, lower "
        "optim.lr, take a loss that holds the chosen answers up (rpo, dpop, nca), or use PPO"
    )
