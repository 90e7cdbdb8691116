"""The keys that sign webhook deliveries, and the key set that receivers fetch (protocol 8.3)."""

from __future__ import annotations

import base64
import hashlib
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

USER_ID = "emulator|user"
_MISSING = (
    "webhooks are signed with Ed25519, which needs the package 'cryptography': "
    "pip install 'fal-async[webhooks]'"
)


class WebhookKeys:
    """The signing keys of an emulator, as `emulator.webhooks.keys` (protocol 8.3).

    The newest key signs; older keys stay in the published set until `rotate(retire=True)`. The first key is made on
    first use, so that an emulator without webhooks does not need the package `cryptography`.
    """

    def __init__(self) -> None:
        self._keys: list[_Key] = []

    def rotate(self, *, retire: bool = False) -> None:
        """Sign with a new key from now on.

        Args:
            retire: whether the older keys are removed from the published set; default False.

        Raises:
            RuntimeError: If the package `cryptography` is missing.
        """
        if retire:
            self._keys.clear()
        else:
            self._newest()
        self._keys.append(_new_key())

    def secrets(self) -> dict[str, str]:
        """Return the private keys in hex, oldest first, by their ids; only the emulator calls this."""
        return {key.kid: key.private.private_bytes_raw().hex() for key in self._keys}

    def restore(self, secrets: Mapping[str, str]) -> None:
        """Use the keys that `secrets` returned; only the emulator calls this.

        Args:
            secrets: the private keys.

        Raises:
            RuntimeError: If the package `cryptography` is missing.
        """
        self._keys = [
            _Key(kid=kid, private=_private_keys().from_private_bytes(bytes.fromhex(secret)))
            for kid, secret in secrets.items()
        ]

    def key_set(self) -> dict[str, Any]:
        """Return the published key set, as JSON values: `{"keys": [...]}`.

        Raises:
            RuntimeError: If the package `cryptography` is missing.
        """
        self._newest()
        return {"keys": [key.as_jwk() for key in self._keys]}

    def signed_headers(
        self, request_id: str, body: bytes, *, timestamp: int | None = None, user_id: str = USER_ID
    ) -> dict[str, str]:
        """Return the four signature headers of a delivery, to test a receiver without sending anything.

        Args:
            request_id: value of the header `X-Fal-Webhook-Request-Id`.
            body: the exact bytes of the body.
            timestamp: the time to sign, in seconds since the epoch. None (default): now.
            user_id: value of the header `X-Fal-Webhook-User-Id`; default "emulator|user".

        Raises:
            RuntimeError: If the package `cryptography` is missing.
        """
        moment = str(int(time.time()) if timestamp is None else timestamp)
        # Four lines, no final newline, the body as the hex digest of its raw bytes (8.3).
        message = "\n".join((request_id, user_id, moment, hashlib.sha256(body).hexdigest())).encode()
        return {
            "X-Fal-Webhook-Request-Id": request_id,
            "X-Fal-Webhook-User-Id": user_id,
            "X-Fal-Webhook-Timestamp": moment,
            "X-Fal-Webhook-Signature": self._newest().private.sign(message).hex(),
        }

    def _newest(self) -> _Key:
        if not self._keys:
            self._keys.append(_new_key())
        return self._keys[-1]


@attrs.frozen(kw_only=True)
class _Key:
    kid: str
    private: Ed25519PrivateKey = attrs.field(repr=False)

    def as_jwk(self) -> dict[str, str]:
        public = base64.urlsafe_b64encode(self.private.public_key().public_bytes_raw())
        return {"kty": "OKP", "crv": "Ed25519", "x": public.rstrip(b"=").decode(), "kid": self.kid}


def _new_key() -> _Key:
    return _Key(kid=uuid.uuid4().hex, private=_private_keys().generate())


def _private_keys() -> type[Ed25519PrivateKey]:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        raise RuntimeError(_MISSING) from error
    return Ed25519PrivateKey
