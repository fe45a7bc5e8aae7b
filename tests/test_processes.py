"""`--processes`: one command, several processes, one result; a death is named and ends them all."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_simple_launcher_cmd_env
from safetensors.torch import load_file
from torch import allclose

from heedful.config import WorldConfig
from heedful.errors import InputError
from heedful.pipeline import run_single
from heedful.processes import refuse_scattered
from heedful.run import Manifest

RECIPE = """
name = "small"
seed = 3

[[stages]]
type = "world"
documents = 300
demonstrations = 20
preference_prompts = 20
rl_prompts = 20
dev_prompts = 10
test_prompts = 10

[[stages]]
type = "pretrain"
data = "@world/corpus.jsonl"
architecture = { vocabulary = 400, hidden = 32, layers = 1, heads = 2, kv_heads = 2, feedforward = 32 }
training = { epochs = EPOCHS, checkpoint_every = 5, sharding = "SHARDING" }
"""
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}


def start(root: Path, epochs: int, processes: int, sharding: str = "none") -> subprocess.Popen[str]:
    root.mkdir(parents=True, exist_ok=True)
    (root / "recipe.toml").write_text(RECIPE.replace("EPOCHS", str(epochs)).replace("SHARDING", sharding))
    command = [sys.executable, "-m", "heedful", "run", str(root / "recipe.toml"), "--runs", str(root)]
    command += ["--processes", str(processes)]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE = 2 says that there are several processes, and no RANK"),
        ({"PMI_SIZE": "4"}, "PMI_SIZE = 4 says"),
        ({"RANK": "1"}, "RANK = 1 is none of WORLD_SIZE = 1 processes"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK = 2 is none of WORLD_SIZE = 2"),
    ],
)
def test_a_process_that_does_not_know_its_part_is_refused(
    environment: dict[str, str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=words):
        run_single(WorldConfig(), tmp_path / "out", seed=0)
    assert not list(tmp_path.iterdir())


def test_what_accelerate_launch_starts_on_processors_is_refused_where_several_were_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def launched(*words: str) -> dict[str, str]:
        args, _, _ = _validate_launch_command(launch_command_parser().parse_args([*words, "-m", "heedful"]))
        return dict(prepare_simple_launcher_cmd_env(args)[1])

    one, two = (launched("--cpu", "--num_processes", count) for count in "12")
    monkeypatch.setattr(os, "environ", one)
    refuse_scattered()
    monkeypatch.setattr(os, "environ", two)
    with pytest.raises(InputError, match="accelerate launch was asked for several processes, and has started one"):
        refuse_scattered()


@pytest.mark.slow
def test_two_processes_train_what_one_trains(tmp_path: Path) -> None:
    for processes in (1, 2):
        done = start(tmp_path / str(processes), 1, processes)
        said, _ = done.communicate(timeout=300)
        assert done.returncode == 0, said
        assert ("pretrain trains in 2 processes" in said) == (processes == 2)
        manifest = Manifest.read(tmp_path / str(processes) / "small/02-pretrain")
        assert manifest and manifest.environment["processes"] == str(processes)
    one, two = (load_file(tmp_path / n / "small/02-pretrain/model/model.safetensors") for n in ("1", "2"))
    for name, tensor in one.items():
        assert allclose(tensor, two[name], atol=2e-3), name


@pytest.mark.slow
@pytest.mark.parametrize(("sharding", "then", "processes"), [("none", "full", 2), ("full", "none", 1)])
def test_the_death_of_one_process_ends_all_is_named_and_the_run_goes_on_in_another_manner(
    tmp_path: Path, sharding: str, then: str, processes: int
) -> None:
    running = start(tmp_path, 20, 2, sharding)
    checkpoints = tmp_path / "small/02-pretrain/checkpoints"
    while not (checkpoints.is_dir() and any(checkpoints.iterdir())):
        assert running.poll() is None, running.communicate()[0]
        time.sleep(0.1)
    os.kill(other_rank(running.pid), signal.SIGKILL)
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 4, said
    assert re.search(r"process 1 of 2 ended", said.replace("\n", " ")), said
    again = start(tmp_path, 20, processes, then)
    said, _ = again.communicate(timeout=300)
    assert again.returncode == 0, said
    assert "goes on from step" in said


def other_rank(leader: int) -> int:
    """The process that the leader started."""
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(leader)], capture_output=True, text=True, check=True)
    return int(children.stdout.split()[0])


@pytest.mark.slow
def test_a_fault_that_only_rank_0_meets_ends_all_with_its_own_code(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"prompt": "a"}\n')
    recipe = '[[stages]]\ntype = "label"\ncompletions = ["$data"]\n'
    (tmp_path / "bad.toml").write_text(f'name = "bad"\n[inputs]\ndata = "{tmp_path}/bad.jsonl"\n{recipe}')
    command = [sys.executable, "-m", "heedful", "run", str(tmp_path / "bad.toml"), "--runs", str(tmp_path)]
    begun = time.monotonic()
    done = subprocess.run([*command, "--processes", "2"], env=ENVIRONMENT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 2, done.stdout + done.stderr
    assert time.monotonic() - begun < 60
