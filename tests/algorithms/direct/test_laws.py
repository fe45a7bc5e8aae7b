"""Laws of every direct loss: where it starts, which way it pulls, and that how a step is cut changes nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from math import log
from pathlib import Path

import pytest
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
from direct_house import (
    LN2,
    PAIRED,
    UNPAIRED,
    Free,
    Plain,
    label_batch,
    label_part,
    named,
    numbers,
    part,
    preference_batch,
)

from heedful.algorithms.direct.paired import paired_objective
from heedful.algorithms.direct.unpaired import unpaired_objective
from heedful.batches import LossOutput, PreferenceBatch
from heedful.config.direct import DirectLoss, IPOLoss, PairedLoss, UnpairedLoss

EVERY: list[PairedLoss] = [*PAIRED, IPOLoss(tau=0.7, length_average=True)]
WANTED = 2.5 / 4.25  # the desirable share of label_batch
METRICS = {"loss/start"} | {f"rewards/{x}" for x in ("chosen", "rejected", "margin", "accuracy")}
METRICS |= {"logps/chosen", "logps/rejected"}

# What a loss must be at π = π_ref, with its default knobs.
START = {
    "dpo": LN2,
    "cdpo": LN2,
    "robust": LN2,
    "ipo": 25.0,
    "hinge": 1.0,
    "dpo_norm": LN2,
    "dpop": LN2,
    "nca": 2 * LN2,
    "apo_zero": 1.0,
    "apo_down": 1.0,
    "sppo": 500_000.0,
    "exo": 0.5 * log(0.5 / 0.999) + 0.5 * log(0.5 / 0.001),
    "ld_dpo": LN2,
    "kto": 0.5,
    "bco": LN2,
}
ids = [named(loss) for loss in EVERY]


def read(loss: PairedLoss, policy: Tensor, collision: Tensor, batch: PreferenceBatch) -> LossOutput:
    model = Free(policy, collision) if loss.type == "wpo" else Plain(policy, collision)
    return paired_objective(loss)(model, batch)


def of_labels(loss: UnpairedLoss, policy: Tensor, reference: Tensor, baseline: float = 0.0) -> LossOutput:
    return unpaired_objective(loss, WANTED)(Plain(policy, policy), label_batch(reference, baseline=baseline))


@pytest.mark.parametrize("loss", PAIRED, ids=named)
def test_the_first_loss_is_the_stated_one(loss: PairedLoss) -> None:
    _, reference, collision = numbers()
    output = read(loss, reference, collision, preference_batch(reference))
    count = output.count.item()
    assert count == pytest.approx(1.5)
    assert output.loss.item() == pytest.approx(output.metrics["loss/start"].item())
    if loss.type in START:
        assert output.loss.item() / count == pytest.approx(START[loss.type])
    if loss.reference:
        assert output.metrics["rewards/margin"].item() == pytest.approx(0, abs=1e-12)
        assert output.metrics["rewards/accuracy"].item() / count == pytest.approx(0.5)


@pytest.mark.parametrize("loss", [loss for loss in PAIRED if loss.margins and loss.reference], ids=named)
def test_the_first_loss_is_the_stated_one_with_margins_too(loss: PairedLoss) -> None:
    policy, reference, collision = numbers()
    output = read(loss, reference, collision, preference_batch(reference, margin=0.4))
    assert output.loss.item() == pytest.approx(output.metrics["loss/start"].item())
    assert read(loss, policy, collision, preference_batch(reference)).metrics["loss/start"] < output.loss


@pytest.mark.parametrize("loss", UNPAIRED, ids=named)
def test_the_first_loss_on_labels_is_the_stated_one(loss: UnpairedLoss) -> None:
    _, reference, _ = numbers()
    output = of_labels(loss, reference, reference)
    assert output.loss.item() / output.count.item() == pytest.approx(START[loss.type])
    assert output.loss.item() == pytest.approx(output.metrics["loss/start"].item())
    assert output.metrics["rewards/accuracy"].item() / output.count.item() == pytest.approx(0.5)


@pytest.mark.parametrize("loss", EVERY, ids=ids)
def test_gradient_equals_finite_differences(loss: PairedLoss) -> None:
    policy, reference, collision = numbers()
    if loss.type == "wpo":  # its weights are constants, so that the loss alone has no such law
        assert_only_the_logit_pulls(loss, policy, reference, collision)
        return
    batch = preference_batch(reference, margin=0.1)
    policy.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: read(loss, x, collision, batch).loss, policy)


def assert_only_the_logit_pulls(loss: PairedLoss, policy: Tensor, reference: Tensor, collision: Tensor) -> None:
    """WPO's gradient is DPO's, each pair's times its constant weight w_w w_l > 0."""
    (batch,) = [part(preference_batch(reference), slice(3, 5), slice(3, 4))]
    slope = {}
    for kind in ("wpo", "dpo"):
        free = policy.clone().requires_grad_(True)
        same = loss if kind == "wpo" else next(other for other in PAIRED if other.type == "dpo")
        same = same.model_copy(update={"beta": 0.3})
        (slope[kind],) = torch.autograd.grad(read(same, free, collision, batch).loss, free)
    chosen, rejected = (policy - collision)[6:10].mean(), (policy - collision)[10:12].mean()
    torch.testing.assert_close(slope["wpo"], (chosen + rejected).exp() * slope["dpo"])


