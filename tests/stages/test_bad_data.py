"""A faulty line in any stage's data: one sentence, nothing left behind, and once it is mended the same command runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from every_stage import build, stages

from heedful.errors import InputError
from heedful.pipeline import run_single
from heedful.run import Manifest

READERS = [kind for kind, (_, data) in stages(Path()).items() if data]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("every") / "house")


@pytest.mark.parametrize("kind", READERS)
def test_a_faulty_line_leaves_nothing_and_mended_it_runs(kind: str, house: Path, tmp_path: Path) -> None:
    config, data = stages(house)[kind]
    path = house / f"{data}.jsonl"
    sound = path.read_text()
    path.write_text(sound.replace("}\n", "\n", 1))
    with pytest.raises(InputError, match=rf"{data}.jsonl:1"):
        run_single(config, tmp_path / "out", seed=0)
    path.write_text(sound)
    assert not list(tmp_path.iterdir())
    run_single(config, tmp_path / "out", seed=0)
    assert Manifest.read(tmp_path / "out")
