"""The values that operations get: the parts of the emulator, and the call that they answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Protocol

import attrs
from aiohttp import web

from fal_async.emulator.accounts.account import Account
from fal_async.emulator.accounts.credential import Credential
from fal_async.emulator.accounts.history import RequestHistory
from fal_async.emulator.accounts.kept_answers import KeptAnswers
from fal_async.emulator.accounts.key_value_store import KeyValueStore
from fal_async.emulator.accounts.keys import Keyring
from fal_async.emulator.accounts.prices import UNIT, Price, PriceList, price_of
from fal_async.emulator.accounts.realtime_token_store import RealtimeTokenStore
from fal_async.emulator.accounts.workflow_store import WorkflowStore
from fal_async.emulator.apps.mounts import Mount, Mounts
from fal_async.emulator.cassettes.cassette_folder import CassetteFolder
from fal_async.emulator.event_loop import EmulatorLoop
from fal_async.emulator.faults.choice import Choice
from fal_async.emulator.faults.effect import NO_EFFECT, Effect
from fal_async.emulator.faults.script import FaultScript
from fal_async.emulator.jobs.books import Books
from fal_async.emulator.jobs.endpoints import Endpoint, EndpointTable
from fal_async.emulator.jobs.job import Job, JobContext
from fal_async.emulator.jobs.job_store import JobStore
from fal_async.emulator.jobs.runner_table import RunnerTable
from fal_async.emulator.jobs.served import Served
from fal_async.emulator.storage.file_store import FileStore
from fal_async.emulator.storage.upload_body import Body
from fal_async.emulator.storage.upload_store import UploadStore
from fal_async.emulator.timing.clock import Clock
from fal_async.emulator.webhooks.deliveries import Webhooks
from fal_async.emulator.wire.answers import Answer
from fal_async.emulator.wire.recorder import Recorder
from fal_async.emulator.wire.routing import Route, host_name, is_fals
from fal_async.emulator.wire.storage_paths import StoragePath


@attrs.frozen(kw_only=True)
class Replaced:
    """An endpoint that was added over HTTP, and what was served under its id before.

    Attributes:
        document: its table, as it was sent.
        endpoint: the endpoint before; None if there was none.
        price: its price; None if it had none.
    """

    document: Mapping[str, Any]
    endpoint: Endpoint | None
    price: Price | None


class Performance(Protocol):
    """One call that a recording answers, or fal itself while it is recorded."""

    @property
    def served(self) -> Endpoint:
        """The endpoint, whose runners have no limit: the recording says when a request starts."""
        ...

    @property
    def request_id(self) -> str | None:
        """The recorded request id. None: a new one."""
        ...

    @property
    def recording(self) -> str | None:
        """The path of the cassette in its folder. None: it is not written yet."""
        ...

    @property
    def position(self) -> int | None:
        """The position in fal's queue with which a submit was answered. None: it was started at once."""
        ...

    async def perform(self, input: Any, job: JobContext, /) -> Answer:
        """Do what happened to the request, at its times, and return its answer."""
        ...

    async def stream(self, sender: EventSender, input: Any, job: JobContext, /) -> Answer | None:
        """Send the events of a stream. Return the answer of a call that failed before its first event."""
        ...


class EventSender(Protocol):
    """Sends the pieces of a stream to its caller. `finished` is set when all of them are sent."""

    finished: bool

    async def begin(self, status: int, headers: Mapping[str, str], *, binary: bool) -> None: ...
    async def pass_on(self, value: Any) -> bool: ...


@attrs.frozen
class Miss:
    """A call that was refused because it has no recording: who made it, and a line that describes it."""

    account: Account
    text: str


class CallSource(Protocol):
    """What answers calls in place of the endpoints: the option `recordings`."""

    @property
    def folder(self) -> CassetteFolder:
        """The recordings."""
        ...

    @property
    def misses(self) -> Sequence[Miss]:
        """The calls that were refused because they have no recording."""
        ...

    async def find(self, core: Core, call: Call, via: str, input: Any) -> Performance | Answer | None:
        """Return what answers a call, an answer that refuses it, or None to let the emulator's endpoints answer."""
        ...

    def session(self, call: Call) -> Answer | None:
        """Return what refuses a WebSocket, which is never recorded; None to let the emulator's endpoints answer."""
        ...

    async def shelter(self, accepting: Coroutine[Any, Any, Answer]) -> Answer:
        """Await the acceptance of a submit, which goes on if its caller leaves: fal may have accepted it."""
        ...

    async def halt(self) -> None:
        """End the submits that `shelter` awaits, when the emulator stops."""
        ...

    async def close(self) -> None:
        """Close connections, after the end of all calls."""
        ...


@attrs.frozen(kw_only=True, eq=False)
class ScopeParts:
    """The parts that one scope has of its own."""

    account: Account
    faults: FaultScript
    recorder: Recorder
    books: Books


