"""The workflows that callers have saved (protocol 15.3, 15.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class Workflow:
    """A saved workflow.

    Attributes:
        owner: nickname of its account.
        name: its name, which no other workflow of the owner has.
        title: its title.
        contents: its definition (protocol 15.3).
        is_public: whether other accounts may read it.
        created_at: when it was saved, in seconds since the epoch.
    """

    owner: str
    name: str
    title: str
    contents: Mapping[str, Any] = attrs.field(repr=False)
    is_public: bool
    created_at: float

    @property
    def endpoint_ids(self) -> list[str]:
        """The endpoints of its nodes, each once."""
        return list(dict.fromkeys(node["app"] for node in self.contents["nodes"].values() if node.get("app")))


class WorkflowStore:
    def __init__(self) -> None:
        self._workflows: dict[tuple[str, str], Workflow] = {}

    def __iter__(self) -> Iterator[Workflow]:
        return iter(self._workflows.values())

    def find(self, owner: str, name: str) -> Workflow | None:
        return self._workflows.get((owner, name))

    def add(self, workflow: Workflow) -> None:
        self._workflows[workflow.owner, workflow.name] = workflow
