"""How much CPU processes have used (POSIX)."""

from __future__ import annotations

import resource


def cpu_seconds(*, children: bool = False) -> float:
    """Of every thread of this process, such as the ledger's writer; or of its children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
