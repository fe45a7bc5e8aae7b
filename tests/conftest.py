"""What every test shares: one thread each, since tests run beside each other and tiny products gain nothing."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, and for every process that a test starts
