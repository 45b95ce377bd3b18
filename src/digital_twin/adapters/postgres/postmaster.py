"""The server's first process, looked at from outside."""

from contextlib import suppress
from pathlib import Path

_PROCESSES = Path("/proc")
_RECOVERS = b"startup"


def has_given_up(data: Path) -> bool:
    """Whether the postmaster of a server that is not ready runs, but without the process that would make it so.

    A recovery that finds no room on the disk ends, and PostgreSQL 18 then refuses connections for ever instead of
    ending, too. Where there is no proc(5) nothing is known and the answer is no.
    """
    with suppress(OSError, ValueError, IndexError):
        postmaster = _PROCESSES / (data / "postmaster.pid").read_text().split()[0]
        children = (postmaster / "task" / postmaster.name / "children").read_text().split()
        if Path.samefile(postmaster / "cwd", data):
            return not any(_is_recovering(_PROCESSES / child) for child in children)
    return False


def _is_recovering(process: Path) -> bool:
    with suppress(OSError):
        return _RECOVERS in (process / "cmdline").read_bytes()
    return False