@pytest.mark.parametrize("loss", UNPAIRED, ids=named)
def test_gradient_on_labels_equals_finite_differences(loss: UnpairedLoss) -> None:
    policy, reference, _ = numbers()
    policy.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: of_labels(loss, x, reference, 0.3).loss, policy)


@pytest.mark.parametrize("loss", EVERY, ids=ids)
def test_a_step_down_the_gradient_lowers_the_loss_and_raises_the_margin(loss: PairedLoss) -> None:
    _, reference, collision = numbers()
    batch = part(preference_batch(reference), slice(3, 5), slice(3, 4))
    free = (reference - 0.01).requires_grad_(True)  # less likely than under the reference, both
    before = read(loss, free, collision, batch)
    (slope,) = torch.autograd.grad(before.loss, free)
    after = read(loss, free.detach() - 1e-3 * slope / slope.abs().max(), collision, batch)
    assert after.loss < before.loss
    assert after.metrics["logps/chosen"] - after.metrics["logps/rejected"] > (
        before.metrics["logps/chosen"] - before.metrics["logps/rejected"]
    )
    if loss.type != "apo_down":  # which lowers both
        assert (slope[6:10] < 0).all()
    assert (slope[10:12] >= 0).all()


@pytest.mark.parametrize("loss", UNPAIRED, ids=named)
def test_wanted_answers_rise_and_others_fall(loss: UnpairedLoss) -> None:
    _, reference, _ = numbers()
    free = reference.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(of_labels(loss, free, reference).loss, free)
    assert (slope[:3] < 0).all() and (slope[6:10] < 0).all()
    assert (slope[3:4] > 0).all() and (slope[10:] > 0).all()
    assert slope[4:6].abs().max() < 1e-12  # as much for it as against it


@pytest.mark.parametrize("loss", EVERY, ids=ids)
def test_the_opposite_judgement_costs_more_and_mirrors_the_drift(loss: PairedLoss) -> None:
    policy, _, collision = numbers()
    shift = torch.zeros_like(policy)
    shift[6:10], shift[10:12] = -0.4, 0.9  # d_w = 1.6, d_l = −1.8
    policy[6:10], policy[10:12] = -0.5, -1.5
    batch = part(preference_batch(policy + shift), slice(3, 5), slice(3, 4))
    swapped = replace(batch, pairs=replace(batch.pairs, chosen=batch.pairs.rejected, rejected=batch.pairs.chosen))
    there, back = read(loss, policy, collision, batch), read(loss, policy, collision, swapped)
    assert there.loss < back.loss
    weight = there.count.item()
    if loss.reference:
        assert there.metrics["logps/chosen"].item() == pytest.approx(1.6 * weight)
        assert there.metrics["logps/rejected"].item() == pytest.approx(-1.8 * weight)
    assert there.metrics["logps/chosen"] == back.metrics["logps/rejected"]
    assert there.metrics["rewards/accuracy"].item() == pytest.approx(weight)
    assert back.metrics["rewards/accuracy"].item() == 0.0
    margin = there.metrics["rewards/chosen"] - there.metrics["rewards/rejected"]
    assert there.metrics["rewards/margin"].item() == pytest.approx(margin.item()) and margin > 0


