"""The endpoint: OpenAI's shapes, seeds that decide, and refusals in one sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from heedful.records import Message
from heedful.serve.server import create_app
from heedful.serve.speaker import Speaker

QUESTION = [{"role": "user", "content": "how are you"}]


@pytest.fixture(scope="module")
def client(speaker: Speaker) -> TestClient:
    return TestClient(create_app(speaker))


def ask(client: TestClient, **fields: Any) -> Any:
    return client.post("/v1/chat/completions", json={"messages": QUESTION, "max_tokens": 8} | fields)


def test_models_names_the_folder(client: TestClient) -> None:
    [model] = client.get("/v1/models").json()["data"]
    assert model["id"] == "02-sft"
    assert client.get("/health").json() == {"status": "ok"}


def test_answers_have_the_sampled_tokens(client: TestClient, speaker: Speaker) -> None:
    body = ask(client, n=3, seed=5, logprobs=True, model="02-sft").json()
    prompt = len(speaker.chat.prompt_ids((Message("user", "how are you"),)))
    assert body["object"] == "chat.completion"
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    lengths = [len(choice["logprobs"]["content"]) for choice in body["choices"]]
    assert body["usage"] == {
        "prompt_tokens": prompt,
        "completion_tokens": sum(lengths),
        "total_tokens": prompt + sum(lengths),
    }
    for choice, length in zip(body["choices"], lengths, strict=True):
        assert choice["message"]["role"] == "assistant"
        assert choice["finish_reason"] == ("length" if length == 8 else "stop")
        assert all(entry["logprob"] <= 0 for entry in choice["logprobs"]["content"])
    assert len({choice["message"]["content"] for choice in body["choices"]}) == 3


def test_seed_decides(client: TestClient) -> None:
    def text(**fields: Any) -> str:
        return ask(client, **fields).json()["choices"][0]["message"]["content"]

    assert text(seed=5) == text(seed=5) != text(seed=6)
    assert text(seed=-1) == text(seed=-1)
    assert len({text() for _ in range(5)}) > 1
    assert text(temperature=0) == text(temperature=0)


def test_a_stream_holds_the_same_answer(client: TestClient) -> None:
    whole = ask(client, seed=5).json()["choices"][0]
    response = ask(client, seed=5, stream=True)
    assert response.headers["content-type"].startswith("text/event-stream")
    events = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert events[-1] == "[DONE]"
    first, last = (json.loads(event)["choices"][0] for event in events[:-1])
    assert first["delta"] == whole["message"]
    assert last["finish_reason"] == whole["finish_reason"]


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"messages": []}, 400, "messages: expected at least 1 entry"),
        ({"temperature": -1}, 400, "temperature: expected at least 0"),
        ({"top_p": 0.5}, 400, "top_p: expected one of 1"),
        ({"stop": ["x"]}, 400, "stop: expected nothing"),
        ({"model": "gpt"}, 404, "model 'gpt' is not served here; '02-sft' is"),
        ({"messages": [{"role": "user", "content": "how " * 99}]}, 400, "the context of 02-sft is 64: shorten it"),
    ],
)
def test_refusals(client: TestClient, fields: dict[str, Any], status: int, message: str) -> None:
    response = ask(client, **fields)
    assert response.status_code == status
    assert message in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "kind"), [(b"hello", "text/plain"), (b"{", "application/json"), (b"3", "application/json")]
)
def test_a_body_that_is_no_json(client: TestClient, body: bytes, kind: str) -> None:
    response = client.post("/v1/chat/completions", content=body, headers={"content-type": kind})
    assert response.status_code == 400 and response.json()["error"]["message"] == "the body is no object of JSON"
