"""`session.platform.keys`: the account's API keys (protocol 11.11)."""

from __future__ import annotations

import uuid

from fal_async.errors import SubmissionUncertainError, short_tracebacks
from fal_async.platform.listing import Listing
from fal_async.platform.sending import Sender
from fal_async.protocol.platform import key_records
from fal_async.protocol.platform.key_records import ApiKey, NewApiKey
from fal_async.protocol.platform.queries import Names


@short_tracebacks
class Keys:
    """The account's API keys. Every call needs an admin key."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def list(self, *, expand: Names | None = None, limit: int | None = None) -> Listing[ApiKey]:
        """List the account's API keys, without their secrets (protocol 11.11). Admin keys are not listed.

        Args:
            expand: `"creator_info"` for who created each key. None (default): without it.
            limit: keys per page, at least 1. None (default): as many as fal chooses.

        Returns:
            The keys: `async for`, or `await` for a list. Its requests raise PermissionDeniedError if the session's
            key is not an admin key, and other errors of fal.

        Raises:
            ConfigurationError: an invalid argument, or a session without a key of its own. Nothing was sent.
        """
        return self._sender.listing(
            key_records.keys_request, key_records.parse_keys, key_records.keys_query(expand, limit)
        )

    async def create(self, alias: str) -> NewApiKey:
        """Create an API key with the scope API, and return it with its secret, which fal shows only now.

        It is never sent twice, because each time would create a key. If the call is cancelled after it was sent,
        the key may exist and its secret is lost: find it by `list`, and delete it.

        Args:
            alias: a name for the key, of 1 to 255 characters.

        Returns:
            The key. Its `repr` does not have the secret.

        Raises:
            ConfigurationError: an invalid alias, or a session without a key of its own. Nothing was sent.
            SubmissionUncertainError: fal may have created the key, but its response did not arrive.
            ResponseDecodeError: fal created a key, but its response can't be read. The error has no body.
            PermissionDeniedError: the session's key is not an admin key.
            ApiError: another error response of fal.
            TransportError: fal certainly did not create a key.
            SessionStateError: the session is closed.
        """
        request = key_records.creation_request(self._sender.hosts, alias)
        try:
            return await self._sender.send(request, key_records.parse_new_key)
        except SubmissionUncertainError as error:
            raise key_records.possible_key(error, alias) from error

    async def delete(self, key_id: str) -> None:
        """Delete an API key, which can't be undone (protocol 11.11). Programs that use it get 401 from then on.

        fal reports no error for a key that does not exist. If the call is cancelled, the key may be deleted; call
        it again.

        Args:
            key_id: `ApiKey.key_id`, the part of a key before the colon.

        Raises:
            ConfigurationError: an invalid id, or a session without a key of its own. Nothing was sent.
            PermissionDeniedError: the session's key is not an admin key.
            ApiError: another error response of fal.
            TransportError: fal was not reached, or did not respond.
            SessionStateError: the session is closed.
        """
        request = key_records.deletion_of_key(self._sender.hosts, key_id, uuid.uuid4().hex)
        await self._sender.send(request, lambda _: None)
