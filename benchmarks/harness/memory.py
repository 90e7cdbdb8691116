"""Memory use of a process (Linux)."""

from __future__ import annotations

from pathlib import Path


class PeakMemory:
    """Peak of this process's resident memory, in bytes. Unlike ru_maxrss, it is not inherited from the parent."""

    def __init__(self) -> None:
        # Opened early, as later all file descriptors may be in use.
        self._status = Path("/proc/self/status").open()  # noqa: SIM115 - open as long as the process

    def reset(self) -> int:
        """Restart the peak at the present memory use, and return that."""
        Path("/proc/self/clear_refs").write_text("5")
        return self.peak()

    def peak(self) -> int:
        return self._read("VmHWM:")

    def now(self) -> int:
        """Return the present memory use, in bytes."""
        return self._read("VmRSS:")

    def _read(self, name: str) -> int:
        self._status.seek(0)
        for line in self._status:
            if line.startswith(name):
                return int(line.split()[1]) * 1024
        raise RuntimeError(f"no {name} in /proc/self/status: this needs Linux")
