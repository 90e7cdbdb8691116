"""Registering endpoints: what is accepted, and what is refused with which error."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.emulator import Emulator, JobContext
from fal_async.emulator.wire.routing import app_id, parse
from tests.emulator.caller import Caller


async def echo(input: Any) -> Any:
    return input


@pytest.mark.parametrize(
    "endpoint_id",
    ["", "model", "me/", "/model", "me//model", "me/a b", "fal.run/model", "me/model\n", "me/app/requests/x"],
)
def test_endpoint_refuses_a_malformed_id(endpoint_id: str) -> None:
    with pytest.raises(ValueError, match="is not an endpoint id: expected owner/app"):
        Emulator().endpoint(endpoint_id)(echo)


@pytest.mark.parametrize(
    "endpoint_id", ["me/app", "me/app/path/more", "workflows/me/app", "me/v1.5", "me/requests"]
)
def test_endpoint_accepts_ids_with_namespace_path_dot_or_the_name_requests(endpoint_id: str) -> None:
    assert Emulator().endpoint(endpoint_id)(echo) is echo


def test_endpoint_refuses_fewer_than_one_runner() -> None:
    with pytest.raises(ValueError, match="runners=0: expected an int >= 1"):
        Emulator().endpoint("me/model", runners=0)(echo)


def plain(input: Any) -> Any:
    return input


async def nothing() -> None:
    """Takes no input."""


async def three(a: Any, b: Any, c: Any) -> None:
    """Takes too many arguments."""


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (plain, "plain is not an async function"),
        (nothing, "nothing takes 0 positional arguments"),
        (three, "three takes 3 positional arguments"),
        (42, "42 is not an async function"),
    ],
)
def test_endpoint_refuses_functions_that_are_not_async_or_take_wrong_arguments(
    function: Any, said: str
) -> None:
    with pytest.raises(TypeError, match=said):
        Emulator().endpoint("me/model")(function)


async def test_async_functions_callable_objects_and_partials_can_be_endpoints(caller: Caller) -> None:
    class Model:
        async def __call__(self, input: Any, job: JobContext) -> Any:
            return [input, job.endpoint_id, job.attempt]

    async def scaled(factor: int, input: Any) -> Any:
        return factor * input["n"]

    caller.emulator.endpoint("me/echo")(echo)
    caller.emulator.endpoint("me/model")(Model())
    caller.emulator.endpoint("me/scaled")(partial(scaled, 3))
    assert (await caller.run("me/echo", {"n": 2})).data == {"n": 2}
    assert (await caller.run("me/model", {"n": 2})).data == [{"n": 2}, "me/model", 1]
    assert (await caller.run("me/scaled", {"n": 2})).data == 6


@pytest.mark.parametrize("key", ["", "secret", ":secret", "id:"])
def test_the_emulator_refuses_a_key_without_id_or_secret(key: str) -> None:
    with pytest.raises(ValueError, match="id:secret"):
        Emulator(key=key)


async def test_an_emulator_without_builtins_serves_no_endpoint() -> None:
    emulator = Emulator(builtins=False)
    async with emulator:
        assert not list(emulator._core.endpoints)


SEGMENT = st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True)


@given(
    namespace=st.sampled_from(["", "workflows/", "comfy/"]),
    owner=SEGMENT,
    app=SEGMENT,
    path=st.lists(SEGMENT.filter(lambda text: text != "requests"), max_size=3),
)
def test_every_valid_endpoint_id_routes_to_submit_run_and_status(
    namespace: str, owner: str, app: str, path: list[str]
) -> None:
    if owner in ("workflows", "comfy", "_emulator"):
        return
    endpoint_id = namespace + "/".join([owner, app, *path])
    if namespace and app == "requests":
        return
    submitted = parse("POST", f"/queue.fal.run/{endpoint_id}")
    assert (submitted.kind, submitted.endpoint_id) == ("submit", endpoint_id)
    run = parse("POST", f"/{endpoint_id}")
    assert (run.kind, run.endpoint_id) == ("run", endpoint_id)
    followed = parse("GET", f"/queue.fal.run/{app_id(endpoint_id)}/requests/an-id/status")
    assert (followed.kind, followed.request_id) == ("status", "an-id")
    assert followed.endpoint_id == app_id(endpoint_id) == f"{namespace}{owner}/{app}"


@given(method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]), path=st.text(max_size=60))
def test_parse_returns_a_route_for_any_path(method: str, path: str) -> None:
    assert parse(method, "/" + path).kind
