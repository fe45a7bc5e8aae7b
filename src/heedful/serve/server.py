"""An OpenAI-compatible endpoint over the native sampler: /v1/chat/completions and /v1/models.

`transformers serve` would ask for one more client library, and has no seed for each answer.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from heedful.errors import InputError
from heedful.records import Message
from heedful.run import console
from heedful.run.listening import listen
from heedful.serve.speaker import Answer, Speaker
from heedful.wording import NO_TABLE, expected

DEFAULT_TOKENS = 256  # of an answer, where the client does not say
SEEDS = 1 << 32  # answer i of a request has the seed `seed · 2¹⁶ + i`


class Turn(BaseModel):
    """One message."""

    role: Literal["system", "user", "assistant", "text"]
    content: str


class Ask(BaseModel):
    """A request. What would change the answer and is not offered here is refused; all else is ignored."""

    model_config = ConfigDict(extra="ignore")

    messages: list[Turn] = Field(min_length=1)
    model: str = ""
    temperature: float = Field(1.0, ge=0, le=100)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    n: int = Field(1, ge=1, le=256)
    seed: int | None = None
    stream: bool = False
    logprobs: bool = False
    top_p: Literal[1] = 1
    presence_penalty: Literal[0] = 0
    frequency_penalty: Literal[0] = 0
    stop: None = None
    tools: None = None

    @property
    def limit(self) -> int:
        return self.max_completion_tokens or self.max_tokens or DEFAULT_TOKENS

    def seeds(self) -> list[int]:
        """One for each answer; drawn by the system where the client names none."""
        seed = secrets.randbelow(SEEDS) if self.seed is None else self.seed % SEEDS
        return [(seed << 16) + i for i in range(self.n)]


def create_app(speaker: Speaker) -> FastAPI:
    """The endpoint for one model. One request is answered at a time, its `n` answers together."""
    app = FastAPI(title="heedful", docs_url=None, redoc_url=None)
    lock, created = Lock(), int(time.time())

    @app.exception_handler(InputError)
    def refuse(_: Request, error: InputError) -> JSONResponse:
        return _refusal(400, str(error))

    @app.exception_handler(RequestValidationError)
    def refuse_request(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"][1:]))
        if first["type"] == "json_invalid" or (first["type"] in NO_TABLE and not where):
            return _refusal(400, "the body is no object of JSON")
        said = "is missing" if first["type"] == "missing" else f"expected {expected(first)}"
        return _refusal(400, f"{where}: {said}")

    @app.get("/v1/models")
    def models() -> dict[str, Any]:
        model = {"id": speaker.name, "object": "model", "created": created, "owned_by": "heedful"}
        return {"object": "list", "data": [model]}

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/v1/chat/completions", response_model=None)
    def complete(ask: Ask) -> Response | dict[str, Any]:
        if ask.model not in ("", speaker.name):
            return _refusal(404, f"model '{ask.model}' is not served here; '{speaker.name}' is")
        messages = tuple(Message(turn.role, turn.content) for turn in ask.messages)
        with lock:
            answers = speaker.answer(messages, ask.seeds(), temperature=ask.temperature, max_new_tokens=ask.limit)
        if ask.stream:
            return StreamingResponse(_events(speaker, answers), media_type="text/event-stream")
        return _head(speaker, "chat.completion") | {
            "choices": [_choice(speaker, i, answer, ask.logprobs) for i, answer in enumerate(answers)],
            "usage": _usage(answers),
        }

    return app


def _refusal(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message, "type": "invalid_request_error", "code": status}}, status)


def _head(speaker: Speaker, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": kind,
        "created": int(time.time()),
        "model": speaker.name,
    }


def _finish(answer: Answer) -> str:
    return "stop" if answer.sampled.finish == "eos" else "length"


def _choice(speaker: Speaker, index: int, answer: Answer, with_logprobs: bool) -> dict[str, Any]:
    choice: dict[str, Any] = {
        "index": index,
        "message": {"role": "assistant", "content": answer.text},
        "finish_reason": _finish(answer),
    }
    if with_logprobs:
        tokens = speaker.chat.tokenizer.convert_ids_to_tokens(list(answer.sampled.token_ids))
        pairs = zip(tokens, answer.sampled.logprobs, strict=True)
        choice["logprobs"] = {"content": [{"token": token, "logprob": value} for token, value in pairs]}
    return choice


def _usage(answers: list[Answer]) -> dict[str, int]:
    asked, made = answers[0].prompt_tokens, sum(len(answer.sampled.token_ids) for answer in answers)
    return {"prompt_tokens": asked, "completion_tokens": made, "total_tokens": asked + made}


def _events(speaker: Speaker, answers: list[Answer]) -> Iterator[str]:
    """Server-sent events: each answer whole in one piece, for clients that insist on a stream."""
    head = _head(speaker, "chat.completion.chunk")
    for index, answer in enumerate(answers):
        delta = {"role": "assistant", "content": answer.text}
        for part in ({"delta": delta, "finish_reason": None}, {"delta": {}, "finish_reason": _finish(answer)}):
            yield f"data: {json.dumps(head | {'choices': [{'index': index} | part]})}\n\n"
    yield "data: [DONE]\n\n"


def serve(folder: str | Path, host: str, port: int) -> None:
    """Serve a model folder until stopped. ResourceError: the port is taken."""
    listening = listen(host, port)
    speaker = Speaker.load(folder)
    console.print(f"       serve {speaker.name} at http://{host}:{port}/v1 (Ctrl-C stops)")
    with listening, suppress(KeyboardInterrupt):
        config = uvicorn.Config(create_app(speaker), host=host, port=port, log_level="warning")
        uvicorn.Server(config).run(sockets=[listening])