def whole_and_parts(
    whole: Callable[[Tensor], LossOutput], parts: list[Callable[[Tensor], LossOutput]], policy: Tensor
) -> None:
    """The sums of the parts are the whole's, gradients included."""
    policy.requires_grad_(True)
    outputs = [part(policy) for part in parts]
    one = whole(policy)
    (slope,) = torch.autograd.grad(one.loss, policy)
    added = sum(torch.autograd.grad(output.loss, policy)[0] for output in outputs)
    torch.testing.assert_close(added, slope)
    for name, found in {"loss": one.loss, "count": one.count, **one.metrics}.items():
        others = [{"loss": o.loss, "count": o.count, **o.metrics}[name].item() for o in outputs]
        assert sum(others) == pytest.approx(found.item()), name


@pytest.mark.parametrize("loss", EVERY, ids=ids)
def test_one_batch_of_two_prompts_equals_two_of_one(loss: PairedLoss) -> None:
    policy, reference, collision = numbers()
    batch = preference_batch(reference, margin=0.2)
    cuts = [part(batch, slice(0, 3), slice(0, 3)), part(batch, slice(3, 5), slice(3, 4))]
    whole_and_parts(
        lambda x: read(loss, x, collision, batch),
        [lambda x, cut=cut: read(loss, x, collision, cut) for cut in cuts],  # type: ignore[misc]
        policy,
    )


@pytest.mark.parametrize("loss", UNPAIRED, ids=named)
def test_one_batch_of_labels_equals_several(loss: UnpairedLoss) -> None:
    policy, reference, _ = numbers()
    batch, objective = label_batch(reference, baseline=0.3), unpaired_objective(loss, WANTED)
    cuts = [label_part(batch, slice(0, 2)), label_part(batch, slice(2, 5))]
    whole_and_parts(
        lambda x: objective(Plain(x, x), batch),
        [lambda x, cut=cut: objective(Plain(x, x), cut) for cut in cuts],  # type: ignore[misc]
        policy,
    )


@pytest.mark.parametrize("loss", EVERY, ids=ids)
def test_a_loss_reads_what_it_says_it_reads(loss: PairedLoss) -> None:
    policy, reference, collision = numbers()

    def at(reference: Tensor, margin: float) -> float:
        return read(loss, policy, collision, preference_batch(reference, margin=margin)).loss.item()

    plain = at(reference, 0.0)
    moved = reference.clone()
    moved[:3] -= 0.5
    assert (at(moved, 0.0) != plain) == loss.reference
    assert (at(reference, 0.5) > plain) if loss.margins else (at(reference, 0.5) == plain)


@pytest.mark.parametrize("loss", [*PAIRED, *UNPAIRED], ids=named)
def test_every_loss_has_its_page_and_its_lines_in_the_table(loss: DirectLoss) -> None:
    docs = Path(__file__).parents[3] / "docs" / "algorithms"
    pages = [page.read_text() for page in docs.glob("*.md") if page.name != "README.md"]
    used = f'type = "{named(loss)}"', f'`"{named(loss)}"`'
    assert named(loss) == "dpo" or sum(any(how in page for how in used) for page in pages) == 1
    assert (docs / "README.md").read_text().count(f"`{named(loss)}`") >= 2


@pytest.mark.parametrize("loss", [*PAIRED, *UNPAIRED], ids=named)
def test_all_losses_log_the_same(loss: DirectLoss) -> None:
    policy, reference, collision = numbers()
    if isinstance(loss, UnpairedLoss):
        output = of_labels(loss, policy, reference)
    else:
        output = read(loss, policy, collision, preference_batch(reference))  # type: ignore[arg-type]
    assert set(output.metrics) == METRICS
    assert not any(value.requires_grad for value in output.metrics.values())


