"""What the doctor found: one line for a person, the same values for a program."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any

import attrs


class State(enum.StrEnum):
    """How a finding is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@attrs.frozen(kw_only=True)
class Finding:
    """One line of the report. It contains no secret.

    Attributes:
        topic: the heading of the report that it belongs to, such as "key".
        name: what was examined, such as "scope".
        text: what was found, in one line.
        state: whether something is wrong.
        way_out: what to do about it. None: nothing.
        about_credentials: whether a problem is one of the API key or the balance, which has its own exit status.
        facts: the same as values, for programs.
    """

    topic: str
    name: str
    text: str
    state: State = State.OK
    way_out: str | None = None
    about_credentials: bool = False
    facts: Mapping[str, Any] = attrs.field(factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the finding for JSON."""
        return {
            "topic": self.topic,
            "name": self.name,
            "state": self.state.value,
            "text": self.text,
            "way_out": self.way_out,
            **({"facts": dict(self.facts)} if self.facts else {}),
        }


@attrs.frozen
class Topic:
    """Makes the findings of one topic."""

    name: str

    def ok(self, name: str, text: str, **facts: Any) -> Finding:
        return Finding(topic=self.name, name=name, text=text, facts=facts)

    def warning(self, name: str, text: str, way_out: str, **facts: Any) -> Finding:
        return Finding(
            topic=self.name, name=name, text=text, state=State.WARNING, way_out=way_out, facts=facts
        )

    def problem(
        self, name: str, text: str, way_out: str, *, about_credentials: bool = False, **facts: Any
    ) -> Finding:
        return Finding(
            topic=self.name,
            name=name,
            text=text,
            state=State.PROBLEM,
            way_out=way_out,
            about_credentials=about_credentials,
            facts=facts,
        )


def problems(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that are problems."""
    return [finding for finding in findings if finding.state is State.PROBLEM]
