"""What stands in for vLLM in tests: an engine that samples from the folder it was given, and a server around it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import SHUT_RDWR
from threading import Lock, Thread
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from heedful.models.heads import Policy
from heedful.sampling import NativeSampler, SamplingParams


class StandIn:
    """An Engine over heedful's own sampler; remembers what it was given."""

    def __init__(self) -> None:
        self.loaded: list[dict[str, torch.Tensor]] = []
        self.asked: list[tuple[list[int], int, int]] = []
        self.forgetful = False  # takes weights in words only, as a head that is not reloaded
        self.raw = False  # tells log-probabilities as they were before the temperature

    def load(self, folder: Path) -> None:
        lm = AutoModelForCausalLM.from_pretrained(folder).eval()
        self.loaded.append({name: value.clone() for name, value in lm.state_dict().items()})
        if not self.forgetful:
            self.sampler = NativeSampler(Policy(lm))

    def write(
        self, prompts: Sequence[Sequence[int]], limits: Sequence[int], params: SamplingParams, seeds: Sequence[int]
    ) -> list[tuple[list[int], list[float]]]:
        self.asked += [(list(p), limit, seed) for p, limit, seed in zip(prompts, limits, seeds, strict=True)]
        params = replace(params, temperature=1.0) if self.raw else params
        answers = [
            self.sampler.sample([prompt], replace(params, max_new_tokens=limit), [seed])[0]
            for prompt, limit, seed in zip(prompts, limits, seeds, strict=True)
        ]
        return [(list(answer.token_ids), list(answer.logprobs)) for answer in answers]


class StubServer(ThreadingHTTPServer):
    """The three paths of vLLM's server that are used, over a StandIn."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.engine, self.lock = StandIn(), Lock()
        self.salts: list[str] = []
        self.models: list[dict[str, Any]] = [{"id": "served", "max_model_len": 64}]
        self.develops = True  # whether it takes weights
        self.answers_left = -1  # after so many it dies mid-step; −1: never
        self.change: dict[str, Any] = {}  # what a choice is changed by

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        ends = body["stop_token_ids"]
        params = SamplingParams(body["temperature"], body["max_tokens"], 1, ends[0], 0, tuple(ends[1:]))
        with self.lock:
            self.salts.append(body["cache_salt"])
            ((tokens, logprobs),) = self.engine.write([body["prompt"]], [params.max_new_tokens], params, [body["seed"]])
        return {"choices": [{"token_ids": tokens, "logprobs": {"token_logprobs": logprobs}} | self.change]}


class _Handler(BaseHTTPRequestHandler):
    server: StubServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.reply({"data": self.server.models})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/collective_rpc" and self.server.develops:
            assert body["method"] == "reload_weights"
            try:
                self.server.engine.load(Path(body["kwargs"]["weights_path"]))
            except OSError:
                return self.reply({"error": {"message": "no such\nfolder"}}, 500)
            return self.reply({"results": [None]})
        if self.path == "/v1/completions":
            assert body["model"] == "served" and body["return_token_ids"] and body["ignore_eos"]
            with self.server.lock:
                dies = self.server.answers_left == 0
                self.server.answers_left -= not dies
            if dies:
                self.connection.shutdown(SHUT_RDWR)
                self.close_connection = True
                return None
            return self.reply(self.server.complete(body))
        return self.reply({"detail": "Not Found"}, 404)

    def reply(self, row: dict[str, Any], status: int = 200) -> None:
        data = json.dumps(row).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the screen."""


@contextmanager
def stub_server() -> Iterator[StubServer]:
    """A running one, on a free port."""
    server = StubServer()
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
