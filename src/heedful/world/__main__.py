"""`python -m heedful.world` prints the world's tables."""

import sys

from heedful.world.describe import describe

sys.stdout.write(describe())
