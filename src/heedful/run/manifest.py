"""manifest.json: written last, so that its presence means that the stage is complete."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from heedful.errors import ResumeError
from heedful.run.atomic import METRICS, atomic_text, digest

PEAK_MEMORY = "memory/peak_mb"  # in every summary: the most that the process had held when the stage ended
PACKAGES = ("heedful", "torch", "transformers", "tokenizers", "accelerate", "safetensors", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a stage read, what it wrote, and under which conditions."""

    stage: str
    kind: str
    seed: int
    config: Mapping[str, Any]
    inputs: Mapping[str, str]  # path, relative to the run folder where inside it -> sha256
    outputs: Mapping[str, str]  # path inside the stage folder -> sha256
    summary: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def conditions(self) -> dict[str, Any]:
        """What decided the result: see `run.conditions`."""
        return {"seed": self.seed, "config": self.config, "inputs": self.inputs}

    @property
    def peak(self) -> float:
        """Bytes of memory that the process had held at most when the stage ended; 0 where nobody says."""
        return float(self.summary.get(PEAK_MEMORY, 0.0)) * 2**20

    def write(self, folder: Path) -> None:
        atomic_text(folder / "manifest.json", json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Manifest | None:
        """The manifest of a complete stage, None where the stage is not complete."""
        path = folder / "manifest.json"
        if not path.exists():
            return None
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise ResumeError(
                f"{path}: not a manifest that this version reads ({error}); move the folder away"
            ) from None


def environment() -> dict[str, str]:
    """Versions, machine and git state: what reruns need to be the same."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions | {"python": platform.python_version(), "machine": platform.machine(), "git": _git_state()}


def _git_state() -> str:
    """The commit of heedful's own checkout with + where it holds changes; empty outside a checkout."""
    here = Path(__file__).parent
    try:
        describe = ["git", "-C", str(here), "describe", "--always", "--dirty=+", "--abbrev=12"]
        return subprocess.run(describe, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def hash_outputs(folder: Path) -> dict[str, str]:
    """Hashes of what a stage leaves for others; checkpoints and logs are its own business."""
    own = {"manifest.json", "begun.json", "checkpoints", METRICS, "config.toml"}
    return {p.name: digest(p) for p in sorted(folder.iterdir()) if p.name not in own and not p.name.startswith(".")}
