"""A tiny SFT model, reward model, prompts and rankings, for the tests of PPO and DPO and the scripts they start.

As a script it runs in a process of its own: `killed ROOT` dies at moments of training and goes on; `rank ROOT` is one
of several processes that train together.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import torch

from heedful.config import Architecture, DPOConfig, PPOConfig, RLConfig
from heedful.data.chat import Chat, train_tokenizer
from heedful.models.loading import Affine, new_policy, reward_from_policy, save_policy, save_reward_model
from heedful.records import Message, Prompt, Ranking, Record, to_row
from heedful.run import Run, read_metrics
from heedful.stages.dpo import dpo
from heedful.stages.ppo import ppo
from heedful.stages.rl import rl
from heedful.train import on_policy
from heedful.train.last_good import LastGood
from heedful.train.optimizer import Optimizer
from heedful.train.rollout import Collected

QUESTIONS = ["how are you", "what is it", "who goes there", "is it late", "where is home", "why so slow"]
SHARED_KINDS = ("dapo", "nash_md", "xpo")  # what several processes must learn as one does
GOOD, BAD, OTHER = "fine thank you", "go away now", "well well well"


def write(path: Path, records: list[Any]) -> str:
    """Records as JSONL."""
    rows = [to_row(record) if isinstance(record, Record) else record for record in records]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def prompts() -> list[Prompt]:
    return [Prompt(id=str(i), messages=(Message("user", text),)) for i, text in enumerate(QUESTIONS)]


def rankings(ranks: tuple[int, ...] = (0, 1, 2)) -> list[Ranking]:
    answers = (GOOD, OTHER, BAD)
    return [
        Ranking(prompt=prompt, completions=answers, ranks=ranks, rater="r", rater_kind="simulated")
        for prompt in prompts()
    ]


def held_out_twins(folder: Path) -> str:
    """A file of the same rankings, of prompts that differ by a mark."""
    twins = [
        replace(each, prompt=replace(each.prompt, messages=(Message("user", f"{each.prompt.messages[0].content}?"),)))
        for each in rankings()
    ]
    return write(folder / "twins.jsonl", twins)


SHAPE = Architecture(vocabulary=300, hidden=16, layers=1, heads=2, kv_heads=2, feedforward=32, context=64)


def build(folder: Path, shape: Architecture = SHAPE) -> Path:
    """`sft`, `reward`, `prompts.jsonl`, `rankings.jsonl` and `text.jsonl` in a folder."""
    chat = Chat(train_tokenizer([*QUESTIONS, GOOD, BAD, OTHER] * 3, 300))
    save_policy(new_policy(shape, chat, seed=0), chat, folder / "sft")
    reward, reward_chat = reward_from_policy(str(folder / "sft"), seed=5)
    save_reward_model(reward, reward_chat, Affine(mean=0.2, std=0.5), folder / "reward")
    write(folder / "prompts.jsonl", prompts())
    write(folder / "rankings.jsonl", rankings())
    write(folder / "text.jsonl", [{"text": text} for text in QUESTIONS])
    return folder


def ppo_config(house: Path, **sections: object) -> PPOConfig:
    fields: dict[str, object] = {
        "model": str(house / "sft"),
        "prompts": str(house / "prompts.jsonl"),
        "rewards": {"model": str(house / "reward")},
        "algorithm": {"iterations": 3, "prompts": 8, "epochs": 2, "minibatches": 2, "critic_warmup": 0},
        "generation": {"max_new_tokens": 6},
        "training": {"checkpoint_every": 4},
        "optim": {"lr": 3e-3},
    }
    return PPOConfig.model_validate(fields | sections)


def rl_config(house: Path, kind: str, **sections: object) -> RLConfig:
    fields: dict[str, object] = {
        "model": str(house / "sft"),
        "prompts": str(house / "prompts.jsonl"),
        "rewards": {"model": str(house / "reward")},
        "algorithm": {"type": kind},
        "practice": {"iterations": 2, "prompts": 4, "minibatches": 2},
        "generation": {"max_new_tokens": 6},
        "training": {"checkpoint_every": 2},
        "optim": {"lr": 3e-3},
    }
    return RLConfig.model_validate(fields | sections)


def dpo_config(house: Path, **sections: object) -> DPOConfig:
    fields: dict[str, object] = {
        "model": str(house / "sft"),
        "data": [str(house / "rankings.jsonl")],
        "prompts_per_step": 2,
        "optim": {"lr": 5e-3},
        "training": {"epochs": 6, "log_every": 1, "checkpoint_every": 5},
    }
    return DPOConfig.model_validate(fields | sections)


def untimed(run: Run) -> list[dict[str, float]]:
    """The metrics that two equal runs share."""
    rows = read_metrics(run.path / "metrics.jsonl")
    return [{name: value for name, value in row.items() if not name.startswith(("time/", "memory/"))} for row in rows]


def steered(house: Path, *, overlap: bool = True) -> PPOConfig:
    """With everything on that has a state of its own."""
    practice = {"iterations": 3, "prompts": 8, "epochs": 2, "minibatches": 2, "critic_warmup": 0}
    return ppo_config(
        house,
        algorithm=practice | {"overlap": overlap, "importance_cap": 2.0},
        kl={"type": "adaptive", "target": 0.01, "horizon": 20},
        ptx={"data": str(house / "text.jsonl"), "coefficient": 0.5, "tokens": 64},
    )


def together(script: str, *arguments: str, processes: int = 2) -> None:
    """All processes of one training, as torchrun starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    ranks = []
    for number in range(processes):
        place = {"RANK": str(number), "LOCAL_RANK": str(number), "WORLD_SIZE": str(processes)}
        environment = os.environ | place | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, script, *arguments]
        ranks.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    try:
        for process in ranks:
            _, said = process.communicate(timeout=600)
            assert process.returncode == 0, said
    finally:
        for process in ranks:
            process.kill()  # what waits for one that broke waits for ever
            process.communicate()


