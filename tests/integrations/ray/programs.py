"""Programs that use Ray: `python -m tests.integrations.ray.programs NAME ARGUMENTS` prints what it got as JSON.

They run in processes of their own, because Ray leaves threads in the process that starts it. The emulator and its
key are in the environment.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.testbed.ray_cluster import ray_on_this_machine

PICTURES = "me/pictures"
FORMATS = ("numpy", "pandas", "pyarrow")
ROWS = 6


def mapped(rows: list[dict[str, Any]], batch_format: str = "pyarrow", **arguments: Any) -> Any:
    """Return the dataset of these rows, mapped two at a time by one actor."""
    import ray.data

    from fal_async.integrations.ray import FalMapper

    return ray.data.from_items(rows, override_num_blocks=1).map_batches(
        FalMapper,
        fn_constructor_kwargs={"endpoint_id": PICTURES, "key": "id", **arguments},
        batch_size=2,
        batch_format=batch_format,
        compute=ray.data.ActorPoolStrategy(size=1),
        num_cpus=0.5,
    )


def numbered(count: int = ROWS) -> list[dict[str, Any]]:
    """Rows of each kind of value. The model refuses those with an odd number."""
    return [
        {
            "id": f"row-{n}",
            "n": n,
            "share": n / 4,
            "maybe": None if n % 2 else f"text {n}",
            "sizes": [n, n + 1],
            "nested": {"flag": n == 0, "words": ["a", "b"]},
        }
        for n in range(count)
    ]


def formats(_: Path, folder: str, ledger: str) -> Iterator[Any]:
    """Map the same rows in each format, and write them to Parquet."""
    import pyarrow
    import pyarrow.parquet

    types = {"n_seen": pyarrow.int64(), "images": pyarrow.list_(pyarrow.struct({"url": pyarrow.string()}))}
    for batch_format in FORMATS:
        dataset = mapped(numbered(), batch_format, ledger=ledger, output=types, on_error="column")
        where = f"{folder}/{batch_format}"
        dataset.write_parquet(where)
        table = pyarrow.parquet.read_table(where, columns=["id", *types, "request_id", "error"])
        kinds = {name: str(table.schema.field(name).type) for name in (*types, "request_id", "error")}
        yield {"format": batch_format, "types": kinds, "rows": table.sort_by("id").to_pylist()}


def files(_: Path, folder: str, ledger: str) -> Iterator[Any]:
    """Map rows with the paths and the bytes of their files."""
    rows = [row for row in numbered() if row["n"] % 2 == 0]
    for row in _by_id(mapped(rows, ledger=ledger, download=folder)):
        yield {"data": json.loads(row["output"]), "paths": row["files"]}
    for row in _by_id(mapped(rows, "numpy", ledger=ledger, read_files=True)):
        yield {"data": json.loads(row["output"]), "bytes": [part.decode() for part in row["files"]]}


def _by_id(dataset: Any) -> list[dict[str, Any]]:
    return sorted(dataset.take_all(), key=lambda row: str(row["id"]))


def failures(logs: Path, ledger: str, credentials: str) -> Iterator[Any]:
    """Map rows that fail, in each way; and search the files of Ray for the key."""
    rows = numbered()
    yield _error(lambda: mapped(rows, ledger=ledger, credentials=credentials).take_all())
    yield _error(lambda: mapped(rows, ledger="runs.db", credentials=credentials).take_all())
    yield _error(
        lambda: mapped(
            [{"id": "other", "n": 0}], ledger=ledger, credentials=f"{credentials}-other", on_error="column"
        ).take_all()
    )
    texts = {path: path.read_bytes() for path in logs.rglob("*") if path.is_file()}
    secret = credentials.rpartition(":")[2].encode()
    yield {"read": len(texts), "with the key": [str(path) for path, text in texts.items() if secret in text]}


def _error(call: Callable[[], object]) -> str:
    try:
        call()
    except Exception as error:
        return str(error)
    return "no error"


PROGRAMS: Mapping[str, Callable[..., Iterator[Any]]] = {
    "formats": formats,
    "files": files,
    "failures": failures,
}

if __name__ == "__main__":
    with ray_on_this_machine() as logs:
        found = list(PROGRAMS[sys.argv[1]](logs, **json.loads(sys.argv[2])))
    sys.stdout.write(json.dumps(found) + "\n")
