"""A tiny model folder that can be talked to."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from heedful.config import Architecture
from heedful.data.chat import Chat, train_tokenizer
from heedful.models.loading import new_policy, save_policy
from heedful.serve.speaker import Speaker


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "02-sft" / "model"
    chat = Chat(train_tokenizer(["how are you", "fine thank you", "what is it"] * 3, 300))
    shape = Architecture(vocabulary=300, hidden=16, layers=1, heads=2, kv_heads=2, feedforward=32, context=64)
    policy = new_policy(shape, chat, seed=0)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(10.0 if parameter.dim() == 2 else 1.0)
    save_policy(policy, chat, path)
    return path


@pytest.fixture(scope="session")
def speaker(folder: Path) -> Speaker:
    return Speaker.load(folder)
