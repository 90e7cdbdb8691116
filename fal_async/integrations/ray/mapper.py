"""The callable class for `ray.data.Dataset.map_batches`."""

from __future__ import annotations

import os
import weakref
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Unpack

from fal_async.batch.arguments import BatchArguments
from fal_async.batch.shown_values import short
from fal_async.batch.tables.columns import check_columns
from fal_async.checks import check_flag, check_plain_function
from fal_async.config import Credentials, Hosts, Timeouts
from fal_async.errors import ConfigurationError
from fal_async.integrations.ray.outputs import AddedColumns, FilesAs, Output, check_output
from fal_async.integrations.ray.places import check_absolute, check_ledger, check_shared, machines_of_cluster
from fal_async.integrations.ray.requests import Answered, RowRequests
from fal_async.integrations.ray.row_batches import Row, names_of, nested_lists, rows_of, with_columns
from fal_async.integrations.ray.session_thread import SessionThread
from fal_async.options import CallOptions, QueueOptions, documented
from fal_async.protocol.endpoint import Endpoint, EndpointId
from fal_async.protocol.ledger.key_checks import quoted
from fal_async.session import Session
from fal_async.session.batch_calls import keyed_items

if TYPE_CHECKING:
    from fal_async.protocol.ledger.decisions import Uncertain


