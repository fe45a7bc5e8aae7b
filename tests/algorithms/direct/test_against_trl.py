"""Our losses against TRL's own code on the same log-probabilities: its functions, without a trainer's set-up."""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

pytest.importorskip("trl")

sys.path.insert(0, str(Path(__file__).parent))
from direct_house import LENGTHS, Free, Plain, label_batch, numbers, part, preference_batch

from heedful.algorithms.direct.paired import paired_objective
from heedful.algorithms.direct.unpaired import unpaired_objective
from heedful.batches import PreferenceBatch
from heedful.config.direct import (
    APODownLoss,
    APOZeroLoss,
    BCOLoss,
    CDPOLoss,
    DPOLoss,
    DPONormLoss,
    EXOLoss,
    HingeLoss,
    IPOLoss,
    KTOLoss,
    LDDPOLoss,
    NCALoss,
    ORPOLoss,
    PairedLoss,
    RobustLoss,
    RPOLoss,
    SimPOLoss,
    SPPOLoss,
    WPOLoss,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # TRL's own
PROMPT = 2


class Padded(nn.Module):
    """A model in TRL's sense: for each padded row, the log-probability of every next token, 0 outside the answers."""

    def __init__(self, rows: list[Tensor], collisions: list[Tensor]) -> None:
        super().__init__()
        self.eval()
        prompt = torch.zeros(PROMPT - 1, dtype=torch.float64)
        self.logprobs, self.collisions = (
            pad_sequence([torch.cat([prompt, row]) for row in values], batch_first=True)
            for values in (rows, collisions)
        )

    def forward(self, **_: object) -> SimpleNamespace:
        nothing = torch.zeros_like(self.logprobs)
        return SimpleNamespace(
            log_probs=self.logprobs,
            log_sum_sq_probs=self.collisions,
            entropy=nothing,
            mean_logits=nothing,
            is_top1=nothing.bool(),
        )


def alone() -> SimpleNamespace:
    """accelerate, in one process."""

    def same(value: Any) -> Any:
        return value

    return SimpleNamespace(device="cpu", gather=same, gather_for_metrics=same, unwrap_model=same)


def trainer(model: Padded, reference: Padded, **options: Any) -> SimpleNamespace:
    """What TRL's loss functions read of their trainer."""
    given: dict[str, Any] = {
        "model": model,
        "ref_model": reference,
        "accelerator": alone(),
        "args": SimpleNamespace(gradient_checkpointing_kwargs=None),
        "aux_loss_enabled": False,
        "precompute_ref_logps": False,
        "f_divergence_type": "reverse_kl",
        "ld_alpha": None,
        "use_weighting": False,
        "label_smoothing": 0.0,
        "loss_weights": [1.0],
        "_metrics": defaultdict(lambda: defaultdict(list)),
        "_total_train_tokens": 0,
        "_tp_size": 1,
    }
    return SimpleNamespace(**given | options)


def inputs(lengths: list[int]) -> dict[str, Tensor]:
    """Ids and masks of prompts and answers, padded."""
    masks = [torch.tensor([0] * PROMPT + [1] * length) for length in lengths]
    mask = pad_sequence(masks, batch_first=True)
    return {"input_ids": mask, "attention_mask": mask, "completion_mask": mask}


def rows(values: Tensor, answers: list[int]) -> list[Tensor]:
    every = list(values.split(LENGTHS))
    return [every[i] for i in answers]


ANSWERS = [0, 3, 2, 4]  # chosen 0 and 3, rejected 2 and 4: TRL lays them one after the other


def of_trl(monkeypatch: pytest.MonkeyPatch, **options: Any) -> Tensor:
    """TRL's mean DPO loss over two pairs."""
    import trl.trainer.dpo_trainer as module

    monkeypatch.setattr(module, "disable_gradient_checkpointing", lambda *_: torch.no_grad())
    policy, reference, collision = numbers()
    model, frozen = (Padded(rows(values, ANSWERS), rows(collision, ANSWERS)) for values in (policy, reference))
    given = inputs([LENGTHS[i] for i in ANSWERS])
    found: Tensor = module.DPOTrainer._compute_loss(trainer(model, frozen, **options), model, given, False)
    return found


def ours(loss: PairedLoss) -> Tensor:
    """The same two pairs, each weighing 1."""
    policy, reference, collision = numbers()
    whole = preference_batch(reference)
    total = torch.zeros((), dtype=torch.float64)
    for batch in (part(whole, slice(0, 3), slice(1, 2)), part(whole, slice(3, 5), slice(3, 4))):
        total = total + _loss(loss, policy, collision, batch)
    return total / 2


def _loss(loss: PairedLoss, policy: Tensor, collision: Tensor, batch: PreferenceBatch) -> Tensor:
    model = Free(policy, collision) if isinstance(loss, WPOLoss) else Plain(policy, collision)
    output = paired_objective(loss)(model, batch)
    return output.loss / output.count


@pytest.mark.parametrize(
    ("loss", "options"),
    [
        (DPOLoss(beta=0.3), {"loss_types": ["sigmoid"], "beta": 0.3}),
        (RobustLoss(beta=0.3, epsilon=0.2), {"loss_types": ["robust"], "beta": 0.3, "label_smoothing": 0.2}),
        (IPOLoss(tau=0.3, length_average=True), {"loss_types": ["ipo"], "beta": 0.3}),
        (HingeLoss(beta=0.3), {"loss_types": ["hinge"], "beta": 0.3}),
        (DPONormLoss(beta=3), {"loss_types": ["sigmoid_norm"], "beta": 3}),
        (NCALoss(beta=0.3), {"loss_types": ["nca_pair"], "beta": 0.3}),
        (APOZeroLoss(beta=0.3), {"loss_types": ["apo_zero"], "beta": 0.3}),
        (APODownLoss(beta=0.3), {"loss_types": ["apo_down"], "beta": 0.3}),
        (SPPOLoss(beta=0.3), {"loss_types": ["sppo_hard"], "beta": 0.3}),
        (EXOLoss(beta=0.3, epsilon=0.1), {"loss_types": ["exo_pair"], "beta": 0.3, "label_smoothing": 0.1}),
        (LDDPOLoss(beta=0.3, alpha=0.4), {"loss_types": ["sigmoid"], "beta": 0.3, "ld_alpha": 0.4}),
        (WPOLoss(beta=0.3), {"loss_types": ["sigmoid"], "beta": 0.3, "use_weighting": True}),
    ],
    ids=lambda value: value.type if hasattr(value, "type") else "",
)
def test_the_loss_is_the_one_of_trl(loss: PairedLoss, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert ours(loss).item() == pytest.approx(of_trl(monkeypatch, **options).item(), rel=1e-5)


def test_rpo_is_the_sum_of_two_losses_of_trl(monkeypatch: pytest.MonkeyPatch) -> None:
    """TRL means the likelihood over the tokens of all answers, the paper over each answer's: equal for one pair."""
    import trl.trainer.dpo_trainer as module

    monkeypatch.setattr(module, "disable_gradient_checkpointing", lambda *_: torch.no_grad())
    policy, reference, collision = numbers()
    model, frozen = (Padded(rows(values, [3, 4]), rows(collision, [3, 4])) for values in (policy, reference))
    asked = trainer(model, frozen, loss_types=["sigmoid", "sft"], loss_weights=[1.0, 0.7], beta=0.3)
    found = module.DPOTrainer._compute_loss(asked, model, inputs([4, 2]), False)
    batch = part(preference_batch(reference), slice(3, 5), slice(3, 4))
    assert _loss(RPOLoss(beta=0.3, alpha=0.7), policy, collision, batch).item() == pytest.approx(found.item(), rel=1e-5)


def means(answers: list[int]) -> Tensor:
    return torch.stack([row.mean() for row in rows(numbers()[0], answers)]).float()


def test_simpo_is_the_one_of_trl() -> None:
    from trl.experimental.cpo import CPOTrainer

    asked = SimpleNamespace(
        alpha=0.0, loss_type="simpo", simpo_gamma=0.7, beta=2.0, label_smoothing=0.0, accelerator=alone()
    )
    losses, chosen, _ = CPOTrainer.cpo_loss(asked, means([0, 3]), means([2, 4]))
    assert ours(SimPOLoss(beta=2.0, gamma=0.7)).item() == pytest.approx(losses.mean().item(), rel=1e-5)
    assert chosen.shape == (2,)


def test_the_odds_ratio_is_the_one_of_trl() -> None:
    from trl.experimental.orpo import ORPOTrainer

    asked = SimpleNamespace(beta=0.3, accelerator=alone())
    ratios = ORPOTrainer.odds_ratio_loss(asked, means([0, 3]), means([2, 4]))[0]
    expected = (-means([0, 3]) - ratios).mean()  # TRL adds λ log σ with its sign turned outside
    assert ours(ORPOLoss(weight=0.3)).item() == pytest.approx(expected.item(), rel=1e-5)


def test_cdpo_is_the_smoothed_loss_of_trl() -> None:
    """TRL has it for CPO, whose logits are free: given log-ratios, it is cDPO."""
    from trl.experimental.cpo import CPOTrainer

    policy, reference, _ = numbers()
    ratios = [row.sum().float() for row in rows(policy - reference, ANSWERS)]
    asked = SimpleNamespace(alpha=0.0, loss_type="sigmoid", beta=0.3, label_smoothing=0.1, accelerator=alone())
    losses, _, _ = CPOTrainer.cpo_loss(asked, torch.stack(ratios[:2]), torch.stack(ratios[2:]))
    assert ours(CDPOLoss(beta=0.3, epsilon=0.1)).item() == pytest.approx(losses.mean().item(), rel=1e-5)


def test_bco_on_split_pairs_is_the_one_of_trl(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a baseline: TRL sums the two sides of a pair, and we count them as two labels."""
    policy, reference, _ = numbers()
    batch = label_batch(reference)
    weights = torch.tensor([1.0, 0, 0, 1, 0]).double(), torch.tensor([0, 0, 1.0, 0, 1]).double()
    batch = replace(batch, desirable=weights[0], undesirable=weights[1])
    output = unpaired_objective(BCOLoss(beta=0.3), 0.5)(Plain(policy, policy), batch)
    expected = of_trl(monkeypatch, loss_types=["bco_pair"], beta=0.3)
    assert 2 * (output.loss / output.count).item() == pytest.approx(expected.item(), rel=1e-5)


def test_kto_is_the_one_of_trl(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its baseline too, which we give by hand: here the mean log-ratio of the same answers, taken as mismatched."""
    import trl.trainer.kto_trainer as module

    monkeypatch.setattr(module, "disable_gradient_checkpointing", lambda *_: torch.no_grad())
    reference, policy, collision = numbers(seed=3)
    every = list(range(5))
    model, frozen = (Padded(rows(values, every), rows(collision, every)) for values in (policy, reference))
    labels = torch.tensor([True, False, False, True, False])
    given: dict[str, Any] = inputs(LENGTHS) | {"label": labels}
    sums = torch.stack([row.sum() for row in rows(policy - reference, every)])
    asked = trainer(model, frozen, loss_type="kto", beta=0.3, desirable_weight=1.2, undesirable_weight=0.8)
    asked.calculate_KL = True
    asked._compute_kl_logps = lambda which, _: torch.stack([row.sum() for row in which.logprobs])
    found = module.KTOTrainer._compute_loss(asked, model, given, False)
    batch = label_batch(reference, baseline=max(0.0, sums.mean().item()))
    batch = replace(batch, desirable=labels.double(), undesirable=(~labels).double())
    loss = KTOLoss(beta=0.3, desirable=1.2, undesirable=0.8)
    output = unpaired_objective(loss, 0.4)(Plain(policy, policy), batch)
    assert batch.baseline > 0, "the numbers drawn give a baseline to compare"
    assert (output.loss / output.count).item() == pytest.approx(float(found), rel=1e-5)
