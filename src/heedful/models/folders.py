"""Opening a model folder with transformers, after a look at whether it is one that may be opened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.utils import logging

from heedful.errors import InputError
from heedful.models.adapters import CONFIG as ADAPTER_CONFIG
from heedful.models.adapters import base_of, is_adapter, is_policy_adapter, unverified, work_in
from heedful.models.files import read_json
from heedful.run import console

CODE = {"auto_map", "trust_remote_code", "_attn_implementation_internal", "_experts_implementation_internal"}
CLASSIFIERS = ("ForSequenceClassification", "ForTokenClassification")
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")

Auto = type[AutoModelForCausalLM] | type[AutoModelForSequenceClassification] | type[AutoModelForTokenClassification]


def say(sentence: str) -> None:
    """One line for the user, from rank 0 alone."""
    if os.environ.get("RANK", "0") == "0":
        console.print(f"{'model':>12} {sentence}")


def open_model(
    auto: Auto, folder: str | Path, *, new: frozenset[str] = frozenset(), **settings: Any
) -> PreTrainedModel:
    """A model in float32, from a folder with config.json and safetensors weights, or from one with adapters alone.

    new: the parameters that the folder need not hold. settings: changes of the config.
    InputError: the folder is incomplete or damaged, wants to run code, or is of a kind that `auto` can't be.
    """
    folder = Path(folder)
    if is_adapter(folder):
        if doubt := unverified(folder):
            say(f"{folder}: {doubt}")
        base = open_model(auto, base_of(folder), new=new, **settings)
        return _on_the_backbone(base, folder) if _of_another_kind(auto, folder) else work_in(base, folder)
    check_folder(folder)
    if auto is AutoModelForCausalLM:
        _refuse_reward_model(folder)  # with tied embeddings transformers would load it and babble
    try:
        with quiet():
            model, report = auto.from_pretrained(
                str(folder),
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
                **settings,
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError, StrictDataclassError) as error:
        raise _unloadable(folder, error) from None
    if missing := sorted(set(report["missing_keys"]) - new):
        raise InputError(
            f"{folder}: the weights lack {', '.join(missing[:3])}{' …' if len(missing) > 3 else ''}: "
            f"it holds no whole {type(model).__name__}; name the folder of a complete one"
        )
    return model


def open_config(folder: str | Path) -> PretrainedConfig:
    """A policy's config, of its base where it is adapters alone. InputError: see `open_model`."""
    folder = Path(folder)
    if is_adapter(folder):
        return open_config(base_of(folder))
    check_folder(folder)
    _refuse_reward_model(folder)
    try:
        with quiet():
            return AutoConfig.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise _unloadable(folder, error) from None


def _unloadable(folder: Path, error: Exception) -> InputError:
    match error:
        case SafetensorError():
            return InputError(f"{folder}: its weights are damaged ({error}); copy the folder again")
        case StrictDataclassError():
            reason = str(error.__cause__ or error).splitlines()[-1].strip()
            return InputError(f"{folder / 'config.json'}: is no config that transformers takes ({reason})")
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return InputError(f"{folder}: transformers can't load this model: {reason}")


def _of_another_kind(auto: Auto, folder: Path) -> bool:
    return auto is not AutoModelForCausalLM and is_policy_adapter(folder)


def _on_the_backbone(base: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """A policy's adapters under another head: worked into a policy, whose backbone the model takes over."""
    policy = open_model(AutoModelForCausalLM, folder)
    base.base_model.load_state_dict(policy.base_model.state_dict())
    return base


def check_folder(folder: Path) -> None:
    """Refuse what is not a model folder with safe weights and no code of its own."""
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such model folder")
    if not (folder / "config.json").exists():
        meant = folder / "model"
        told = f": did you mean {meant}?" if (meant / "config.json").exists() else " in transformers' layout"
        raise InputError(f"{folder}: holds no config.json, so it is no model folder{told}")
    for name in ("config.json", "tokenizer_config.json"):
        if found := _code(read_json(folder / name)):
            raise InputError(
                f"{folder / name}: '{found}' asks to run code that comes with the model, which heedful never does; "
                "use a model that transformers itself knows, or remove the key"
            )
    _refuse_unknown(folder / "config.json")
    if not any(folder.glob("*.safetensors")):
        pickled = next((p.name for pattern in PICKLED for p in folder.glob(pattern)), "")
        found = f"only pickled weights ({pickled}), which can run code" if pickled else "no weights"
        raise InputError(f"{folder}: holds {found}: put model.safetensors beside config.json")
    if not any((folder / name).exists() for name in ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")):
        raise InputError(f"{folder}: holds no tokenizer: put tokenizer.json beside config.json")


def _refuse_unknown(path: Path) -> None:
    """An architecture that the installed transformers has no code for."""
    config = read_json(path)
    kind = config.get("model_type") if isinstance(config, dict) else None
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        found = f"model_type = {kind!r:.60} is no architecture" if kind else "names no model_type"
        raise InputError(
            f"{path}: {found} that transformers {transformers.__version__} knows; use a model that it knows, or a "
            "newer transformers"
        )


def is_reward_model(folder: Path) -> bool:
    """Whether a folder holds a classifier; one with adapters alone holds what its base and its task say."""
    if is_adapter(folder):
        return str((read_json(folder / ADAPTER_CONFIG) or {}).get("task_type")) in ("SEQ_CLS", "TOKEN_CLS")
    return bool(_classifier(folder))


def _classifier(folder: Path) -> str:
    """The classifier's name where the folder holds one."""
    config = read_json(folder / "config.json")
    names = config.get("architectures") if isinstance(config, dict) else None
    found = (str(name) for name in (names if isinstance(names, list) else []))
    return next((name for name in found if name.endswith(CLASSIFIERS)), "")


def _refuse_reward_model(folder: Path) -> None:
    """A classifier scores answers and can't give any."""
    if name := _classifier(folder):
        raise InputError(f"{folder}: this is a reward model ({name}); give a policy's folder")


def _code(value: Any) -> str:
    """The first key anywhere in a config that names code to run; "" where there is none."""
    match value:
        case dict():
            for key, item in value.items():
                if key in CODE and item not in (None, False):
                    return str(key)
                if "attn_implementation" in key and "/" in str(item):  # a kernel to download
                    return str(key)
                if found := _code(item):
                    return found
        case list():
            return next((found for item in value if (found := _code(item))), "")
    return ""


@contextmanager
def quiet() -> Iterator[None]:
    """transformers' progress bars and warnings off: what they would say is checked and said by heedful."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