class FalMapper:
    """Makes one request for each row of a Ray dataset, and adds columns with the results.

    Pass the class to `map_batches`, and its arguments as `fn_constructor_kwargs`. Each actor of Ray creates one
    object, which opens one session. The session runs in a thread of its own, because Ray blocks the event loop of
    its async callables while it waits for the next operator.

    Each row is a call with a key, in the same run as `fal.map` uses, so that a row that Ray maps again is not
    billed again. If an actor dies, its requests continue on fal, and the next actor follows them.
    """

    @documented(QueueOptions)
    def __init__(
        self,
        endpoint_id: str | Endpoint[Any, Any],
        *,
        ledger: str | os.PathLike[str],
        # The request of a row.
        key: str | Callable[[Row], str | int],
        input: Callable[[Row], Any] | None = None,
        # The columns that are added.
        output: Output = "output",
        download: str | os.PathLike[str] | None = None,
        names: str | None = None,
        read_files: bool = False,
        # Failures and limits.
        concurrency: int = 20,
        on_error: Literal["raise", "column"] = "raise",
        retries: int = 2,
        retry_failed: bool = False,
        timeout: float | None = None,
        uncertain: Uncertain = "lookup",
        run: str | None = None,
        # The session.
        credentials: Credentials | None = None,
        hosts: Hosts | None = None,
        timeouts: float | Timeouts | None = None,
        **options: Unpack[QueueOptions],
    ) -> None:
        """Check the arguments. Nothing is opened or sent before the first batch.

        Args:
            endpoint_id: such as `"fal-ai/flux/dev"`, or an `Endpoint`.
            ledger: where the requests are recorded: a URL `postgresql://...` that all actors can reach, or the
                absolute path of a file if the whole cluster is one machine.
            key: what identifies a row: the name of a column, or a function of the row. Rows with the same key share
                one request.
            input: a function of the row that returns the input of its request. A row is a dict of Python values;
                arrays with two or more dimensions are numpy arrays. None (default): the columns of the row that are
                not null, without the key column.
            output: the name of the column with the output as JSON text; default `"output"`. Or typed columns: Arrow
                types by the names of members of the output, such as `{"seed": pyarrow.int64()}`. A member that is
                missing is null; an output that does not fit is an error of the row.
            download: a folder for the files of the results, as an absolute path, with the rules of `fal.map`. Their
                paths are in the column `files`. None (default): no download.
            names: a template for the names of these files: see `fal.map`. None (default): `"{key}-{n}{ext}"`.
            read_files: whether the column `files` has the bytes of the files in place of their paths; default
                False. Without `download`, the files are fetched again each time that a row is mapped.
            concurrency: maximum number of rows of one actor in flight; default 20.
            on_error: "raise" (default): the first failed row of a batch fails the dataset. Rows of this batch that
                were not submitted by then are not. "column": the error is in the column `error`, which has the
                error's class, message and request id; the output of the row is null. An error that all rows would
                get, such as a refused API key, is always raised.
            retries: see `fal.map`; default 2.
            retry_failed: see `fal.map`. Ray's retries of a task submit such a row again, too. Default False.
            timeout: seconds for one request: see `fal.map`. None (default): no limit.
            uncertain: what to do if it is not known whether fal accepted the request of an actor that died; see
                `subscribe`. Default "lookup".
            run: the namespace of the keys. None (default): the endpoint id.
            credentials: see `Session`. Ray stores a key that is passed here with the arguments of the actors. None
                (default): from the environment of each actor, such as `FAL_KEY`. Or a function that returns the key
                in the actor.
            hosts: see `Session`. None (default): from the environment of each actor.
            timeouts: limits of one HTTP attempt: `timeout` of `Session`. None (default): `Timeouts()`.
            **options: see `CallOptions`.

        Raises:
            ConfigurationError: an argument is invalid.
            TypeError: an unknown argument; the message suggests the one that was probably meant.
        """
        check_ledger(ledger)
        _check_key(key)
        check_plain_function("input", input, takes=("row",))
        check_output(output)
        check_absolute("download", download)
        check_flag("read_files", read_files)
        if on_error not in ("raise", "column"):
            raise ConfigurationError(f"on_error={short(repr(on_error))}: expected 'raise' or 'column'")
        self._key, self._input, self._raises = key, input, on_error == "raise"
        files: FilesAs = "bytes" if read_files else None if download is None else "paths"
        self._added = AddedColumns(output=output, files=files)
        self._added.check(())
        arguments = _arguments(
            endpoint_id,
            options,
            concurrency=concurrency,
            retries=retries,
            timeout=timeout,
            folder=download,
            names=names,
            retry_failed=retry_failed,
            uncertain=uncertain,
        )
        fal = Session(credentials, hosts=hosts, ledger=ledger, timeout=timeouts)
        requests = keyed_items(fal, arguments, run)
        self._opened = partial(
            _opened, fal, RowRequests(requests, concurrency=concurrency, read_files=read_files), ledger
        )
        self._thread: SessionThread[RowRequests] | None = None

    async def __call__(self, batch: Any) -> AsyncIterator[Any]:
        """Make the requests of a batch, and yield the batch with the added columns, in the same format.

        Cancelling is safe: requests that wait in fal's queue are cancelled, and the next call with the same rows
        follows those that run.

        Args:
            batch: a dict of arrays, a pandas DataFrame or a pyarrow Table: each `batch_format` of Ray Data.

        Yields:
            The batch with the columns of the output, `request_id` (text) and `error` (text or null), and `files`
            with `download` or `read_files`. All have fixed Arrow types.

        Raises:
            FalError: the error of a row, with `on_error="raise"`; or an error that all rows would get.
            ConfigurationError: a column is missing or would exist twice; or the ledger is a file, but the cluster
                has several machines. Nothing was sent.
            SessionStateError: the mapper was closed.
        """
        names, rows = names_of(batch), rows_of(batch)
        self._added.check(names)
        asked = self._asked(names, rows)
        thread = self._started()
        answers = await thread.call(lambda requests: requests.answers(asked, until_failure=self._raises))
        yield with_columns(batch, self._added.typed(self._values(answers)))

    def close(self) -> None:
        """Close the session, and wait for that. Ray Data does so when an actor ends; other callers must call it.

        Requests that are in flight continue on fal. Calling it twice is allowed.
        """
        if self._thread is not None:
            self._thread.close()

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a session can't be sent to an actor."""
        raise TypeError("pass the class: map_batches(FalMapper, fn_constructor_kwargs={...})")

    def _started(self) -> SessionThread[RowRequests]:
        if self._thread is None:
            self._thread = SessionThread(self._opened)
            weakref.finalize(self, self._thread.close)
        return self._thread

    def _asked(self, names: Sequence[str], rows: Sequence[Row]) -> list[tuple[Any, Any]]:
        """Return the key and the input of each row. Exceptions of the caller's functions propagate."""
        key = self._key
        if isinstance(key, str):
            if rows:
                check_columns("key=", names, [key])
            keys = [row[key] for row in rows]
        else:
            keys = [key(row) for row in rows]
        if self._input is not None:
            return [(each, self._input(row)) for each, row in zip(keys, rows, strict=True)]
        return [(each, self._default_input(row)) for each, row in zip(keys, rows, strict=True)]

    def _default_input(self, row: Row) -> Row:
        return {
            name: nested_lists(value)
            for name, value in row.items()
            if value is not None and name != self._key
        }

    def _values(self, answers: Sequence[Answered | None]) -> list[dict[str, Any]]:
        """Return the values of the rows; raise the first error with `on_error="raise"`."""
        values = []
        for answered in answers:
            if answered is None:
                continue  # not submitted, because another row failed, whose error is raised here
            row, error = self._added.of_row(answered)
            if error is not None and self._raises:
                given = answered.item.key
                raise error.at("a row" if given is None else f"key {quoted(given)}")
            values.append(row)
        return values


@asynccontextmanager
async def _opened(
    fal: Session, requests: RowRequests, ledger: str | os.PathLike[str]
) -> AsyncIterator[RowRequests]:
    check_shared(ledger, machines_of_cluster())
    async with fal:
        await requests.begin()
        yield requests


def _check_key(key: object) -> None:
    if isinstance(key, str) and key:
        return
    if not callable(key):
        raise ConfigurationError(
            f"key is of type {type(key).__name__}: expected the name of a column, such as 'id', or a function of "
            "the row"
        )
    check_plain_function("key", key, takes=("row",))


def _arguments(
    endpoint_id: str | Endpoint[Any, Any], options: Mapping[str, Any], **given: Any
) -> BatchArguments:
    """Check the arguments that are those of `fal.map`."""
    return BatchArguments(
        endpoint=EndpointId.parse(endpoint_id),
        inputs=(),
        options=CallOptions.of("FalMapper", options, QueueOptions),
        ordered=False,
        max_failures=None,
        max_cost=None,
        output_type=None,
        on_item=None,
        key=None,
        extend=True,
        cancel_on_exit=False,
        **given,
    )
