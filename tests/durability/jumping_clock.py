"""A machine whose wall clock jumps: for one process, by a library of a few lines of C in front of libc."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_suffix(".c")
COMPILER = shutil.which("cc")


class JumpingClock:
    """`environment` is for the process; a jump is seen by it at once, also while it runs."""

    def __init__(self, folder: Path) -> None:
        assert COMPILER is not None
        self._off, library = folder / "off", folder / "jumping_clock.so"
        self.jump(0)
        subprocess.run([COMPILER, "-shared", "-fPIC", "-o", library, _SOURCE, "-ldl"], check=True)
        self.environment = {"LD_PRELOAD": str(library), "JUMPING_CLOCK": str(self._off)}

    def jump(self, seconds: int) -> None:
        """To so many seconds after the true time. In place: the process has the file mapped."""
        with self._off.open("r+b" if self._off.exists() else "wb") as file:
            file.write(struct.pack("=q", seconds))
