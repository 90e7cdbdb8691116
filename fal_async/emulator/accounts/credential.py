"""Who a caller is, by its key or token (protocol 1.2, 11.7)."""

from __future__ import annotations

import attrs

from fal_async.emulator.accounts.account import Account
from fal_async.emulator.accounts.api_keys import ApiKey


@attrs.frozen(kw_only=True)
class Credential:
    """Who a caller is, and what it may do.

    Attributes:
        account: the account.
        key: the key. None: the caller has a token, or needs no key.
        is_admin: whether it may use the operations that need an admin key.
        login: whether it is the token of a login.
    """

    account: Account
    key: ApiKey | None = None
    is_admin: bool = False
    login: bool = False

    @property
    def label(self) -> str:
        """What the platform API calls this way to authenticate (11.9)."""
        if self.key is not None:
            return self.key.alias
        return "User token" if self.login else "None"
