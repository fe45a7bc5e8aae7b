"""A recipe run in order: complete stages are skipped, a broken one resumes, changed inputs are refused."""

from __future__ import annotations

import os
import shutil
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import tomli_w

from heedful.config import Recipe, Section, StageConfig
from heedful.config.paths import input_paths, missing, resolve
from heedful.errors import InputError, ResourceError, ResumeError
from heedful.ops.memory import peak_memory_mb
from heedful.processes import LEADER, processes, rank, refuse_scattered
from heedful.run import (
    CACHE,
    Manifest,
    Run,
    RunFolder,
    Stopper,
    atomic_folder,
    atomic_text,
    console,
    digest,
    stage_folders,
)
from heedful.run.conditions import RESOLVED, begin, changes, conditions, is_begun, whole_or_nothing
from heedful.run.manifest import PEAK_MEMORY, environment, hash_outputs
from heedful.stages import TRAINING, run_stage

MANIFEST, RECIPE = "manifest.json", "recipe.toml"
PUBLISHED = {"evaluate": "evaluation.json", "report": "report.html"}  # also at the run folder's top


def _plain(value: Any) -> Any:
    """A config value without None and tuples, as TOML has neither."""
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items() if item is not None}
        case list() | tuple():
            return [_plain(item) for item in value]
    return value


def _must_exist(path: Path, stage: str) -> None:
    if not path.exists():
        raise InputError(f"stage '{stage}': {path}: there is no such file or folder")


def _name_inputs(config: StageConfig, root: Path) -> dict[str, str]:
    """Path → hash of everything the stage reads; paths inside the run folder are written relative to it."""
    hashes = {}
    for path in input_paths(config):
        _must_exist(path, config.name)
        inside = path.is_relative_to(root)
        hashes[str(path.relative_to(root) if inside else path)] = digest(path)
    return hashes


def _is_complete(config: StageConfig, now: Mapping[str, Any], folder: Path) -> bool:
    """Whether this very stage is done here; refuses when something else was done here."""
    manifest = Manifest.read(folder)
    if manifest is None or config.type == "report":  # a report shows the whole run as it stands: always made anew
        return False
    if changed := changes(type(config), manifest.conditions, now):
        raise ResumeError(
            f"{folder}: was completed under other conditions ({'; '.join(changed[:5])}). "
            f"Undo the change, remove {folder} and the stages after it to run them again, or use another run name"
        )
    return True


def _run_one(config: StageConfig, portable: Any, run: Run, root: Path, shared: Sequence[Path] = ()) -> None:
    """One stage, to its manifest. `shared`: runs whose finished folder is taken over where it is this very stage's."""
    inputs = _name_inputs(config, root)
    now = conditions(run.seed, portable, inputs)
    if run.main:
        _take_over(config, now, run, shared)
        _link_caches(run, shared)
    if _is_complete(config, now, run.path):
        run.say("is complete already")
        return
    begin(type(config), run, now)
    begun = time.monotonic()
    count = processes() if config.type in TRAINING else 1
    _tell_processes(config, count, run)
    _share_cores(config.type in TRAINING)
    with _memory_told(config):
        run_stage(_settle_precision(config, run, now), run)
    if not run.main:
        _wait_until((run.path / MANIFEST).exists, run.path / MANIFEST)  # the next stage reads what rank 0 writes
    else:
        manifest = Manifest(
            stage=config.name,
            kind=config.type,
            seed=run.seed,
            config=portable,
            inputs=inputs,
            outputs=hash_outputs(run.path),
            summary={**run.summary, PEAK_MEMORY: round(peak_memory_mb(), 1)},
            seconds=round(time.monotonic() - begun, 1),
            environment={**environment(), "processes": str(count)},
        )
        manifest.write(run.path)
        run.say(f"done in {manifest.seconds:.0f} s")


def _take_over(config: StageConfig, now: Mapping[str, Any], run: Run, shared: Sequence[Path]) -> None:
    """Link the files of a stage that another run has finished under the same conditions; checkpoints stay there."""
    if config.type == "report" or any(run.path.iterdir()):
        return
    for other in shared:
        manifest = Manifest.read(other / run.path.name)
        if manifest and not changes(type(config), manifest.conditions, now, Section.model_dump):
            run.say(f"is taken over from {other.name}")
            with atomic_folder(run.path) as scratch:
                shutil.copytree(other / run.path.name, scratch, copy_function=_link, dirs_exist_ok=True, ignore=_own)
            return


def _link_caches(run: Run, shared: Sequence[Path]) -> None:
    """What other runs of this stage keep by the hash of all that it hangs on is not computed again."""
    for other in shared:
        for kept in sorted((other / run.path.name / CACHE).glob("[!.]*")):
            if not run.cache(kept.name).exists():
                with atomic_folder(run.cache(kept.name)) as scratch:
                    shutil.copytree(kept, scratch, copy_function=_link, dirs_exist_ok=True)


def _own(folder: str, names: list[str]) -> set[str]:
    """What a finished stage keeps for itself."""
    return {name for name in names if name == "checkpoints" or name.startswith(".")}


