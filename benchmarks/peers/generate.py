"""transformers' own sampling: `generate` on a left-padded batch, with its caches, or its continuous batching."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from itertools import islice
from typing import Any

import torch
import transformers
from transformers import ContinuousBatchingConfig, GenerationConfig

from benchmarks.peers.training import FOLDER, policy, tokenizer
from benchmarks.worker import Task

BLOCKS, TOKENS = 8, 2048  # of the cache for each answer, and in a forward pass: left alone it takes all memory


def task(settings: dict[str, Any]) -> Task:
    """Settings: size, lengths, rows, answer, precision, device, `calls`, cache (dynamic, static or continuous)."""
    folder = FOLDER / settings["size"]
    words = tokenizer(settings["size"])
    words.padding_side = "left"
    dtype, device = getattr(torch, settings["precision"]), settings.get("device", "cpu")
    model = policy(folder / settings["lengths"]).to(device, dtype).eval()
    with (folder / "prompts.jsonl").open() as file:
        prompts = [json.loads(line)["prompt"] for line in islice(file, settings["rows"])]
    texts = [words.apply_chat_template(p, add_generation_prompt=True, tokenize=False) for p in prompts]
    config = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=settings["answer"],
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
        cache_implementation="static" if settings["cache"] == "static" else None,
    )
    write = _continuous if settings["cache"] == "continuous" else _padded

    def repeat(number: int) -> Mapping[str, Any]:
        torch.manual_seed(number + 2)
        begun = time.perf_counter()
        tokens = sum(write(model, words, texts, config) for _ in range(settings.get("calls", 1)))
        return {"work": tokens, "seconds": time.perf_counter() - begun}

    return Task(repeat, {"transformers": transformers.__version__, "torch": torch.__version__})


def _padded(model: Any, words: Any, texts: list[str], config: GenerationConfig) -> int:
    """Returns how many tokens were written up to each answer's end."""
    batch = words(texts, return_tensors="pt", padding=True, add_special_tokens=False).to(model.device)
    whole = model.generate(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], generation_config=config
    )
    answers = whole[:, batch["input_ids"].shape[1] :]
    ended = (answers == words.eos_token_id).long().cumsum(-1)
    return int(((ended == 0) | ((ended == 1) & (answers == words.eos_token_id))).sum())


def _continuous(model: Any, words: Any, texts: list[str], config: GenerationConfig) -> int:
    ids = [words(text, add_special_tokens=False)["input_ids"] for text in texts]
    room = ContinuousBatchingConfig(num_blocks=len(ids) * BLOCKS, max_batch_tokens=TOKENS)
    outputs = model.generate_batch(ids, generation_config=config, progress_bar=False, continuous_batching_config=room)
    tokens = sum(len(output.generated_tokens) for output in outputs.values())
    if not tokens:
        raise RuntimeError("transformers' continuous batching wrote no token: see its log")
    return tokens
