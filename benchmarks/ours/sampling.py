"""The sampler that every stage uses, on prompts of the material."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from benchmarks.material import material
from benchmarks.worker import Task
from heedful.config import Generation
from heedful.config.sampler import SamplerConfig
from heedful.data.sources import read_prompts
from heedful.models.loading import load_policy
from heedful.run.manifest import environment
from heedful.sampling import SamplingParams, make_sampler


def task(settings: dict[str, Any]) -> Task:
    """Settings: size, lengths, rows decoded together, answer, precision, device; `group` answers a prompt, `calls` in a
    repeat."""
    folder = material(settings["size"])
    policy, chat = load_policy(folder / settings["lengths"], device=settings.get("device", "cpu"))
    group = settings.get("group", 1)
    prompts = read_prompts(folder / "prompts.jsonl")[: settings["rows"] // group]
    asked = [chat.prompt_ids(prompt.messages) for prompt in prompts for _ in range(group)]
    params = SamplingParams.of(Generation(max_new_tokens=settings["answer"], batch=settings["rows"]), chat)
    sampler = make_sampler(policy, SamplerConfig(precision=settings.get("precision", "float32")))
    calls = settings.get("calls", 1)

    def repeat(number: int) -> Mapping[str, Any]:
        begun, tokens = time.perf_counter(), 0
        for call in range(calls):
            sampler.update(policy)  # as in every step on policy: whatever the sampler prepares is in the time
            first = 1000 * (calls * (number + 2) + call)
            answers = sampler.sample(asked, params, [first + i for i in range(len(asked))])
            tokens += sum(len(answer.token_ids) for answer in answers)
        return {"work": tokens, "seconds": time.perf_counter() - begun}

    return Task(repeat, {key: environment()[key] for key in ("python", "torch", "transformers")})
