"""Opening an adapter folder, ours or any other that peft wrote: the base it belongs to with the adapters worked in."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from heedful.errors import InputError
from heedful.models.files import read_json
from heedful.run import digest

CONFIG, WEIGHTS, ORIGIN = "adapter_config.json", "adapter_model.safetensors", "heedful.json"


def is_adapter(folder: Path) -> bool:
    return (folder / CONFIG).exists() and not (folder / "config.json").exists()


def is_policy_adapter(folder: Path) -> bool:
    """Whether the adapters are a causal language model's."""
    return str((read_json(folder / CONFIG) or {}).get("task_type")) == "CAUSAL_LM"


def base_of(folder: Path) -> Path:
    """The folder of the model that an adapter belongs to. InputError: it is gone, or holds another model by now."""
    if not (folder / WEIGHTS).exists():
        raise InputError(f"{folder}: holds adapter_config.json and no {WEIGHTS}: put the weights beside it")
    origin, config = read_json(folder / ORIGIN) or {}, read_json(folder / CONFIG)
    named = str(config.get("base_model_name_or_path") or "")
    places = [folder / str(origin["base"])] if "base" in origin else []
    found = [place for place in [*places, Path(named)] if (place / "config.json").exists() or is_adapter(place)]
    if not found:
        raise InputError(
            f"{folder}: its base model is not at {named or 'any place it names'}: name the folder of the base as "
            f"base_model_name_or_path in {folder / CONFIG}"
        )
    base = found[0]
    if "base_sha256" in origin and digest(base) != origin["base_sha256"]:
        raise InputError(
            f"{folder}: these adapters were trained on another model than {base} now holds: "
            "put the base that they belong to there"
        )
    return base


def unverified(folder: Path) -> str:
    """A sentence where an adapter folder carries no hash of its base, "" where it does: see `base_of`."""
    if "base_sha256" in (read_json(folder / ORIGIN) or {}):
        return ""
    base = base_of(folder)
    return (
        f"these adapters carry no hash of their base, so it can't be checked that {base} is what they were trained on"
    )


def work_in(base: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """The base with an adapter folder's weights merged into its own, a plain model again.

    InputError: the adapters don't fit the base, or are of a kind that can't be merged.
    """
    from peft import PeftModel

    merge: Callable[..., Any] | None = None
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            adapted = PeftModel.from_pretrained(base, str(folder), local_files_only=True)
            merge = getattr(adapted, "merge_and_unload", None)
            merged: PreTrainedModel | None = merge(safe_merge=True) if merge else None
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{folder}: the adapters don't fit their base model: {reason}") from None
    if any("missing adapter keys" in str(warning.message) for warning in heard):
        raise InputError(f"{folder}: the adapters don't fit their base model: their layers have other names there")
    if merged is None:
        raise InputError(f"{folder}: adapters of this kind can't be merged into a model; use LoRA")
    return merged.requires_grad_(True)  # peft froze it
