"""vLLM on the processor, in process, with token ids in and out."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.worker import Task

FOLDER = Path(__file__).parents[2] / "build" / "bench"


def task(settings: dict[str, Any]) -> Task:
    """Settings: size, lengths, rows, answer, precision, `calls` in a repeat."""
    os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_NO_USAGE_STATS": "1"}
    import json
    from itertools import islice

    import vllm
    from transformers import AutoTokenizer

    folder = FOLDER / settings["size"]
    words = AutoTokenizer.from_pretrained(folder / "skewed")
    with (folder / "prompts.jsonl").open() as file:
        prompts = [json.loads(line)["prompt"] for line in islice(file, settings["rows"])]
    asked = [
        {"prompt_token_ids": words.apply_chat_template(p, add_generation_prompt=True)["input_ids"]} for p in prompts
    ]
    begun = time.perf_counter()
    engine = vllm.LLM(
        str(folder / settings["lengths"]),
        dtype=settings["precision"],
        max_num_seqs=settings["rows"],
        max_model_len=256,
        disable_log_stats=True,
    )
    start = time.perf_counter() - begun
    calls = settings.get("calls", 1)

    def repeat(number: int) -> Mapping[str, Any]:
        begun, tokens = time.perf_counter(), 0
        for call in range(calls):
            seed = calls * (number + 2) + call
            params = vllm.SamplingParams(temperature=1.0, max_tokens=settings["answer"], seed=seed, detokenize=False)
            outputs = engine.generate(asked, params, use_tqdm=False)
            tokens += sum(len(output.outputs[0].token_ids) for output in outputs)
        return {"work": tokens, "seconds": time.perf_counter() - begun}

    loaded = {Path(line.split()[-1]).name for line in Path("/proc/self/maps").read_text().splitlines() if ".so" in line}
    names = " and ".join(sorted(name for name in loaded if name.startswith(("libtcmalloc", "libiomp"))))
    return Task(repeat, {"vllm": vllm.__version__, "preloaded": names, "start_seconds": round(start, 1)})
