"""`session.platform.workflows`: the account's workflows (protocol 15.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fal_async.errors import SubmissionUncertainError, short_tracebacks
from fal_async.platform.listing import Listing
from fal_async.platform.sending import Sender
from fal_async.protocol.platform import workflow_records
from fal_async.protocol.platform.queries import Endpoints
from fal_async.protocol.platform.workflow_records import Workflow


@short_tracebacks
class Workflows:
    """The account's workflows. A workflow is run like a model, by its `endpoint_id`."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def list(
        self,
        search: str | None = None,
        *,
        used_endpoint_ids: Endpoints | None = None,
        limit: int | None = None,
    ) -> Listing[Workflow]:
        """List the account's workflows, without their definitions (protocol 15.4).

        Args:
            search: words of the name or the title. None (default): all.
            used_endpoint_ids: only workflows that use one of these 1 to 50 endpoints. None (default): all.
            limit: workflows per page, at least 1. None (default): as many as fal chooses.

        Returns:
            The workflows: `async for`, or `await` for a list. Its requests raise errors of fal.

        Raises:
            ConfigurationError: an invalid argument, or a session without a key of its own. Nothing was sent.
        """
        query = workflow_records.workflows_query(search, used_endpoint_ids, limit)
        return self._sender.listing(
            workflow_records.workflows_request, workflow_records.parse_workflows, query
        )

    async def get(self, username: str, name: str) -> Workflow:
        """Return a workflow with its definition (protocol 15.4). Cancelling is safe.

        Args:
            username: its owner, `Workflow.user_nickname`.
            name: its name, `Workflow.name`.

        Returns:
            The workflow.

        Raises:
            ConfigurationError: an invalid name, or a session without a key of its own. Nothing was sent.
            NotFoundError: there is no such workflow.
            PermissionDeniedError: the workflow is not public.
            ApiError: another error response of fal.
            TransportError: fal was not reached.
            SessionStateError: the session is closed.
        """
        request = workflow_records.workflow_request(self._sender.hosts, username, name)
        return await self._sender.send(request, workflow_records.parse_workflow)

    async def create(
        self, name: str, title: str, contents: Mapping[str, Any], *, is_public: bool = False
    ) -> Workflow:
        """Create a workflow (protocol 15.4).

        It is never sent twice. If the call is cancelled after it was sent, the workflow may exist.

        Args:
            name: a name that the account does not use yet: 1 to 128 letters, digits, `_` and `-`.
            title: the name for people, of 1 to 256 characters.
            contents: the definition, with `name`, `version`, `nodes`, `output` and `schema` (protocol 15.3).
            is_public: whether others can see it; default False.

        Returns:
            The workflow.

        Raises:
            ConfigurationError: an invalid argument, or a session without a key of its own. Nothing was sent.
            SubmissionUncertainError: fal may have created the workflow, but its response did not arrive.
            ApiError: an error response of fal, such as 400 if the account has a workflow of this name.
            TransportError: fal certainly did not create it.
            SessionStateError: the session is closed.
        """
        request = workflow_records.new_workflow_request(
            self._sender.hosts, name, title, contents, is_public=is_public
        )
        try:
            return await self._sender.send(request, workflow_records.parse_workflow)
        except SubmissionUncertainError as error:
            raise workflow_records.possible_workflow(error, name) from error