def die_at(moment: int, of: signal.Signals = signal.SIGKILL) -> list[int]:
    """A signal to this process at the n-th of the moments at which something changes; 0: never. What is left to it."""
    left = [moment]

    def watch(owner: Any, name: str) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if name == "replace" and str(args[-1]).endswith((".nbi", ".nbc")):
                return original(*args, **kwargs)  # what numba keeps, once a machine: no moment of a stage's
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), of)
            return original(*args, **kwargs)

        setattr(owner, name, wrapped)

    for owner, name in ((os, "replace"), (shutil, "rmtree"), (Optimizer, "step"), (LastGood, "keep"), (Path, "open")):
        watch(owner, name)
    for name in ("ask", "scored", "measure", "log_samples"):
        watch(on_policy, name)
    return left


def attempt(house: Path, path: Path, moment: int) -> int:
    """PPO in a child that may die. Returns its exit status."""
    if (pid := os.fork()) == 0:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
        die_at(moment)
        try:
            ppo(steered(house), Run(path, "ppo", seed=1))
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed(root: Path, trials: int = 3) -> None:
    """Train, die, go on, until done; one JSON line says whether the end is that of an undisturbed run."""
    house, choose, results = build(root / "house"), random.Random(0), []
    assert attempt(house, root / "whole", 0) == 0
    for trial in range(trials):
        path, deaths, status = root / str(trial), 0, -9
        while status == -9:
            status = attempt(house, path, 0 if deaths > 2 else choose.randint(1, 60))
            deaths += status == -9
        files = [Path("model/model.safetensors"), Path("samples.jsonl")]
        same = status == 0 and all((path / f).read_bytes() == (root / "whole" / f).read_bytes() for f in files)
        lines = untimed(Run(path, "ppo", seed=1)) == untimed(Run(root / "whole", "ppo", seed=1))
        results.append({"status": status, "deaths": deaths, "same": same, "lines": lines})
    sys.stdout.write(json.dumps(results) + "\n")


def rank(root: Path) -> None:
    """PPO, RL and DPO, by as many processes as the environment says."""
    main = os.environ.get("RANK", "0") == "0"
    ways = os.environ.get("WORLD_SIZE", "1")
    whole = {"iterations": 2, "prompts": 8, "epochs": 2, "minibatches": 4, "critic_warmup": 0}
    ppo(ppo_config(root / "house", algorithm=whole), Run(root / f"ppo-{ways}", "ppo", seed=1, main=main))
    for kind in ("dpo", "kto", "bco"):
        dpo(dpo_config(root / "house", loss={"type": kind}), Run(root / f"{kind}-{ways}", "dpo", seed=1, main=main))
    practice = {"iterations": 2, "prompts": 4, "completions": 3, "minibatches": 2}
    for kind in SHARED_KINDS:
        config = rl_config(root / "house", kind, practice=practice, training={"tokens_per_batch": 64})
        rl(config, Run(root / f"{kind}-{ways}", kind, seed=1, main=main))
    agreed(root, main=main)


def agreed(root: Path, *, main: bool) -> None:
    """RL that ends early on what each process measures by itself: the first one's says when, or some wait for ever."""
    measure, gaps = on_policy.measure, count(1) if main else count(8, -1)  # gets worse; here better and better

    def off_by_more(*given: object, **named: object) -> Collected:
        found = measure(*given, **named)
        return replace(found, sampler_logprobs=found.rollout.policy_logprobs + 1e-5 * next(gaps))

    on_policy.measure = off_by_more
    early = {"early_stop": {"metric": "sampler/gap", "patience": 1}}
    practice = {"iterations": 4, "prompts": 4, "completions": 2, "minibatches": 1}
    config = rl_config(root / "house", "rloo", practice=practice, training=early)
    run = Run(root / f"early-{os.environ.get('WORLD_SIZE', '1')}", "early", seed=1, main=main)
    try:
        rl(config, run)
    finally:
        on_policy.measure = measure
    assert run.summary["kept_iteration"] == 0


if __name__ == "__main__":
    torch.set_num_threads(1)  # children must not wait for threads that a fork leaves behind
    {"killed": killed, "rank": rank}[sys.argv[1]](Path(sys.argv[2]))
