"""`read_inputs`: the inputs that it reads, and the files that it refuses before the first submit."""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.batch.tables import read_inputs, stdin_inputs
from fal_async.errors import ConfigurationError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def parquet(folder: Path, columns: dict[str, Sequence[Any]]) -> Path:
    import pyarrow
    import pyarrow.parquet

    path = folder / "inputs.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


@given(st.lists(st.dictionaries(st.text(), JSON, max_size=4), min_size=1, max_size=5))
def test_json_lines_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, rows: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = read_inputs(path)
    assert len(read) == len(rows)
    assert list(read) == list(read) == rows


def test_json_lines_with_byte_order_mark_empty_lines_and_no_final_newline_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, "x.ndjson", b'\xef\xbb\xbf{"a": 1}\r\n\n  \n{"a": "\xc3\xa9"}')
    assert list(read_inputs(path)) == [{"a": 1}, {"a": "é"}]


def test_columns_select_the_members_of_json_lines(tmp_path: Path) -> None:
    path = written(tmp_path, "x.jsonl", '{"a": 1, "b": 2}\n{"b": 3}\n')
    assert list(read_inputs(path, columns=["a", "b"])) == [{"a": 1, "b": 2}, {"b": 3}]
    for columns, said in (
        (["a"], "x.jsonl, input 2: expected at least one of 'a'"),
        (["b", "c"], "no column 'c'"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            read_inputs(path, columns=columns)


def test_a_csv_line_of_commas_is_skipped(tmp_path: Path) -> None:
    path = written(tmp_path, "x.csv", "prompt,seed\na cat,1\n,\n,2\n")
    assert list(read_inputs(path)) == [{"prompt": "a cat", "seed": "1"}, {"seed": "2"}]
    with pytest.raises(ConfigurationError, match="input 2: expected at least one of 'prompt'"):
        read_inputs(path, columns=["prompt"])


def test_csv_cells_are_strings_and_empty_ones_are_left_out(tmp_path: Path) -> None:
    path = written(tmp_path, "x.csv", '\ufeffid,prompt,seed\r\n007,"a ""red""\ncat, really",\r\n\r\n8,,5\r\n')
    assert list(read_inputs(path)) == [
        {"id": "007", "prompt": 'a "red"\ncat, really'},
        {"id": "8", "seed": "5"},
    ]


def test_csv_column_names_mark_json_and_files(tmp_path: Path) -> None:
    picture = written(tmp_path, "cat.png", "")
    path = written(tmp_path, "x.CSV", f'n:=,loras:=,image_url@\n4,"[{{""path"": ""a""}}]",{picture}\n')
    assert list(read_inputs(path)) == [{"n": 4, "loras": [{"path": "a"}], "image_url": picture}]
    assert list(read_inputs(path, columns={"n"})) == [{"n": 4}]


def test_parquet_columns_keep_their_types_and_null_is_left_out(tmp_path: Path) -> None:
    rows = 1000
    path = parquet(
        tmp_path,
        {
            "prompt": [None, *(f"cat {n}" for n in range(1, rows))],
            "n": range(rows),
            "tags": [["x", "y"]] * rows,
            "made": [datetime.datetime(2026, 1, 1)] * rows,
        },
    )
    read = read_inputs(path, columns=["prompt", "n", "tags"])
    assert len(read) == rows
    assert list(read) == [
        {"n": 0, "tags": ["x", "y"]},
        *({"prompt": f"cat {n}", "n": n, "tags": ["x", "y"]} for n in range(1, rows)),
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.jsonl", "", "x.jsonl has no inputs"),
        ("x.jsonl", "\n \n", "x.jsonl has no inputs"),
        ("x.csv", "", "x.csv has no inputs"),
        ("x.csv", "prompt\n", "x.csv has no inputs"),
        ("x.json", "[]", "expected a file with the suffix .jsonl, .csv or .parquet; to convert a JSON list"),
        ("x.xlsx", "", "expected a file with the suffix .jsonl, .csv or .parquet"),
        ("x", "", "expected a file with the suffix .jsonl, .csv or .parquet"),
        ("x.jsonl", '{"a": 1}\n{"a": }\n', "x.jsonl, line 2: not JSON: Expecting value, column 7"),
        ("x.jsonl", '{"a": NaN}\n', "line 1: not JSON: NaN"),
        ("x.jsonl", '{"a": ' + "9" * 5000 + "}\n", "line 1: not JSON: "),
        ("x.jsonl", "[" * 200_000 + "\n", "line 1: not JSON: "),
        ("x.jsonl", '[{"a": 1}]\n', "line 1: expected a JSON object"),
        ("x.jsonl", '"a cat"\n', "line 1: expected a JSON object"),
        ("x.jsonl", b'{"a": 1}\n{"a": "\xe9"}\n', "line 2: byte 8 is not UTF-8"),
        ("x.jsonl", '{"a": 1}\n'.encode("utf-16"), "line 1: this is UTF-16"),
        ("x.csv", "prompt\nx\n".encode("utf-16"), "line 1: this is UTF-16"),
        ("x.csv", b"prompt\ncaf\xe9\n", "line 2: byte 4 is not UTF-8"),
        ("x.csv", "a,b\n1,2\n1\n", "x.csv, line 3: 1 cells, but the header has 2"),
        ("x.csv", "a,b\n1,2,3\n", "line 2: 3 cells, but the header has 2"),
        ("x.csv", "prompt;seed\na cat;1\n", "line 1: the columns are separated by ';'"),
        ("x.csv", "prompt\tseed\na cat\t1\n", "line 1: the columns are separated by '\\t'"),
        ("x.csv", ",prompt\n0,a cat\n", "line 1: column 1 has no name"),
        ("x.csv", "a,a:=\n1,2\n", "line 1: two columns are named 'a'"),
        ("x.csv", 'a\n"never closed\n', "not CSV: "),
        ("x.csv", 'a\n"closed"x\n', "line 2: not CSV: "),
        ("x.csv", "a\n" + "x" * 200_000 + "\n", "line 2: not CSV: field larger than"),
        ("x.csv", "n:=\n1\n{\n", "line 3: column 'n' is not JSON: "),
        ("x.csv", "image_url@\nnowhere.png\n", "line 2: column 'image_url': no such file"),
        ("x.parquet", "prompt\n", "x.parquet: expected a valid Parquet file"),
        ("x.parquet", "", "x.parquet: expected a valid Parquet file"),
    ],
)
def test_a_wrong_file_is_refused_at_once_naming_the_line(
    name: str, content: str | bytes, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_inputs(written(tmp_path, name, content))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (["prompt", "nowhere"], "no column 'nowhere': expected one of prompt, made"),
        (None, "JSON can't carry column 'made': omit it with columns="),
    ],
)
def test_a_parquet_column_that_cant_be_sent_is_refused_by_name(
    columns: list[str] | None, said: str, tmp_path: Path
) -> None:
    path = parquet(tmp_path, {"prompt": ["a cat"], "made": [datetime.datetime(2026, 1, 1)]})
    with pytest.raises(ConfigurationError) as refused:
        read_inputs(path, columns=columns)
    assert said in str(refused.value)


