"""What can go wrong, each with the exit code that the command ends with."""

from __future__ import annotations


class HeedfulError(Exception):
    """A sentence for the user: what is wrong, where, and how to mend it."""

    exit_code = 1


class InputError(HeedfulError):
    """The config, the data or the model folder is not what was expected."""

    exit_code = 2


class ResourceError(HeedfulError):
    """Memory, disk or a service failed."""

    exit_code = 4


class DivergedError(HeedfulError):
    """Training left the finite or the KL budget; the last good state is kept."""

    exit_code = 5


class InUseError(HeedfulError):
    """Another process works in this run folder."""

    exit_code = 6


class ResumeError(HeedfulError):
    """Nothing sound to resume from, or the inputs changed."""

    exit_code = 7


class Killed(SystemExit):
    """A second signal: the process ends at once, whatever it is in. A SystemExit of somebody's own code is no such."""


class Stopped(HeedfulError):
    """A signal asked to stop; the state is saved. The exit code is 128 + the signal's number."""

    def __init__(self, signal: int, how_to_go_on: str) -> None:
        super().__init__(how_to_go_on)
        self.exit_code = 128 + signal
