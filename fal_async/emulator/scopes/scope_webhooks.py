"""The webhook deliveries of one scope."""

from __future__ import annotations

from collections.abc import Mapping

from fal_async.emulator.accounts.account import Account
from fal_async.emulator.core import Core
from fal_async.emulator.webhooks.deliveries import WebhookAttempt


def attempts_of(core: Core, account: Account) -> list[WebhookAttempt]:
    """Return the attempts for requests of an account, in the order in which they ended."""
    jobs = core.jobs.by_id
    return [
        attempt
        for attempt in core.webhooks.attempts
        if (job := jobs.get(attempt.request_id)) is not None and job.account is account
    ]


class ScopeWebhooks:
    """The webhook deliveries of a scope, as `scope.webhooks`."""

    def __init__(self, core: Core, account: Account) -> None:
        self._core, self._account = core, account

    @property
    def attempts(self) -> list[WebhookAttempt]:
        """The attempts for requests of the scope, in the order in which they ended.

        Those of deleted jobs, and of all attempts those before the latest 10,000, are not listed.
        """
        return attempts_of(self._core, self._account)

    @property
    def automatic(self) -> bool:
        """Whether a webhook is delivered when its request is completed; default True, and False to `deliver` it."""
        return self._core.webhooks.is_automatic(self._account)

    @automatic.setter
    def automatic(self, automatic: bool) -> None:
        self._core.webhooks.set_automatic(self._account, automatic)

    async def wait_for(self, count: int = 1, *, timeout: float = 5.0) -> list[WebhookAttempt]:
        """Wait until a number of attempts have ended. Cancelling it is safe.

        Args:
            count: how many attempts must have ended since the scope was opened; default 1.
            timeout: seconds to wait at most; default 5.

        Returns:
            The value of `attempts`.

        Raises:
            TimeoutError: If fewer attempts ended within `timeout`.
        """
        return await self._core.webhooks.wait_for_attempts(lambda: self.attempts, count, timeout)

    async def deliver(
        self,
        request_id: str,
        url: str | None = None,
        *,
        age: float = 0.0,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> WebhookAttempt:
        """Make one attempt now, as `Webhooks.deliver` does.

        If this call is cancelled, the receiver may have got the delivery, but `attempts` does not list this
        attempt.

        Args:
            request_id: id of a request of the scope.
            url: as of `Webhooks.deliver`; default None.
            age: as of `Webhooks.deliver`, in seconds; default 0.
            body: as of `Webhooks.deliver`; default None.
            headers: as of `Webhooks.deliver`; default None.

        Returns:
            The attempt.

        Raises:
            KeyError: If the scope has no such request.
            ValueError: If the request is not completed, or if it has no webhook and no `url` is given.
            RuntimeError: If the package `cryptography` is missing.
        """
        if request_id not in self._core.jobs.of(self._account):
            raise KeyError(f"the scope {self._account.nickname} has no request {request_id}")
        return await self._core.webhooks.deliver(request_id, url, age=age, body=body, headers=headers)
