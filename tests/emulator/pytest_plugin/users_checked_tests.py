"""Tests of a user whose checks fail. The docstring of each has what `test_checks.py` expects in its report."""

import asyncio
import urllib.error
import urllib.request
from typing import Any

import pytest

from fal_async import Session
from fal_async.emulator import Emulator, Fault, Scope

LLM, ASK = "fal-ai/any-llm", {"prompt": "x"}


def get(url: str, method: str = "GET", key: str = "emulator:key") -> None:
    request = urllib.request.Request(url, headers={"Authorization": f"Key {key}"}, method=method)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    caught.value.close()


def test_fault_that_never_applied_is_reported(fal_emulator: Emulator, fal: Session) -> None:
    """the fault 'answer' has never applied: there was no call of 'status' of me/model after 2 others."""
    fal_emulator.faults.add(Fault.answer(503, on="status", endpoint_id="me/model", after=2))
    asyncio.run(fal.run(LLM, ASK))


def test_fault_of_a_scope_that_never_applied_is_reported(fal_scope: Scope, fal: Session) -> None:
    """the checks of scope test_fault_of_a_scope_that_never_applied_is_reported failed."""
    fal_scope.faults.add(Fault.answer(503, on="status"))
    asyncio.run(fal.run(LLM, ASK))


def test_endpoint_that_was_not_called_is_reported(fal_emulator: Emulator) -> None:
    """the endpoint me/model was never called [endpoints=False allows it]."""

    @fal_emulator.endpoint("me/model")
    async def model(input: Any) -> Any:
        return input


def test_unknown_host_is_reported(fal_emulator: Emulator) -> None:
    """GET /other.example.com/x was answered with 404: fal has no such host or path."""
    get(fal_emulator.url + "/other.example.com/x")


def test_wrong_method_is_reported(fal_emulator: Emulator) -> None:
    """was answered with 405: fal does not accept this method here."""
    get(fal_emulator.url + "/queue.fal.run/fal-ai/any-llm", method="DELETE")


def test_unknown_endpoint_is_reported(fal_emulator: Emulator) -> None:
    """GET /fal-ai/any-lm was answered with 404: no endpoint fal-ai/any-lm is registered."""
    get(fal_emulator.url + "/fal-ai/any-lm")


def test_unknown_request_is_reported(fal_emulator: Emulator) -> None:
    """there is no request 6c2ed3be-0000-4000-8000-000000000000."""
    get(
        fal_emulator.url
        + "/queue.fal.run/fal-ai/any-llm/requests/6c2ed3be-0000-4000-8000-000000000000/status"
    )


def test_wrong_key_is_reported(fal_emulator: Emulator) -> None:
    """was answered with 401: the API key is missing or unknown."""
    get(fal_emulator.url + "/fal-ai/any-llm", key="other:key")


def test_running_request_is_reported(fal_emulator: Emulator, fal: Session) -> None:
    """of me/slow is IN_PROGRESS: wait for its result, or cancel it [running=False allows it]."""

    @fal_emulator.endpoint("me/slow")
    async def slow(input: Any) -> None:
        await asyncio.sleep(1000)

    asyncio.run(fal.submit("me/slow"))


def test_input_that_was_paid_twice_is_reported(fal: Session) -> None:
    """fal-ai/any-llm accepted the same input 2 times, and fal bills each: requests."""
    for _ in range(2):
        asyncio.run(fal.run(LLM, ASK))


@pytest.mark.fal_verify(faults=False)
def test_marker_switches_off_one_check(fal_emulator: Emulator) -> None:
    """the endpoint me/model was never called."""
    fal_emulator.faults.add(Fault.reset())
    test_endpoint_that_was_not_called_is_reported(fal_emulator)


# What follows passes.


@pytest.mark.fal_verify(False)
def test_marker_switches_off_all_checks(fal_emulator: Emulator) -> None:
    test_endpoint_that_was_not_called_is_reported(fal_emulator)


def test_without_the_fixture_nothing_is_checked() -> None:
    pass


@pytest.mark.xfail(strict=True)
def test_failed_check_of_an_expected_failure_is_expected(fal_emulator: Emulator) -> None:
    get(fal_emulator.url + "/other.example.com/x")


def test_all_checks_pass_for_a_working_program(fal_emulator: Emulator, fal: Session) -> None:
    @fal_emulator.endpoint("me/model")
    async def model(input: Any) -> Any:
        return input

    fal_emulator.faults.add(
        Fault.answer(503, on="status", times=5, retry_after=0), Fault.answer(401, on="run")
    )
    assert asyncio.run(fal.subscribe("me/model", {"a": 1})).data == {"a": 1}
    get(fal_emulator.url + "/me/model")


def test_request_whose_client_left_has_time_to_end(fal_emulator: Emulator, fal: Session) -> None:
    @fal_emulator.endpoint("me/slow")
    async def slow(input: Any) -> None:
        await asyncio.sleep(1000)

    async def leave() -> None:
        call = asyncio.create_task(fal.run("me/slow"))
        await fal_emulator.wait_for("run", timeout=20)
        call.cancel()
        await asyncio.wait([call])

    asyncio.run(leave())
