"""Every config key with its default and meaning, as Markdown, made from the models themselves."""

from __future__ import annotations

from typing import Any

from pydantic_core import PydanticUndefined

from heedful.config import blend, direct, on_policy, reward, rewards, rl, sampler, sections, stages
from heedful.config.paths import is_manner
from heedful.config.recipe import Recipe
from heedful.config.rounds import RoundsConfig
from heedful.config.sections import Section

SHARED: list[type[Section]] = [
    sections.Architecture,
    sections.Optim,
    sections.Training,
    sections.EarlyStop,
    sections.Lora,
    sections.Generation,
    sampler.SamplerConfig,
    sections.KLControl,
]


MANNER = "May be changed on the way."


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, Section):
        changed = value.model_dump(exclude_unset=True)
        return ", ".join(f"{k}={v}" for k, v in changed.items()) or "its defaults"
    return f"`{value!r}`"


def _table(model: type[Section]) -> list[str]:
    lines = ["| key | default | meaning |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        annotation = getattr(field.annotation, "__name__", "")
        about = field.description or (f"see [{annotation}](#{annotation.lower()})" if annotation else "")
        if name == "type":
            about = "which stage this is" if "name" in model.model_fields else field.description or "which kind this is"
        elif name == "name":
            about = "the stage's name in the run folder and in `@name/file` paths"
        if is_manner(field):
            about = f"{about} {MANNER}"
        lines.append(f"| `{name}` | {_default(field.default)} | {' '.join(about.split())} |".replace("||", "\\|\\|"))
    return lines


def stage_models() -> list[type[Section]]:
    """Every stage's config model and its own sections, in the order of the files."""
    files = (stages, reward, blend, direct, on_policy, rl, rewards)
    own = [m for file in files for m in vars(file).values() if getattr(m, "__module__", "") == file.__name__]
    return [m for m in own if isinstance(m, type) and issubclass(m, Section) and m.model_fields]


def markdown() -> str:
    """The page docs/config.md."""
    lines = [
        "# Config keys",
        "",
        "Made by `make docs` from the config models. A recipe is a TOML file: `name`, `seed`, `about`, `[inputs]` and",
        "`[[stages]]` tables in order. Any key can be set from the command line:",
        "`heedful run demo --set ppo.optim.lr=1e-4`.",
        f"A key with '{MANNER}' says how something is computed and not what: a stage that was stopped or",
        "broke off goes on with another value of it, and one that is complete stays so; other changes are refused.",
        "Paths may be `@stage/file` (written by an earlier stage) or `$input` (given by the user under `[inputs]`).",
        "",
        "## Recipe",
        "",
        *_table(Recipe),
    ]
    models: list[type[Section]] = [*stage_models(), RoundsConfig, *SHARED]
    for model in models:
        lines += ["", f"## {model.__name__}", "", " ".join((model.__doc__ or "").split()), "", *_table(model)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(markdown())
