"""What every test shares: one thread each, since tests run beside each other and tiny products gain nothing; and no
example of a property has a deadline, for how long it takes says more about the machine than about the code."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, and for every process that a test starts

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
