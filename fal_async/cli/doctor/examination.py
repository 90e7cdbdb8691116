"""Makes all examinations at the same time, each within a few seconds."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence

from fal_async.cli.doctor import key_findings, machine_findings, variable_findings
from fal_async.cli.doctor.finding import Finding, Topic, problems
from fal_async.cli.doctor.host_probe import HostProbe, probe
from fal_async.cli.doctor.ledger_findings import ledger_findings
from fal_async.cli.doctor.network_findings import network_findings
from fal_async.config import Hosts
from fal_async.environment import Environment
from fal_async.errors import ConfigurationError
from fal_async.protocol.origins import origin_of
from fal_async.transport.http_proxies import environment_route

_DISK_LIMIT = 8.0
"""Seconds for the ledger, whose disk or server may hang."""
_SERVICES = ("queue", "run", "realtime", "rest", "cdn", "platform", "openapi")
_LEDGER = Topic("ledger")


async def examine(variables: Mapping[str, str], ledger: str | None) -> list[Finding]:
    """Examine this machine, its environment and its way to fal, in less than ten seconds. Cancelling is safe.

    Args:
        variables: the environment variables.
        ledger: the path or URL of a ledger. None: none is examined.

    Returns:
        The findings, in the order of the report.
    """
    environment, wrong_hosts = variable_findings.environment_of(variables)
    sources = list(key_findings.source_findings(environment, variables))
    has_key = not problems(sources)
    async with asyncio.TaskGroup() as group:
        online = group.create_task(
            _online(environment, has_key=has_key) if wrong_hosts is None else _offline()
        )
        stored = group.create_task(_stored(ledger))
    known, hosts = online.result()
    return [
        *machine_findings.version_findings(),
        *sources,
        *known,
        *([] if wrong_hosts is None else [wrong_hosts]),
        *variable_findings.variable_findings(variables),
        *variable_findings.proxy_findings(environment),
        *hosts,
        *stored.result(),
        *machine_findings.machine_findings(),
        *machine_findings.extra_findings(),
    ]


async def _offline() -> tuple[list[Finding], list[Finding]]:
    return [], []


async def _online(environment: Environment, *, has_key: bool) -> tuple[list[Finding], list[Finding]]:
    """Return the findings about the key, and those about the hosts.

    The key is asked about only if its hosts can be reached: a lookup of a name by aiohttp can't be abandoned.
    """
    probes = await asyncio.gather(*_probes(environment))
    hosts = list(network_findings(probes, time.time()))
    asked = [each for each in probes if {"queue", "platform"} & set(each.services)]
    if not has_key:
        return [], hosts
    if any(each.failed_at for each in asked):
        return [key_findings.NOT_ASKED], hosts
    return await key_findings.known_findings(environment), hosts


def _probes(environment: Environment) -> Iterator[asyncio.Future[HostProbe]]:
    trust = ssl.create_default_context()
    for origin, services in _origins(environment.hosts).items():
        yield asyncio.ensure_future(_probe(environment, origin, services, trust))


async def _probe(
    environment: Environment, origin: str, services: Sequence[str], trust: ssl.SSLContext
) -> HostProbe:
    try:
        route = environment_route(environment.proxies, origin, follow=True)
    except ConfigurationError as error:
        return HostProbe(origin=origin, services=tuple(services), failed_at="proxy", error=error.message)
    return await probe(origin, tuple(services), route, trust)


def _origins(hosts: Hosts) -> dict[str, list[str]]:
    """Return the services at each origin. A local fal has all at one."""
    found: dict[str, list[str]] = {}
    for service in _SERVICES:
        origin = origin_of(getattr(hosts, service))
        if origin is not None:
            found.setdefault(origin, []).append(service)
    return found


async def _stored(ledger: str | None) -> list[Finding]:
    if ledger is None:
        return []
    try:
        async with asyncio.timeout(_DISK_LIMIT):
            return await ledger_findings(ledger)
    except TimeoutError:
        return [
            _LEDGER.problem(
                "place", f"nothing happened for {_DISK_LIMIT:g} s", "check the disk or the server"
            )
        ]
