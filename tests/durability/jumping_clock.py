"""A wall clock that jumps, for one process. A small C library, which is loaded before libc, shifts it."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_suffix(".c")
COMPILER = shutil.which("cc")


class JumpingClock:
    """Shifts the clock of processes that are started with `environment`, also while they run."""

    def __init__(self, folder: Path) -> None:
        assert COMPILER is not None
        self._off, library = folder / "off", folder / "jumping_clock.so"
        self.jump(0)
        subprocess.run([COMPILER, "-shared", "-fPIC", "-o", library, _SOURCE, "-ldl"], check=True)
        self.environment = {"LD_PRELOAD": str(library), "JUMPING_CLOCK": str(self._off)}

    def jump(self, seconds: int) -> None:
        """Set the clock to this many seconds after the true time.

        The file is changed in place, because the processes have mapped it into memory.
        """
        with self._off.open("r+b" if self._off.exists() else "wb") as file:
            file.write(struct.pack("=q", seconds))