def _link(source: str, target: str) -> None:
    """No second copy on disk where the file system knows links; nothing is ever changed in place."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _tell_processes(config: StageConfig, count: int, run: Run) -> None:
    training = getattr(config, "training", None)
    if count > 1:
        run.say(f"trains in {count} processes")
    elif training is not None and training.sharding == "full":
        run.say("training.sharding = 'full' shares weights out over several processes: this is one, and holds all")


def _settle_precision(config: StageConfig, run: Run, now: Mapping[str, Any]) -> StageConfig:
    """`auto` becomes what this machine does faster: measured when the stage begins, kept in its config.toml."""
    training = getattr(config, "training", None)
    if training is None or training.precision != "auto":
        return config
    path = run.path / RESOLVED
    if run.main and _kept_precision(path) == "auto":
        from heedful.ops.rates import faster_precision, training_device

        resolved = tomllib.loads(path.read_text(encoding="utf-8"))
        resolved["training"]["precision"] = faster_precision(training_device())
        atomic_text(path, tomli_w.dumps(resolved))
    _wait_until(lambda: is_begun(type(config), run, now) and _kept_precision(path) not in ("", "auto"), path)
    precision = _kept_precision(path)
    run.say(f"precision: {precision}, the faster here")
    return config.model_copy(update={"training": training.model_copy(update={"precision": precision})})


def _kept_precision(path: Path) -> str:
    """Empty where nothing is kept."""
    try:
        return str(tomllib.loads(path.read_text(encoding="utf-8"))["training"]["precision"])
    except FileNotFoundError:
        return ""


@contextmanager
def _memory_told(config: StageConfig) -> Iterator[None]:
    """Memory that runs out anywhere in a stage, be it sampling, scoring, reading or measuring, is one sentence."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        from heedful.ops.memory import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        sections = (("training", "tokens_per_batch"), ("generation", "batch"))
        found = [(s, name, getattr(config, s)) for s, name in sections if getattr(config, s, None)]
        lower = " or ".join(f"{s}.{name} (now {getattr(section, name)})" for s, name, section in found)
        raise ResourceError(
            f"{config.name}: memory is short; {f'lower {lower}' if lower else 'take smaller models'}, or leave more of "
            "it free, and run the same command again"
        ) from None


def _wait_until(written: Callable[[], bool], path: Path) -> None:
    """Ranks other than 0 wait for what only rank 0 writes: not for ever, should it be gone."""
    leader = int(os.environ.get(LEADER, os.getppid()))
    while not written():
        if os.getppid() != leader:
            raise ResourceError(f"{path}: the process that leads this one is gone; run the command again to go on")
        time.sleep(0.2)


def _share_cores(training: bool) -> None:
    """Processes of one machine share its cores while they train together; rank 0 alone has them all."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if here > 1 and "OMP_NUM_THREADS" not in os.environ:  # torchrun and users set it, and mean it
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        import torch

        torch.set_num_threads(max(1, cores // here) if training else cores)


def refuse_missing(recipe: Recipe) -> None:
    """A missing input is said before the first stage, not hours later: all of them at once."""
    faults = (fault for stage in recipe.stages for fault in missing(stage, stage.name, recipe.inputs))
    if sentences := list(dict.fromkeys(faults)):
        raise InputError("\n".join(sentences))


def run_recipe(recipe: Recipe, runs: Path, shared: Sequence[Path] = ()) -> Path:
    """Run all stages of a recipe under `runs/<name>`. Returns the run folder.

    `shared`: other run folders; a stage that one of them has finished under the same conditions is not run again.
    """
    root = runs / recipe.name
    refuse_scattered()
    refuse_missing(recipe)
    folder = RunFolder(root)
    if rank():
        _run_stages(recipe, folder, main=False)
        return root
    with folder:
        atomic_text(root / RECIPE, tomli_w.dumps(_plain(recipe.model_dump())))
        try:
            _run_stages(recipe, folder, main=True, shared=shared)
        except InputError:
            if not stage_folders(root):
                (root / RECIPE).unlink()
            raise
    return root


def _run_stages(recipe: Recipe, folder: RunFolder, *, main: bool, shared: Sequence[Path] = ()) -> None:
    folders: dict[str, Path] = {}
    with Stopper() as stopper:
        for index, stage in enumerate(recipe.stages):
            path = folder.stage_folder(index, stage.name)
            if not main and stage.type not in TRAINING:
                _wait_until((path / MANIFEST).exists, path / MANIFEST)
            else:
                with whole_or_nothing(path) if main else nullcontext():
                    run = Run(path, stage.name, recipe.seed, stopper, main=main)
                    resolved = resolve(stage, folders, recipe.inputs)
                    _run_one(resolved, _plain(stage.model_dump()), run, folder.root, shared)
            stopper.stop_if_asked()  # where somebody's code has swallowed it
            folders[stage.name] = path
            if main and (published := PUBLISHED.get(stage.type)):
                atomic_text(folder.root / published, (path / published).read_text(encoding="utf-8"))


def run_single(config: StageConfig, out: Path, seed: int) -> Path:
    """One stage in a folder of its own, outside any recipe; `@stage/file` paths have no meaning here."""
    refuse_scattered()
    main = rank() == 0
    config = resolve(config, {}, {})
    folder = RunFolder(out)
    held, kept = (folder, whole_or_nothing(out)) if main else (nullcontext(), nullcontext())
    with Stopper() as stopper, held, kept:
        run = Run(out, config.name, seed, stopper, main=main)
        _run_one(config, _plain(config.model_dump()), run, out)
        stopper.stop_if_asked()  # where somebody's code has swallowed it
    if main:
        console.print(f"{config.name:>12} → {out}")
    return out
