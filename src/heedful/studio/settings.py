"""What a studio is started with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from heedful.errors import InputError
from heedful.studio.languages import Languages, shipped

LOCAL = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True, slots=True)
class Model:
    """An OpenAI-compatible endpoint that may be talked to. Only those named at the start are ever called."""

    name: str
    url: str
    model: str = ""  # what the endpoint calls it; empty: its only one
    key_variable: str = ""  # the environment variable that holds its key

    @property
    def key(self) -> str:
        return os.environ.get(self.key_variable, "") if self.key_variable else ""


@dataclass(frozen=True, slots=True)
class Settings:
    """public_url: how browsers reach the studio where a proxy stands before it, as https://label.example.org."""

    database: str = "studio.db"
    host: str = "127.0.0.1"
    port: int = 8100
    public_url: str = ""
    runs: Path = Path("runs")
    models: tuple[Model, ...] = ()
    proxies: tuple[str, ...] = ()  # addresses whose X-Forwarded headers are believed
    webhook_hosts: tuple[str, ...] = ()  # that webhooks may lead to although they are private
    languages: Languages = field(default_factory=shipped)  # that raters may read the pages in

    def __post_init__(self) -> None:
        if self.public_url:
            parts = urlsplit(self.public_url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
                raise InputError(
                    f"--public-url {self.public_url}: give scheme and host alone, as https://label.example.org"
                )

    @property
    def url(self) -> str:
        """Where a browser finds the studio."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        return self.public_url.rstrip("/") or f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def secure(self) -> bool:
        return self.url.startswith("https://")

    @property
    def hosts(self) -> frozenset[str]:
        """Host names that requests may carry: all others are refused, so that no foreign page can reach us by DNS."""
        named = {self.host, urlsplit(self.url).hostname or ""}
        return frozenset(named - {"0.0.0.0", "::", ""}) | frozenset(name.strip("[]") for name in LOCAL)


def read_models(given: Sequence[str]) -> tuple[Model, ...]:
    """`NAME=URL`, `NAME=URL#MODEL` or `NAME=URL#MODEL@KEY_VARIABLE`, as the command line has them."""
    models = []
    for text in given:
        name, _, rest = text.partition("=")
        rest, _, variable = rest.partition("@") if "#" not in rest else _split_key(rest)
        url, _, model = rest.partition("#")
        if not name or urlsplit(url).scheme not in ("http", "https"):
            raise InputError(f"--model {text}: write NAME=URL#MODEL@KEY_VARIABLE, as sft=http://127.0.0.1:8000/v1")
        models.append(Model(name, url.rstrip("/"), model, variable))
    if len({model.name for model in models}) < len(models):
        raise InputError("--model: two models have one name")
    return tuple(models)


def _split_key(rest: str) -> tuple[str, str, str]:
    """The key's variable stands behind the last @ after the #, so that a model's name may hold one."""
    url, _, model = rest.partition("#")
    model, at, variable = model.rpartition("@") if "@" in model else (model, "", "")
    return f"{url}#{model}", at, variable
