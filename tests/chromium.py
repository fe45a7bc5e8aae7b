"""The browser that tests look at pages with; Debian's package is installed if need be."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.debian import installed


def chromium_program() -> Path:
    """Skips the test where there is none and none can be installed."""
    return installed("chromium", _found)


def _found() -> Path | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((Path(path) for path in map(shutil.which, names) if path), None)