def test_metrics_are_means_over_wanted_and_over_unwanted_answers() -> None:
    policy, reference, _ = numbers()
    output = of_labels(next(loss for loss in UNPAIRED if loss.type == "bco"), policy, reference, baseline=0.02)
    d = [part.sum().item() for part in (policy - reference).split([3, 1, 2, 4, 2])]
    mean = {name: value.item() / output.count.item() for name, value in output.metrics.items()}
    chosen, rejected = (d[0] + 0.5 * d[2] + d[3]) / 2.5, (d[1] + 0.5 * d[2] + 0.25 * d[4]) / 1.75
    assert mean["logps/chosen"] == pytest.approx(chosen)
    assert mean["logps/rejected"] == pytest.approx(rejected)
    assert mean["rewards/chosen"] == pytest.approx(0.1 * chosen)
    assert mean["rewards/rejected"] == pytest.approx(0.1 * rejected)
    assert mean["rewards/margin"] == pytest.approx(0.1 * (chosen - rejected))
    right = [(weight, 0.1 * value > 0.02) for weight, value in zip((1, 0, 0.5, 1, 0), d, strict=True)]
    wrong = [(weight, 0.1 * value < 0.02) for weight, value in zip((0, 1, 0.5, 0, 0.25), d, strict=True)]
    assert mean["rewards/accuracy"] == pytest.approx(sum(w for w, hit in right + wrong if hit) / 4.25)


def test_answers_count_by_the_sum_of_their_tokens() -> None:
    """And a loss that divides by length divides by the answer's tokens, prompt left out."""
    policy, reference, collision = numbers()
    batch = part(preference_batch(0 * reference), slice(3, 5), slice(3, 4))
    by_type = {loss.type: read(loss, policy, collision, batch).metrics for loss in PAIRED}
    chosen, rejected = policy[6:10], policy[10:12]
    assert by_type["dpo"]["logps/chosen"].item() == pytest.approx(0.5 * chosen.sum().item())
    assert by_type["dpo"]["rewards/rejected"].item() == pytest.approx(0.5 * 0.1 * rejected.sum().item())
    assert by_type["dpo_norm"]["rewards/chosen"].item() == pytest.approx(0.5 * 5 * chosen.mean().item())
    assert by_type["simpo"]["rewards/rejected"].item() == pytest.approx(0.5 * 2 * rejected.mean().item())


def test_ld_dpo_fades_the_tail_beyond_the_shorter_answer() -> None:
    policy, reference, collision = numbers()
    loss = next(loss for loss in PAIRED if loss.type == "ld_dpo")
    d = policy - reference
    metrics = read(loss, policy, collision, part(preference_batch(reference), slice(3, 5), slice(3, 4))).metrics
    assert metrics["rewards/chosen"].item() == pytest.approx(0.5 * 0.1 * (d[6:8].sum() + 0.5 * d[8:10].sum()).item())
    assert metrics["rewards/rejected"].item() == pytest.approx(0.5 * 0.1 * d[10:12].sum().item())


def test_weights_of_answers_that_the_policy_would_write() -> None:
    """WPO: e^{mean (log π − log Σ π²)} of both answers; 1 for tokens as likely as the distribution is concentrated."""
    policy, reference, _ = numbers()
    batch = part(preference_batch(reference), slice(3, 5), slice(3, 4))
    wpo = next(loss for loss in PAIRED if loss.type == "wpo")
    dpo = next(loss for loss in PAIRED if loss.type == "dpo").model_copy(update={"beta": wpo.beta})
    plain = read(dpo, policy, policy, batch).loss.item()
    assert read(wpo, policy, policy, batch).loss.item() == pytest.approx(plain)
    assert read(wpo, policy, policy + 0.5, batch).loss.item() == pytest.approx(plain * torch.tensor(-1.0).exp().item())
