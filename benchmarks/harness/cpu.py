"""CPU time of processes (POSIX)."""

from __future__ import annotations

import resource


def cpu_seconds(*, children: bool = False) -> float:
    """Return the CPU time of all threads of this process, or of its ended children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
