"""A run on disk: folders, atomic writes, manifests, the metrics log, seeds, and stopping politely. Imports no torch."""

from heedful.run.atomic import atomic_folder, atomic_text, digest
from heedful.run.folder import CACHE, Run, RunFolder, stage_folders
from heedful.run.manifest import Manifest
from heedful.run.metrics import MetricsLog, read_metrics
from heedful.run.progress import Progress, console, output
from heedful.run.seeds import generator, seed_of
from heedful.run.signals import Stopper
from heedful.run.times import KindTime, stage_times

__all__ = [
    "CACHE",
    "KindTime",
    "Manifest",
    "MetricsLog",
    "Progress",
    "Run",
    "RunFolder",
    "Stopper",
    "atomic_folder",
    "atomic_text",
    "console",
    "output",
    "digest",
    "generator",
    "read_metrics",
    "seed_of",
    "stage_folders",
    "stage_times",
]
