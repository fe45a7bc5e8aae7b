"""Prompts by kind: what a mean over all of them can hide."""

from __future__ import annotations

from collections.abc import Sequence

from heedful.records import Prompt


def stratum(key: str, prompt: Prompt) -> str | None:
    """What a prompt's meta says under a key. Of its family, a bucket is a kind of its own: `claim.true`, `claim.false`.

    A policy that says no to every claim gains on the false ones what it loses on the true ones.
    """
    if key not in prompt.meta:
        return None
    bucket = prompt.meta.get("bucket") if key == "family" else None
    return f"{prompt.meta[key]}.{bucket}" if bucket else str(prompt.meta[key])


def strata(key: str, prompts: Sequence[Prompt]) -> dict[str, list[int]]:
    """Value → the rows of the prompts that have it, in the values' order; prompts without the key are in none."""
    rows: dict[str, list[int]] = {}
    for row, prompt in enumerate(prompts):
        if (value := stratum(key, prompt)) is not None:
            rows.setdefault(value, []).append(row)
    return dict(sorted(rows.items()))