@attrs.frozen(kw_only=True)
class Core:
    """The parts of one emulator."""

    loop: EmulatorLoop
    clock: Clock
    jobs: JobStore
    runners: RunnerTable
    files: FileStore
    uploads: UploadStore
    keyring: Keyring
    realtime_tokens: RealtimeTokenStore
    history: RequestHistory
    prices: PriceList
    faults: FaultScript
    recorder: Recorder
    webhooks: Webhooks
    keep_alive: float
    """Seconds between the keep-alive comments of a stream."""
    endpoints: EndpointTable[Mount] = attrs.field(factory=EndpointTable[Mount])
    mounts: Mounts = attrs.field(factory=Mounts)
    kept_answers: KeptAnswers = attrs.field(factory=KeptAnswers)
    workflows: WorkflowStore = attrs.field(factory=WorkflowStore)
    declared: dict[str, Replaced] = attrs.field(factory=dict)
    """The endpoints that were added over HTTP, by id."""
    scopes: dict[str, ScopeParts] = attrs.field(factory=dict)
    """The open scopes by name, which is the nickname of their account."""
    key_values: KeyValueStore = attrs.field(factory=KeyValueStore)
    recordings: CallSource | None = None
    saving: list[Callable[[], Awaitable[None]]] = attrs.field(factory=list)
    """What `POST /_emulator/state/save` does; empty: it is refused."""
    unserved: dict[str, Callable[[Served], None]] = attrs.field(factory=dict)
    """Runs the requests of a saved state that wait until the endpoint or application with an id is registered."""

    def serve(self, endpoint: Endpoint, price: Price | None) -> None:
        """Add an endpoint and its price."""
        self.endpoints.add(endpoint)
        self.prices.set(endpoint.endpoint_id, price)
        self.begin_waiting(endpoint)

    def begin_waiting(self, served: Served) -> None:
        """Run the requests of a saved state that have waited for an endpoint or application."""
        if (take_over := self.unserved.pop(served.endpoint_id, None)) is not None:
            self.loop.call(take_over, served)

    def reprice(self, endpoint_id: str, price: Decimal | float | str | None, unit: str | None) -> None:
        """Set a price, and its unit unless that is None. KeyError for an unknown id, ValueError for a bad value."""
        if endpoint_id not in {served.endpoint_id for served in self.endpoints}:
            raise KeyError(f"endpoint {endpoint_id}")
        before = self.prices.find(endpoint_id)
        name = unit if unit is not None else UNIT if before is None else before.unit
        self.prices.set(endpoint_id, None if price is None else price_of(price, name))


@attrs.define(eq=False, kw_only=True)
class Call:
    """One HTTP request while it is answered."""

    request: web.BaseRequest
    route: Route
    credential: Credential
    """Who the caller is; its account is `Keyring.anonymous` without a valid key."""
    job: Job | None = None
    """The job that the path names, or that this call created; None without one."""
    body: bytes = b""
    streamed: Body | None = None
    """The body of an upload, which is not read yet; None for other operations, which have `body`."""
    choice: Choice | None = None
    """What the caller has chosen for the request that this call makes; None: nothing."""
    effect: Effect = NO_EFFECT
    """The effect of this call's fault."""

    @property
    def account(self) -> Account:
        return self.credential.account

    @property
    def incoming(self) -> Body:
        if self.streamed is None:
            raise RuntimeError(f"the body of {self.route.kind!r} is already read")
        return self.streamed

    @property
    def storage(self) -> StoragePath:
        if self.route.storage is None:
            raise RuntimeError(f"{self.route.kind!r} is not a storage operation")
        return self.route.storage

    @property
    def headers(self) -> Mapping[str, str]:
        return self.request.headers

    @property
    def query(self) -> Mapping[str, str]:
        # Most requests have no query, for which aiohttp would make an empty multi-dict.
        return self.request.query if self.request.query_string else _NO_QUERY

    @property
    def origin(self) -> str:
        """The start of every URL in an answer: `f"{call.origin}/queue.fal.run/..."`.

        It is the address that the caller used, such as `http://127.0.0.1:8765`, so that the client follows the URL
        to the emulator. A caller that used one of fal's host names gets fal's own URLs, since this is then
        `https:/`.
        """
        host = self.request.host
        return _origin(self.request.scheme, host)

    @property
    def endpoint_id(self) -> str | None:
        return self.job.endpoint_id if self.job is not None else self.route.endpoint_id

    @property
    def request_id(self) -> str | None:
        return self.job.request_id if self.job is not None else self.route.request_id


_NO_QUERY: Mapping[str, str] = MappingProxyType({})


@lru_cache(256)
def _origin(scheme: str, host: str) -> str:
    """Return the start of URLs: one value for all jobs, which keep it."""
    return "https:/" if is_fals(host_name(host)) else f"{scheme}://{host}"


Reply = Answer | web.StreamResponse
"""An answer to send, or a response that is already sent."""
