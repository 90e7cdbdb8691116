"""The runners of all endpoints, and the limit that an account has over all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from fal_async.emulator.accounts.account import Account
from fal_async.emulator.jobs.job import IN_QUEUE, FileKeeper, Job
from fal_async.emulator.jobs.runners import Runners
from fal_async.emulator.jobs.served import Served
from fal_async.emulator.timing.clock import Clock


class RunnerTable:
    """The runners of all endpoints, made when they are first used.

    The account of a scope has runners of its own, so that its requests do not wait for those of other tests.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        retry_pause: float,
        files: FileKeeper,
        completed: Callable[[Job], None],
        new_id: Callable[[], str],
    ) -> None:
        self._make = partial(
            Runners,
            clock=clock,
            retry_pause=retry_pause,
            files=files,
            completed=completed,
            new_id=new_id,
            place_free=self._place_free,
        )
        self._runners: dict[tuple[Served, Account | None], Runners] = {}
        self._closed: set[Account] = set()
        """Accounts of closed scopes, some of whose requests may still run."""

    def __iter__(self) -> Iterator[tuple[Runners, str | None]]:
        """Yield the runners of each endpoint, with the name of their scope; None: all other accounts share them."""
        for (_, account), runners in self._runners.items():
            yield runners, None if account is None else account.nickname

    def of(self, endpoint: Served, account: Account) -> Runners:
        # Keyed by the endpoint, not by its id: a new deployment under the same id gets new runners, while the old
        # runners finish their jobs.
        key = endpoint, account if account.is_scope else None
        runners = self._runners.get(key)
        if runners is None:
            runners = self._runners[key] = self._make(endpoint)
        return runners

    def close_scope(self, account: Account, unfinished: Iterable[Job]) -> None:
        """Stop the unfinished jobs of an account, and delete the runners of closed scopes that have none left."""
        self._closed.add(account)
        # The waiting jobs first, so that none of them starts.
        for job in sorted(unfinished, key=lambda job: job.state != IN_QUEUE):
            self.of(job.served, account).stop(job, "client_cancelled")
        for key, runners in list(self._runners.items()):
            if key[1] in self._closed and not runners.unfinished:
                del self._runners[key]
        self._closed &= {owner for _, owner in self._runners if owner is not None}

    def _place_free(self, account: Account) -> None:
        """Start waiting requests of an account below its limit, the oldest first, if their runners are free.

        Its limit may have been lifted meanwhile, so accounts without one can have waiting requests everywhere, too.
        """
        waiting = [runners for runners in self._runners.values() if runners.has_waiting]
        for runners in sorted(waiting, key=lambda runners: runners.waits_since(account)):
            if not account.has_place:
                return
            runners.dispatch()

    async def close(self) -> None:
        """Close all runners at the same time; the next use makes new ones."""
        all_of_them = list(self._runners.values())
        self._runners.clear()
        await asyncio.gather(*(runners.close() for runners in all_of_them))
