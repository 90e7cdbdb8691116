"""What one measurement does: so many calls, so many at a time, by one client. Read by runner and worker."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Load:
    """`total` calls of jobs that run `seconds`, `at_once` at a time, after `taught` calls that don't count.

    Attributes:
        server: "load", or "emulator": the faithful one, which costs more than the clients do.
        rival: a name of `benchmarks.rivals.RIVALS`.
        mode: how `subscribe` follows: "polling", "streaming" or "auto"; without meaning for `run`.
        call: "run" or "subscribe".
        seconds: how long a job runs; 0 is complete at once.
        jitter: share of `seconds` by which running times differ.
        megabytes: size of each result, most of it one long text, as pictures in base64 are.
        spread: the first `at_once` calls start evenly over so many seconds, not in one breath.
        new_endpoints: each call has an endpoint of its own, so that nothing learned helps the next.
        taught: earlier calls of the same kind by the same session.
        open_files: soft limit of open files in the client process; None leaves it as it is.
        give_up: seconds after which what is not finished counts as unfinished.
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
