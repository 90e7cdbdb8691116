"""One set of settings over what a session shares, and the resources that use it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import attrs

from fal_async.auth.chain import key_source
from fal_async.auth.credentials import KeySource, NoKey
from fal_async.config import Check, Credentials, RetryPolicy, Settings, Timeouts
from fal_async.errors import ConfigurationError
from fal_async.options import CallOptions, clean_headers, clean_tags
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.options import merged_headers
from fal_async.session.ledger_choice import NO_LEDGER, LedgerChoice
from fal_async.session.shared import Shared
from fal_async.session.view_files import ViewFiles
from fal_async.transport import Transport

if TYPE_CHECKING:
    from fal_async.keyed.ledger_requests import LedgerRequests
    from fal_async.platform import Platform
    from fal_async.platform.input_checks import InputChecks
    from fal_async.platform.schema_store import SchemaStore
    from fal_async.platform.schemas import Schemas
    from fal_async.protocol.platform.price_cache import PriceCache
    from fal_async.protocol.polling import RunTimesByEndpoint
    from fal_async.protocol.storage.uploads import CdnToken
    from fal_async.protocol.webhook_events import WebhookEvent
    from fal_async.queue import Queue
    from fal_async.queue.operations import QueueOperations
    from fal_async.realtime import Realtime, RealtimeTokens
    from fal_async.session.keyed_scope import KeyedScope
    from fal_async.single_flight import SingleFlight
    from fal_async.storage import Storage
    from fal_async.webhooks import Webhooks


class Learned:
    """Tokens, prices and learned run times, shared by all views with the same credentials.

    Their modules are loaded on first use, as in `View`.
    """

    @cached_property
    def run_times(self) -> RunTimesByEndpoint:
        from fal_async.protocol.polling import RunTimesByEndpoint

        return RunTimesByEndpoint()

    @cached_property
    def prices(self) -> PriceCache:
        from fal_async.protocol.platform.price_cache import PriceCache

        return PriceCache()

    @cached_property
    def schemas(self) -> SchemaStore:
        from fal_async.platform.schema_store import SchemaStore

        return SchemaStore()

    @cached_property
    def cdn_token(self) -> SingleFlight[CdnToken]:
        from fal_async.single_flight import SingleFlight

        return SingleFlight()

    @cached_property
    def realtime_tokens(self) -> RealtimeTokens:
        from fal_async.realtime import RealtimeTokens

        return RealtimeTokens()


class View:
    """One set of settings with its resources.

    A resource is created on first use and belongs to this view only, except the webhooks, which all views share.
    """

    def __init__(
        self,
        shared: Shared,
        settings: Settings,
        keys: KeySource,
        learned: Learned,
        ledger: LedgerChoice,
        root: View | None = None,
    ) -> None:
        self.shared: Shared = shared
        self.settings: Settings = settings
        self.keys: KeySource = keys
        self.learned: Learned = learned
        self.ledger: LedgerChoice = ledger
        self._root = root

    @property
    def root(self) -> View:
        """The view of the session itself."""
        return self._root or self

    @classmethod
    def first(cls, shared: Shared, settings: Settings, ledger: object) -> View:
        """Create the view of a new session."""
        choice = NO_LEDGER.with_options(ledger, None, other_credentials=False)
        return cls(shared, settings, _key_source(settings, shared), Learned(), choice)

    def with_options(
        self,
        *,
        credentials: Credentials | None,
        retry: RetryPolicy | None,
        timeout: float | Timeouts | None,
        headers: Mapping[str, str] | None,
        tags: Mapping[str, str] | None,
        ledger: object,
        tenant: str | None,
        check: Check | None,
    ) -> View:
        """Create another view. With other credentials it gets its own `Learned`."""
        given = self.settings
        settings = attrs.evolve(
            given,
            credentials=given.credentials if credentials is None else credentials,
            retry=given.retry if retry is None else retry,
            timeouts=given.timeouts if timeout is None else Timeouts.of(timeout),
            headers=merged_headers(given.headers, clean_headers(headers)),
            tags=clean_tags({**given.tags, **clean_tags(tags)}),
            check=given.check if check is None else check,
        )
        choice = self.ledger.with_options(ledger, tenant, other_credentials=credentials is not None)
        if credentials is None:
            return View(self.shared, settings, self.keys, self.learned, choice, self.root)
        keys = _key_source(settings, self.shared)
        return View(self.shared, settings, keys, Learned(), choice, self.root)

    @cached_property
    def transport(self) -> Transport:
        return self.shared.transport_for(self.settings, self.keys)

    @cached_property
    def files(self) -> ViewFiles:
        return ViewFiles(self)

    @cached_property
    def operations(self) -> QueueOperations:
        from fal_async.queue.operations import QueueOperations

        return QueueOperations(
            transport=self.transport,
            settings=self.settings,
            run_times=self.learned.run_times,
            limits=self.shared.limits,
            waits=self.shared.waits,
            files=self.files,
            prices=self.learned.prices,
            check_input=self.check_input,
            kept=None if self.ledger.given is None else self._kept_requests,
        )

    @cached_property
    def schemas(self) -> Schemas:
        from fal_async.platform.schemas import Schemas

        return Schemas(self.transport, self.settings, public=self.shared.schemas, own=self.learned.schemas)

    @cached_property
    def _input_checks(self) -> InputChecks:
        from fal_async.platform.input_checks import InputChecks

        return InputChecks(self.schemas)

    async def check_input(self, endpoint: EndpointId, input: Any, options: CallOptions) -> None:
        """Raise ConfigurationError if the input does not fit the schema, as far as the call or the view asks."""
        check = options.check or self.settings.check
        if check != "off":
            await self._input_checks.check(endpoint, input, check)

    def keyed(self, key: str | None) -> KeyedScope:
        """Return the scope of a call with this key. Raises ConfigurationError without a key or a ledger."""
        from fal_async.queue.kept_requests import check_keyed

        check_keyed(key, has_ledger=self.ledger.given is not None)
        return self._keyed

    def with_ledger(self, call: str) -> KeyedScope:
        """Return the scope of a call that needs a ledger but no key. Raises ConfigurationError without a ledger."""
        if self.ledger.given is None:
            raise ConfigurationError(f'{call} needs a ledger: Session(ledger="runs.db")')
        return self._keyed

    @cached_property
    def _keyed(self) -> KeyedScope:
        from fal_async.session.keyed_scope import KeyedScope

        return KeyedScope(self)

    def _kept_requests(self) -> LedgerRequests:
        return self._keyed.requests

    @cached_property
    def queue(self) -> Queue:
        from fal_async.queue import Queue

        return Queue(self.operations)

    @cached_property
    def realtime(self) -> Realtime:
        from fal_async.realtime import Realtime

        return Realtime(
            self.transport,
            self.settings,
            tokens=self.learned.realtime_tokens,
            connections=self.shared.open_parts,
        )

    @cached_property
    def storage(self) -> Storage:
        from fal_async.storage import Storage

        return Storage(self.transport, self.settings, self.learned.cdn_token)

    @cached_property
    def platform(self) -> Platform:
        from fal_async.platform.client import Platform

        return Platform(self.transport, self.settings, self.learned.prices, self.schemas)

    @cached_property
    def webhooks(self) -> Webhooks:
        """The webhooks, shared by a session and all of its views."""
        if self is not self.root:
            return self.root.webhooks
        from fal_async.webhooks import Webhooks

        webhooks = Webhooks(self.transport, self.settings.hosts, self._store_delivery)
        self.shared.open_parts.add(webhooks)
        return webhooks

    async def _store_delivery(
        self, event: WebhookEvent, token: str | None, *, fetch_units: bool
    ) -> bool | None:
        """Store a delivery; see `store_delivery`. None if no view of the session has a ledger."""
        if self.ledger.given is not None:
            self._keyed.ledger()  # it may not have been used yet
        ledgers = self.shared.ledgers
        if not ledgers:
            return None
        from fal_async.keyed.deliveries.stored_deliveries import store_delivery
        from fal_async.protocol.ledger.key_checks import space_of

        origin = space_of(self.settings.hosts, proxy_url=self.settings.proxy_url).origin
        return await store_delivery(event, token, ledgers, origin, fetch_units=fetch_units)


def _key_source(settings: Settings, shared: Shared) -> KeySource:
    environment = shared.environment
    if settings.credentials is None:
        if settings.proxy_url is not None:
            return NoKey()  # the proxy adds its own key, and must not get the one of the environment
        if shared.is_own and environment.key is None:
            # The login of the command line is not used, because its refresh would go through the caller's
            # transport.
            return NoKey()
    return key_source(settings.credentials, environment.key, environment.home, settings.hosts)
