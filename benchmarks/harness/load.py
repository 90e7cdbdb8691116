"""The load of one measurement: how many calls one client makes, and how many of them concurrently."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Load:
    """`total` calls, `at_once` of them concurrently, after `taught` calls that don't count.

    Attributes:
        total: number of calls.
        at_once: number of concurrent calls.
        server: "load", or "emulator", which behaves like fal and costs more CPU than the clients.
        rival: a name of `benchmarks.rivals.RIVALS`.
        mode: how `subscribe` follows: "polling", "streaming" or "auto"; ignored by `run`.
        call: "run" or "subscribe".
        seconds: how long a job runs; a job of 0 is complete immediately.
        jitter: share of `seconds` by which running times vary.
        megabytes: size of each result, most of it one long string, like pictures in base64.
        spread: seconds over which the starts of the first `at_once` calls are distributed; 0: all at once.
        new_endpoints: each call has its own endpoint, so that nothing learnt helps the next call.
        taught: earlier calls of the same kind in the same session.
        open_files: soft limit of open files in the client process; None leaves it unchanged.
        give_up: seconds after which the remaining calls count as unfinished.
    """

    rival: str
    server: str = "load"
    mode: str = "polling"
    call: str = "subscribe"
    total: int = 1
    at_once: int = 1
    seconds: float = 0.0
    jitter: float = 0.0
    megabytes: float = 0.0
    spread: float = 0.0
    new_endpoints: bool = False
    taught: int = 0
    open_files: int | None = None
    give_up: float = 240.0

    @property
    def input(self) -> dict[str, object]:
        size = {"megabytes": self.megabytes} if self.megabytes else {}
        return {"prompt": "a cat", "seed": 6252023, "seconds": self.seconds, "jitter": self.jitter, **size}

    def endpoint_id(self, index: int) -> str:
        return f"bench/job-{index}" if self.new_endpoints else "bench/job"
