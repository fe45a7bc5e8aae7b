"""vLLM over its server: completions in token ids through the OpenAI-compatible API, new weights by their path.

The server reads weights from a folder that both sides see: `reload_weights` by `/collective_rpc`, which it has where
it was started with VLLM_SERVER_DEV_MODE=1. Each request names the weights that it is meant for in its `cache_salt`, so
that keys and values cached for older ones are never found again.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from heedful.errors import ResourceError
from heedful.sampling.protocol import SamplingParams
from heedful.sampling.vllm_engine import AGAIN, request

CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 1800.0  # the last of many answers waits for all others
START = "VLLM_SERVER_DEV_MODE=1 vllm serve MODEL --dtype float32 --enforce-eager --logprobs-mode processed_logprobs"


class Server:
    """A running vLLM server as an Engine; every failure is a ResourceError of one sentence."""

    def __init__(self, url: str, rows: int) -> None:
        self._url, self._rows = url.rstrip("/"), rows
        self._model = self._weights = ""

    def _client(self) -> httpx.Client:
        return httpx.Client(
            timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=self._rows),
            trust_env=False,  # a proxy would not find a server of one's own
        )

    def load(self, folder: Path) -> None:
        """Have the server read these weights in place of its own."""
        reload = {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}}
        with self._client() as http:
            served = self._ask(http, "GET", "/v1/models", {})
            try:
                self._model = served["data"][0]["id"]
            except (KeyError, IndexError, TypeError):
                raise ResourceError(
                    f"what answers at {self._url} names no model, so it is no vLLM server: see sampler.url"
                ) from None
            self._ask(http, "POST", "/collective_rpc", reload)
        self._weights = folder.name

    def write(
        self, prompts: Sequence[Sequence[int]], limits: Sequence[int], params: SamplingParams, seeds: Sequence[int]
    ) -> list[tuple[list[int], list[float]]]:
        """One request for each answer, as each has a seed of its own; the server puts them together."""
        with self._client() as http, ThreadPoolExecutor(self._rows) as pool:
            asked = zip(prompts, limits, seeds, strict=True)
            answers = [pool.submit(self._complete, http, prompt, limit, params, seed) for prompt, limit, seed in asked]
            try:
                return [answer.result() for answer in answers]
            except BaseException:  # a fault, or a signal: nobody waits for what is still asked
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _complete(
        self, http: httpx.Client, prompt: Sequence[int], limit: int, params: SamplingParams, seed: int
    ) -> tuple[list[int], list[float]]:
        settings = request(limit, params, seed) | {
            "model": self._model,
            "prompt": list(prompt),
            "return_token_ids": True,
            "return_tokens_as_token_ids": True,
            "ignore_eos": True,  # the model's own setting: what ends an answer is said in stop_token_ids
            "cache_salt": self._weights,
        }
        choice = self._ask(http, "POST", "/v1/completions", settings)["choices"][0]
        tokens, logprobs = choice.get("token_ids"), (choice.get("logprobs") or {}).get("token_logprobs")
        if not tokens or not logprobs or len(tokens) != len(logprobs):
            raise ResourceError(
                f"the server at {self._url} gives no token ids with log-probabilities: it must be vLLM 0.11 or later"
            )
        if len(tokens) < limit and tokens[-1] not in settings["stop_token_ids"]:
            raise ResourceError(
                f"the vLLM server at {self._url} ended an answer with token {tokens[-1]}, which is no end here: start "
                "it with --generation-config vllm, so that it has no settings of its own"
            )
        return tokens, logprobs

    def _ask(self, http: httpx.Client, how: str, path: str, body: dict[str, Any]) -> Any:
        """The answer's JSON."""
        try:
            response = http.request(how, self._url + path, json=body or None)
            if response.is_success:
                return response.json()
        except httpx.ConnectError as error:
            raise ResourceError(
                f"no vLLM server answers at {self._url} ({error}): start one there (`{START}`), or set sampler.url or "
                f"sampler.type = 'native'; {AGAIN}"
            ) from None
        except (httpx.TransportError, ValueError) as error:
            raise ResourceError(
                f"the vLLM server at {self._url} broke off in {path} ({type(error).__name__}: {error}); {AGAIN}"
            ) from None
        if path == "/collective_rpc" and response.status_code in (403, 404, 405):
            raise ResourceError(
                f"the vLLM server at {self._url} takes no new weights: start it with VLLM_SERVER_DEV_MODE=1 (`{START}`)"
            )
        raise ResourceError(
            f"the vLLM server at {self._url} refused {path} (HTTP {response.status_code}: {_reason(response)}): it "
            f"must serve the model that is trained here, and see the folder of its weights; {AGAIN}"
        )


def _reason(response: httpx.Response) -> str:
    """What the server says of an error, on one line."""
    try:
        found = response.json()["error"]
        text = str(found["message"] if isinstance(found, dict) else found)
    except (ValueError, KeyError, TypeError):
        text = response.text
    return " ".join(text.split())[:300]
