"""How much memory a process has had in use (Linux)."""

from __future__ import annotations

from pathlib import Path


class PeakMemory:
    """Peak of this process's resident memory, in bytes. Not ru_maxrss: a new process inherits its parent's."""

    def __init__(self) -> None:
        # Opened early: later there may be no file descriptor left.
        self._status = Path("/proc/self/status").open()  # noqa: SIM115 - it lives as long as the process

    def reset(self) -> int:
        """From here on the peak is a new one; it starts at what is given."""
        Path("/proc/self/clear_refs").write_text("5")
        return self.peak()

    def peak(self) -> int:
        self._status.seek(0)
        for line in self._status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no VmHWM in /proc/self/status: this needs Linux")
