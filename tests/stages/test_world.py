"""The world stage: every file that later stages read is there, and no other."""

from __future__ import annotations

import json
from pathlib import Path

from heedful.config import WorldConfig
from heedful.data.sources import read_demonstrations, read_documents, read_prompts
from heedful.run import Run
from heedful.stages.world import world

SMALL = WorldConfig(
    documents=100, demonstrations=10, preference_prompts=30, rl_prompts=20, dev_prompts=10, test_prompts=20
)


def test_everything_that_later_stages_read(tmp_path: Path) -> None:
    run = Run(tmp_path, "world", seed=0)
    world(SMALL, run)
    assert len(read_documents(str(tmp_path / "corpus.jsonl"))) == 100
    assert len(read_documents(str(tmp_path / "heldout.jsonl"))) > 0
    assert len(read_demonstrations(str(tmp_path / "demonstrations.jsonl"))) == 10
    for split, count in {"preference": 30, "rl": 20, "dev": 10, "test": 20}.items():
        assert len(read_prompts(str(tmp_path / "prompts" / f"{split}.jsonl"))) == count
    assert json.loads((tmp_path / "world.json").read_text())["digest"] == run.summary["digest"]
    assert {path.name for path in tmp_path.iterdir()} == {
        "corpus.jsonl",
        "heldout.jsonl",
        "demonstrations.jsonl",
        "prompts",
        "showcase.jsonl",
        "lookalikes.jsonl",
        "world.json",
    }
