"""What the probes of fal's hosts mean: names, connections, TLS, latency, and this machine's clock."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from fal_async.cli.doctor.finding import Finding, Topic
from fal_async.cli.doctor.host_probe import HostProbe
from fal_async.protocol.origins import is_fals_own

HOSTS, CLOCK = Topic("hosts"), Topic("clock")
_SKEW, _MUCH_SKEW = 30.0, 300.0
"""Seconds of a wrong clock: look-ups of the ledger tolerate 120, signatures of webhooks 300 (protocol 8.3)."""
_SLOW = 1.0
_SOON = 14 * 86400.0
_ISSUERS = re.compile(
    r"(?i)amazon|buypass|certainly|cloudflare|comodo|digicert|entrust|geotrust|globalsign|go ?daddy|google|"
    r"identrust|internet security research|isrg|let'?s encrypt|microsoft|rapidssl|sectigo|ssl\.com|starfield|"
    r"thawte|trustasia|zerossl"
)
"""Organisations whose certificates public websites have."""
_WAYS_OUT = {
    "name": "check the network and the DNS of this machine, or set HTTPS_PROXY if this network needs a proxy",
    "connect": "allow outgoing connections to this host, or set HTTPS_PROXY if this network needs a proxy",
    "proxy": "check the proxy in HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, and its user and password",
    "tls": "if a proxy of your organisation reads TLS, add its CA to the system's certificates or to SSL_CERT_FILE",
    "answer": "check that this is fal's host, and what is between it and this machine",
}


def network_findings(probes: Sequence[HostProbe], now: float) -> Iterator[Finding]:
    """Yield the findings about each host, then about the clock. `now`: seconds since the epoch."""
    for probe in probes:
        yield _failure(probe) if probe.failed_at else _latency(probe)
        if probe.certificate is not None and probe.certificate.is_trusted:
            yield _tls(probe, now)
    yield _clock([probe.clock_ahead for probe in probes if probe.clock_ahead is not None])


def _failure(probe: HostProbe) -> Finding:
    step = str(probe.failed_at)
    text = f"{probe.origin}{_via(probe)}: {step}: {probe.error}"
    if probe.certificate is not None and not probe.certificate.is_trusted:
        text += f"; the certificate was issued by {probe.certificate.issuer or 'an unnamed issuer'}"
    return HOSTS.problem(_name(probe), text, _WAYS_OUT[step], **_facts(probe))


def _latency(probe: HostProbe) -> Finding:
    answer = probe.answer or 0.0
    parts = [
        f"{word} {_ms(seconds)}"
        for word, seconds in (
            ("name", probe.look_up),
            ("connect", probe.connect),
            ("TLS", probe.secure),
            ("answer", probe.answer),
        )
        if seconds is not None
    ]
    text = f"{probe.origin}{_via(probe)}: {', '.join(parts)}"
    if answer + (probe.connect or 0.0) < _SLOW:
        return HOSTS.ok(_name(probe), text, **_facts(probe))
    return HOSTS.warning(
        _name(probe),
        f"{text}: slow",
        "polls and uploads take this long, too: check the network of this machine",
        **_facts(probe),
    )


def _tls(probe: HostProbe, now: float) -> Finding:
    certificate = probe.certificate
    assert certificate is not None
    days = int((certificate.expires - now) // 86400)
    text = f"{probe.host}: {probe.tls}, issued by {certificate.issuer}, expires in {days} days"
    facts = {"tls": probe.tls, "issuer": certificate.issuer, "expires_in_days": days}
    name = f"TLS of {probe.services[0]}"
    if is_fals_own(probe.origin) and not _ISSUERS.search(certificate.issuer):
        return HOSTS.warning(
            name,
            f"{text}: not a public issuer, so that a proxy between this machine and fal probably reads the traffic",
            "ask your network's administrators; programs on machines without this issuer's CA can't reach fal",
            **facts,
        )
    if certificate.expires - now < _SOON:
        return HOSTS.warning(
            name, text, "check the clock of this machine; else the host must renew it", **facts
        )
    return HOSTS.ok(name, text, **facts)


def _clock(offsets: Sequence[float]) -> Finding:
    if not offsets:
        return CLOCK.warning("clock", "not compared, because no host answered", "see the hosts above")
    ahead = statistics.median(offsets)
    text = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the servers' clocks"
    facts: dict[str, Any] = {"ahead_seconds": round(ahead, 1)}
    if abs(ahead) < 2:
        return CLOCK.ok("clock", "agrees with the servers' clocks", **facts)
    if abs(ahead) < _SKEW:
        return CLOCK.ok("clock", text, **facts)
    way_out = "set this machine's clock by NTP: webhooks, tokens and look-ups of lost submits depend on it"
    if abs(ahead) < _MUCH_SKEW:
        return CLOCK.warning("clock", text, way_out, **facts)
    return CLOCK.problem("clock", text, way_out, **facts)


def _name(probe: HostProbe) -> str:
    return ", ".join(probe.services)


def _via(probe: HostProbe) -> str:
    return "" if probe.proxy is None else f" through the proxy {probe.proxy}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _facts(probe: HostProbe) -> dict[str, Any]:
    times = {
        "look_up": probe.look_up,
        "connect": probe.connect,
        "secure": probe.secure,
        "answer": probe.answer,
    }
    return {
        "origin": probe.origin,
        "services": list(probe.services),
        "proxy": probe.proxy,
        "addresses": list(probe.addresses),
        "seconds": {name: None if value is None else round(value, 4) for name, value in times.items()},
        "status": probe.status,
        "failed_at": probe.failed_at,
    }
