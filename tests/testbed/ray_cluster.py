"""Ray on this machine, for programs that tests start. It needs the packages of the dependency group `ray`."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: make test-ray")
_SETTINGS = {
    "RAY_AUTH_MODE": "disabled",  # with a token, Ray would write it into the home folder
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}
_OBJECT_STORE = 128 * 2**20
"""Bytes of shared memory."""


@contextmanager
def ray_on_this_machine() -> Iterator[Path]:
    """Start Ray with two CPUs, and stop it after the block. Yields the folder of its files, which is then deleted.

    The folder is not in `TMPDIR`, because the paths of Ray's sockets must be short.
    """
    os.environ.update(_SETTINGS)  # before the import, which reads some of them
    import ray

    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    try:
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=_OBJECT_STORE,
            _temp_dir=str(folder),
        )
        try:
            yield folder
        finally:
            ray.shutdown()
    finally:
        shutil.rmtree(folder)
