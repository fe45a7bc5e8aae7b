"""Seeds from counters: a draw is named by (seed, stage, purpose, step, sample), so resuming needs no hidden state."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def seed_of(seed: int, stage: str, purpose: str, step: int = 0, sample: int = 0) -> int:
    """A 63-bit seed from the name of a draw."""
    name = f"{seed}/{stage}/{purpose}/{step}/{sample}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big") >> 1


def generator(seed: int, stage: str, purpose: str, step: int = 0, sample: int = 0) -> np.random.Generator:
    """A numpy generator for the named draw."""
    import numpy as np  # a quarter of a second, which the studio and `--help` do without

    return np.random.Generator(np.random.Philox(seed_of(seed, stage, purpose, step, sample)))