def test_a_missing_csv_column_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no column 'seed': expected one of id, prompt"):
        read_inputs(written(tmp_path, "x.csv", "id,prompt\n1,a\n"), columns=["seed"])


@pytest.mark.parametrize("path", [Path("nowhere.jsonl"), Path("nowhere.parquet")])
def test_a_missing_input_file_is_refused_by_name(path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"{path}: No such file"):
        read_inputs(path)


def test_columns_given_as_one_str_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="columns='prompt'"):
        read_inputs(written(tmp_path, "x.csv", "prompt\na\n"), columns="prompt")


def test_parquet_without_pyarrow_is_refused_naming_the_extra(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from fal_async.batch.tables import read_inputs\n"
        "read_inputs(sys.argv[1])\n"
    )
    path = parquet(tmp_path, {"prompt": ["a"]})
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, timeout=50)
    assert "pip install 'fal-async[parquet]'" in done.stderr.splitlines()[-1]


@contextmanager
def pipe() -> Iterator[tuple[BinaryIO, Any]]:
    reading, writing = os.pipe()
    with open(reading, "rb") as out, open(writing, "wb", buffering=0) as into:
        yield out, into


async def test_lines_of_a_pipe_are_yielded_as_they_arrive() -> None:
    with pipe() as (out, into):
        rows = stdin_inputs(out)
        into.write(b'{"a": 1}\n')
        assert await anext(rows) == {"a": 1}
        into.write(b'{"a": 2}\nno JSON\n')
        assert await anext(rows) == {"a": 2}
        with pytest.raises(ConfigurationError, match="standard input, line 3: not JSON"):
            await anext(rows)


async def test_cancelling_a_read_of_a_silent_pipe_returns_at_once() -> None:
    with pipe() as (out, into):
        task = asyncio.ensure_future(anext(stdin_inputs(out)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        into.write(b'{"a": 1}\n')  # ends the thread's read, so that the file can be closed
