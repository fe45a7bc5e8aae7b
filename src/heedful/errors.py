"""What can go wrong, each with the exit code that the command ends with."""

from __future__ import annotations

import errno
from pathlib import Path


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


class Stopped(BaseException):
    """A signal asked to stop; the exit code is 128 + its number. No Exception, which anybody's code may catch."""

    def __init__(self, signal: int) -> None:
        super().__init__("stopped, and what was saved is kept. To go on: run the same command again")
        self.exit_code = 128 + signal


FULL = "no space is left on the disk; free some, then run the same command again"


def of_system(error: Exception) -> HeedfulError | None:
    """What the operating system refused, in a sentence; None where it is about no file, no disk and no memory."""
    said = str(error)
    if isinstance(error, MemoryError) or "can't allocate memory" in said or "out of memory" in said:
        return ResourceError("memory ran out; close what else needs it, or make the batches smaller, then run again")
    if not isinstance(error, OSError):  # of a library that wraps it, as safetensors does
        return ResourceError(FULL) if "No space left on device" in said else None
    where = f"{error.filename}: " if error.filename is not None else ""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return ResourceError(where + FULL)
        case _ if not where:
            return None
        case errno.ENOENT:
            return InputError(f"{where}there is no such file or folder")
        case errno.EISDIR:
            return InputError(f"{where}is a folder where a file is needed; name a file")
        case errno.ENOTDIR | errno.EEXIST:
            return InputError(f"{where}a file stands where a folder is needed; name another place")
        case errno.ENAMETOOLONG:
            return InputError(f"{where:.80}… is too long for a file's name; shorten it")
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return ResourceError(f"{where}this user may not read or write there; change rights, or name another place")
    return ResourceError(f"{where}the system refused ({error.strerror})")


def text_of(path: Path) -> str:
    """A file's text, without a byte order mark. HeedfulError: it can't be read, or is not UTF-8."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise of_system(error) or error from None
    except UnicodeDecodeError as error:
        found = f"the byte 0x{error.object[error.start]:02x} at byte {error.start}"
        raise InputError(f"{path}: {found} is not UTF-8: save the file as UTF-8") from None
