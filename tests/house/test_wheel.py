"""What is shipped: the wheel holds every file of the package and the recipes, and works far from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from heedful import __version__

ROOT = Path(__file__).parents[2]


def run(*command: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    alone = ("--no-index", "--no-deps", "--no-build-isolation", "--quiet", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "wheel", *alone, "-w", str(folder), str(ROOT), cwd=folder)
    (found,) = folder.glob(f"heedful-{__version__}-*.whl")
    return found


def test_the_wheel_holds_all_files(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    source = ROOT / "src"
    ours = {
        str(path.relative_to(source))
        for path in (source / "heedful").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    recipes = {f"heedful/recipes/{path.name}" for path in (ROOT / "recipes").glob("*.toml")}
    assert ours | recipes <= held
    assert not [name for name in held if not name.startswith("heedful")]


def test_the_wheel_runs_far_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    here = {"PYTHONPATH": str(site), "COLUMNS": "200"}
    where = run(sys.executable, "-c", "import heedful; print(heedful.__file__)", cwd=tmp_path, **here)
    assert Path(where.strip()).is_relative_to(site)
    assert run(sys.executable, "-m", "heedful", "--version", cwd=tmp_path, **here).strip() == __version__
    shown = run(sys.executable, "-m", "heedful", "recipes", cwd=tmp_path, **here)
    assert all(path.stem in shown for path in (ROOT / "recipes").glob("*.toml"))
    (points,) = site.glob("heedful-*.dist-info/entry_points.txt")
    assert "heedful = heedful.cli:main" in points.read_text()
