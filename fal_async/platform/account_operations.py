"""`session.platform.account`: the account's balance and reports, and those of its organization (protocol 11.11)."""

from __future__ import annotations

from fal_async.errors import short_tracebacks
from fal_async.platform.listing import Listing
from fal_async.platform.sending import Sender
from fal_async.protocol.platform import account_reports, billing_events, usage_lines
from fal_async.protocol.platform.account_reports import AccountBilling, Team
from fal_async.protocol.platform.billing_events import BillingEvent
from fal_async.protocol.platform.queries import Endpoints, Moment, Names
from fal_async.protocol.platform.usage_lines import UsageLine


@short_tracebacks
class Account:
    """The account. The methods whose names begin with `organization` need an admin key of the root team."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    async def billing(self) -> AccountBilling:
        """Return the account's name and balance (protocol 11.11). Needs an admin key. Cancelling is safe.

        Returns:
            The name and the balance.

        Raises:
            ConfigurationError: a session without a key of its own. Nothing was sent.
            PermissionDeniedError: the key is not an admin key.
            ApiError: another error response of fal.
            TransportError: fal was not reached.
            SessionStateError: the session is closed.
        """
        request = account_reports.billing_request(self._sender.hosts)
        return await self._sender.send(request, account_reports.parse_billing)

    async def focus(
        self,
        source: str,
        *,
        billing_month: str | None = None,
        charge_month: str | None = None,
        organization: bool = False,
        start: Moment | None = None,
        end: Moment | None = None,
        timezone: str | None = None,
        timeframe: str | None = None,
        bound_to_timeframe: bool | None = None,
    ) -> str:
        """Return a billing report in the form of the FinOps FOCUS specification (protocol 11.9).

        Needs an admin key of an enterprise account with these reports. Cancelling is safe.

        Args:
            source: `"invoice"` for what was invoiced, `"estimate"` or `"tagged-estimate"` for what is not yet.
            billing_month: the month of the invoice, such as `"2026-01"`. None (default): the newest one.
            charge_month: the month of the usage, which is the month before. None (default): by `billing_month`.
            organization: whether the report has all teams of the organization; default False.
            start: the beginning of an estimate, at most 90 days ago: a datetime with a time zone, a date, or Unix
                seconds. None (default): 24 hours ago.
            end: the end of an estimate, which is not included. None (default): now.
            timezone: where days begin, such as `"Europe/Berlin"`. None (default): UTC.
            timeframe: to which periods `start` and `end` are moved, as of `Platform.usage`. None (default): fal
                chooses.
            bound_to_timeframe: whether they are moved at all. None (default): as fal chooses, which is True.

        Returns:
            The report as CSV.

        Raises:
            ConfigurationError: an invalid argument, or a session without a key of its own. Nothing was sent.
            PermissionDeniedError: the key is not an admin key, or the account has no such reports.
            ApiError: another error response of fal.
            TransportError: fal was not reached.
            SessionStateError: the session is closed.
        """
        query = account_reports.focus_query(
            source,
            usage_lines.series_query(
                start=start,
                end=end,
                timezone=timezone,
                timeframe=timeframe,
                bound_to_timeframe=bound_to_timeframe,
            ),
            billing_month=billing_month,
            charge_month=charge_month,
            organization=organization,
        )
        request = account_reports.focus_request(self._sender.hosts, query)
        return await self._sender.send(request, account_reports.parse_csv)

    async def model_access_controls(self) -> str:
        """Return which models the organization may use, of an enterprise account (protocol 11.11).

        Cancelling is safe.

        Returns:
            The report as CSV.

        Raises:
            ConfigurationError: a session without a key of its own. Nothing was sent.
            PermissionDeniedError: the account has no such report.
            ApiError: another error response of fal.
            TransportError: fal was not reached.
            SessionStateError: the session is closed.
        """
        request = account_reports.access_controls_request(self._sender.hosts)
        return await self._sender.send(request, account_reports.parse_csv)

    async def organization_teams(self) -> tuple[Team, ...]:
        """Return the teams of the organization (protocol 11.11). Cancelling is safe.

        Returns:
            The teams.

        Raises:
            ConfigurationError: a session without a key of its own. Nothing was sent.
            PermissionDeniedError: the key is not an admin key of the root team.
            ApiError: another error response of fal.
            TransportError: fal was not reached.
            SessionStateError: the session is closed.
        """
        request = account_reports.teams_request(self._sender.hosts)
        return await self._sender.send(request, account_reports.parse_teams)

    def organization_usage(
        self,
        *,
        start: Moment | None = None,
        end: Moment | None = None,
        endpoint_ids: Endpoints | None = None,
        team_usernames: Names | None = None,
        products: Names | None = None,
        api_key_ids: Names | None = None,
        summary: bool = False,
        timeframe: str | None = None,
        timezone: str | None = None,
        bound_to_timeframe: bool | None = None,
        expand: Names | None = None,
        limit: int | None = None,
    ) -> Listing[UsageLine]:
        """List what all teams used and what it cost, with `username` and `product` (protocol 11.11).

        The figures lag by a few minutes, and have no discounts.

        Args:
            start: the beginning, as of `Platform.usage`. None (default): 24 hours ago.
            end: the end, which is not included. None (default): now.
            endpoint_ids: one endpoint, or 1 to 50. None (default): all.
            team_usernames: one team, or 1 to 50. None (default): all.
            products: `"model_apis"`, `"serverless"`, `"compute"`, or several of them. None (default): all.
            api_key_ids: the ids of one key, or of 1 to 50. None (default): all.
            summary: True for one line per team, endpoint and price over all of the time; False (default) for one
                per period as well.
            timeframe: the length of a period, as of `Platform.usage`. None (default): fal chooses.
            timezone: where periods begin, such as `"Europe/Berlin"`. None (default): UTC.
            bound_to_timeframe: whether `start` and `end` are moved outwards to whole periods. None (default): as
                fal chooses, which is True.
            expand: `"auth_method"`, `"auth_method_structured"` or both. None (default): neither.
            limit: lines per page, at least 1. None (default): as many as fal chooses.

        Returns:
            The lines: `async for`, or `await` for a list. Its requests raise PermissionDeniedError if the key is
            not an admin key of the root team, and other errors of fal.

        Raises:
            ConfigurationError: an invalid argument, or a session without a key of its own. Nothing was sent.
        """
        series = usage_lines.series_query(
            start=start,
            end=end,
            timezone=timezone,
            timeframe=timeframe,
            bound_to_timeframe=bound_to_timeframe,
        )
        filtered = usage_lines.filters(
            endpoint_id=endpoint_ids, api_key_id=api_key_ids, team_username=team_usernames, product=products
        )
        query = usage_lines.usage_query(series, filtered, summary=summary, expand=expand, limit=limit)
        return self._sender.listing(usage_lines.organization_usage_request, usage_lines.parse_usage, query)

    def organization_billing_events(
        self,
        *,
        start: Moment | None = None,
        end: Moment | None = None,
        endpoint_ids: Endpoints | None = None,
        request_ids: Names | None = None,
        api_key_ids: Names | None = None,
        team_usernames: Names | None = None,
        expand: Names | None = None,
        limit: int | None = None,
    ) -> Listing[BillingEvent]:
        """List what each request of all teams cost, with `username` (protocol 11.9).

        Events lag by a few minutes, so that a request that was just completed has none yet (protocol 11.7).

        Args:
            start: the beginning, as of `Platform.usage`. None (default): 24 hours ago.
            end: the end, which is not included, at most 90 days after `start`. None (default): now.
            endpoint_ids: one endpoint, or 1 to 50. None (default): all.
            request_ids: the ids of one request, or of 1 to 50. None (default): all.
            api_key_ids: the ids of one key, or of 1 to 50. None (default): all.
            team_usernames: one team, or 1 to 50. None (default): all.
            expand: `"auth_method"`, `"auth_method_structured"` or both. None (default): neither.
            limit: events per page, from 1 to 100. None (default): as many as fal chooses.

        Returns:
            The events: `async for`, or `await` for a list. Its requests raise PermissionDeniedError if the key is
            not an admin key of the root team, and other errors of fal.

        Raises:
            ConfigurationError: an invalid argument, or a session without a key of its own. Nothing was sent.
        """
        filtered = usage_lines.filters(
            endpoint_id=endpoint_ids,
            request_id=request_ids,
            api_key_id=api_key_ids,
            team_username=team_usernames,
        )
        query = billing_events.events_query(start, end, filtered, expand, limit)
        return self._sender.listing(
            billing_events.organization_events_request, billing_events.parse_events, query
        )

    async def organization_focus(
        self,
        source: str,
        *,
        billing_month: str | None = None,
        charge_month: str | None = None,
        team_username: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        timezone: str | None = None,
        timeframe: str | None = None,
        bound_to_timeframe: bool | None = None,
    ) -> str:
        """Return a billing report about all teams in the form of the FinOps FOCUS specification (protocol 11.9).

        Needs an enterprise account with these reports. Cancelling is safe.

        Args:
            source: `"invoice"`, `"estimate"` or `"tagged-estimate"`, as of `focus`.
            billing_month: the month of the invoice, such as `"2026-01"`. None (default): the newest one.
            charge_month: the month of the usage, which is the month before. None (default): by `billing_month`.
            team_username: only this team. None (default): all.
            start: the beginning of an estimate, as of `focus`. None (default): 24 hours ago.
            end: the end of an estimate, which is not included. None (default): now.
            timezone: where days begin, such as `"Europe/Berlin"`. None (default): UTC.
            timeframe: to which periods `start` and `end` are moved, as of `Platform.usage`. None (default): fal
                chooses.
            bound_to_timeframe: whether they are moved at all. None (default): as fal chooses, which is True.

        Returns:
            The report as CSV.

        Raises:
            ConfigurationError: an invalid argument, or a session without a key of its own. Nothing was sent.
            PermissionDeniedError: the key is not an admin key of the root team, or there are no such reports.
            ApiError: another error response of fal.
            TransportError: fal was not reached.
            SessionStateError: the session is closed.
        """
        query = account_reports.focus_query(
            source,
            usage_lines.series_query(
                start=start,
                end=end,
                timezone=timezone,
                timeframe=timeframe,
                bound_to_timeframe=bound_to_timeframe,
            ),
            billing_month=billing_month,
            charge_month=charge_month,
            team_username=team_username,
        )
        request = account_reports.organization_focus_request(self._sender.hosts, query)
        return await self._sender.send(request, account_reports.parse_csv)
