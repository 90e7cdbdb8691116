"""The report as text and as JSON, and the exit status."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from fal_async.cli import exits
from fal_async.cli.doctor.finding import Finding, State, problems
from fal_async.version import __version__


def text_of(findings: Sequence[Finding], now: float) -> str:
    """Return the report for people. `now`: seconds since the epoch."""
    moment = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    lines = [f"fal-async doctor, {moment}", *_topics(findings), "", verdict(findings)]
    return "\n".join(lines)


def _topics(findings: Sequence[Finding]) -> Iterator[str]:
    for topic, group in groupby(findings, key=lambda finding: finding.topic):
        of_topic = list(group)
        width = max(len(finding.name) for finding in of_topic)
        yield ""
        yield topic
        for finding in of_topic:
            yield f"  {finding.state:8} {finding.name:{width}}  {finding.text}"
            if finding.way_out:
                yield f"  {'':8} {'':{width}}  -> {finding.way_out}"


def verdict(findings: Sequence[Finding]) -> str:
    """Return the last line: how many problems and warnings there are."""
    wrong, warnings = len(problems(findings)), sum(each.state is State.WARNING for each in findings)
    if not wrong and not warnings:
        return "all is well"
    return ", ".join(
        f"{count} {word}{'s' if count > 1 else ''}"
        for count, word in ((wrong, "problem"), (warnings, "warning"))
        if count
    )


def document_of(findings: Sequence[Finding], now: float) -> dict[str, Any]:
    """Return the report for programs."""
    return {
        "fal_async": __version__,
        "at": datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"),
        "ok": not problems(findings),
        "findings": [finding.to_dict() for finding in findings],
    }


def status_of(findings: Sequence[Finding]) -> int:
    """Return 0 without problems, 3 for a problem of the key or the balance, 1 for any other problem."""
    wrong = problems(findings)
    if any(finding.about_credentials for finding in wrong):
        return exits.REFUSED
    return exits.FAILED if wrong else exits.DONE
