"""Both sides in one run: heedful against its peers and against the machine's limits. `python -m benchmarks --list`."""
