"""Reward models of more than one number: a head for each criterion, or for right and wrong at each step.

On disk they are transformers' own classifiers, `AutoModelForSequenceClassification` with the criteria as labels and
`AutoModelForTokenClassification` with the labels `wrong` and `right`; what only heedful reads stands in their config.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, PreTrainedModel

from heedful.data.chat import Chat
from heedful.data.ratings import Criterion
from heedful.errors import InputError
from heedful.models.adapters import base_of, is_adapter
from heedful.models.agreement import check_heads
from heedful.models.files import read_json
from heedful.models.folders import open_model
from heedful.models.heads import Heads, RewardModel, init_score_head
from heedful.models.loading import Affine, affine_of, join, save

NEW = frozenset({"score.weight", "score.bias"})
STEP_LABELS = ("wrong", "right")
TOKENS = "ForTokenClassification"


def new_heads(policy_folder: str | Path, labels: Sequence[str], *, tokens: bool = False) -> tuple[Heads, Chat]:
    """A policy's backbone under one new head for each label, read at an answer's end, or at any of its tokens.

    The heads are drawn by `draw_heads`.
    """
    auto = AutoModelForTokenClassification if tokens else AutoModelForSequenceClassification
    names = dict(enumerate(labels))
    classifier = open_model(
        auto, policy_folder, new=NEW, num_labels=len(labels), id2label=names, label2id={n: i for i, n in names.items()}
    )
    return _checked(classifier, policy_folder)


def draw_heads(model: Heads, seed: int) -> None:
    """Heads of standard deviation 1/√(h+1), drawn from the seed."""
    init_score_head(model.head, torch.Generator().manual_seed(seed))


def keep_head(model: Heads, index: int) -> RewardModel:
    """The same classifier with one of its heads, an ordinary reward model; the other heads are gone."""
    head = nn.Linear(model.head.in_features, 1, bias=False)
    with torch.no_grad():
        head.weight.copy_(model.head.weight[index : index + 1])
    model.classifier.score = head.to(model.head.weight.device)
    model.classifier.num_labels = model.classifier.config.num_labels = 1
    return RewardModel(model.classifier)


def load_heads(folder: str | Path, device: torch.device | str) -> tuple[Heads, Chat, Affine]:
    """A saved classifier of either kind, its tokenizer, and the scale of its reward."""
    auto = AutoModelForTokenClassification if kind_of(folder) == "process" else AutoModelForSequenceClassification
    classifier = open_model(auto, folder)
    model, chat = _checked(classifier, folder)
    return model.to(device), chat, affine_of(classifier)


def save_heads(model: Heads, chat: Chat, affine: Affine, folder: Path, **told: Any) -> None:
    """A classifier that plain transformers loads; `told` is written to its config as `heedful_…`."""
    told |= {"score_mean": affine.mean, "score_std": affine.std}
    for name, value in told.items():
        setattr(model.classifier.config, f"heedful_{name}", value)
    save(model.classifier, chat, folder)


def criteria_row(criteria: Sequence[Criterion]) -> list[dict[str, Any]]:
    """Criteria as a model's config holds them; `criteria_in` reads them."""
    return [asdict(criterion) for criterion in criteria]


def kind_of(folder: str | Path) -> str:
    """What a reward model's folder holds: `scalar`, `criteria`, `pairwise` or `process`; adapters are of their base's
    kind."""
    folder = Path(folder)
    if is_adapter(folder):
        return kind_of(base_of(folder))
    config = read_json(folder / "config.json") or {}
    if any(str(name).endswith(TOKENS) for name in config.get("architectures") or ()):
        return "process"
    if config.get("heedful_pairwise"):
        return "pairwise"
    return "criteria" if config.get("heedful_criteria") else "scalar"


def refuse_other_kinds(folder: str | Path, told: str) -> None:
    """InputError where a reward model gives an answer anything but one score; `told`: what that rules out, and the
    mend."""
    said = {
        "criteria": "rates several criteria",
        "process": "judges an answer's steps",
        "pairwise": "compares two answers",
    }.get(kind_of(folder))
    if said:
        raise InputError(f"{folder}: {said}, {told}")


def _checked(classifier: PreTrainedModel, folder: str | Path) -> tuple[Heads, Chat]:
    if not isinstance(getattr(classifier, "score", None), nn.Linear):
        raise InputError(f"{folder}: {type(classifier).__name__} has no linear head `score`, so it can't be trained")
    chat = join(classifier, folder)
    model = Heads(classifier)
    check_heads(model)
    return model, chat
