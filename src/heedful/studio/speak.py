"""Asking a model for an answer, over the OpenAI-compatible endpoints that the studio was started with."""

from __future__ import annotations

import random
from collections.abc import Sequence

from heedful.errors import InputError, ResourceError
from heedful.studio.settings import Model, Settings

PATIENCE, KNOCK = 180.0, 5.0  # seconds for an answer, and for a connection


def model_named(settings: Settings, name: str) -> Model:
    """InputError: the studio was not started with such a model."""
    found = next((model for model in settings.models if model.name == name), None)
    if found is None:
        known = ", ".join(model.name for model in settings.models) or "none"
        raise InputError(f"there is no model '{name}' here; known: {known}. Start the studio with --model NAME=URL")
    return found


def ask(model: Model, messages: Sequence[dict[str, str]], *, temperature: float = 0.7, max_tokens: int = 512) -> str:
    """One answer, whole as the model gave it; one that reached `max_tokens` ends there, as its raters see it.

    ResourceError: the endpoint is away, refuses, or answers with nothing or something else.
    """
    import httpx  # loads a good deal that a studio without models does without

    body = {"model": model.model, "messages": list(messages), "temperature": temperature, "max_tokens": max_tokens}
    body["seed"] = random.SystemRandom().randrange(1 << 31)
    headers = {"Authorization": f"Bearer {model.key}"} if model.key else {}
    try:
        timeout = httpx.Timeout(PATIENCE, connect=KNOCK)
        answer = httpx.post(f"{model.url}/chat/completions", json=body, headers=headers, timeout=timeout)
        answer.raise_for_status()
        text = answer.json()["choices"][0]["message"]["content"]
    except httpx.HTTPStatusError as error:
        raise ResourceError(
            f"a model's endpoint refused ({error.response.status_code}); nothing was lost, try again"
        ) from None
    except httpx.HTTPError:
        raise ResourceError(
            "a model's endpoint does not answer (one just started needs some seconds); nothing was lost, try again"
        ) from None
    except (KeyError, IndexError, TypeError, ValueError):
        raise ResourceError("a model's endpoint answered with something that is no chat completion") from None
    if not isinstance(text, str) or not text.strip():
        raise ResourceError("a model answered with nothing; nothing was lost, say it again or in other words")
    return text
