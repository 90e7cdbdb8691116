"""Endpoint ids (protocol 2)."""

from __future__ import annotations

import contextlib
import copy
import pickle
import re
import types
from typing import Any, TypedDict

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fal_async.errors import ConfigurationError
from fal_async.protocol.endpoint import Endpoint, EndpointId

GOOD = [
    # text, namespace, owner, alias, path
    ("fal-ai/flux", None, "fal-ai", "flux", ""),
    ("fal-ai/flux/dev", None, "fal-ai", "flux", "dev"),
    ("fal-ai/flux-pro/v1.1/ultra", None, "fal-ai", "flux-pro", "v1.1/ultra"),
    ("  /fal-ai/flux/dev/ ", None, "fal-ai", "flux", "dev"),
    ("workflows/me/app", "workflows", "me", "app", ""),
    ("workflows/execute", None, "workflows", "execute", ""),
    ("workflows/execute/stream", None, "workflows", "execute", "stream"),
    ("comfy/me/app/run", "comfy", "me", "app", "run"),
    ("110602490-lora", None, "110602490", "lora", ""),
    ("110602490-fast-sdxl", None, "110602490", "fast-sdxl", ""),
    ("12345/my-app", None, "12345", "my-app", ""),
    ("me/app--staging/path", None, "me", "app--staging", "path"),
    ("https://fal.run/fal-ai/flux/dev", None, "fal-ai", "flux", "dev"),
    ("https://queue.fal.run/fal-ai/flux", None, "fal-ai", "flux", ""),
    ("HTTPS://FAL.RUN/fal-ai/flux", None, "fal-ai", "flux", ""),
]


@pytest.mark.parametrize(("text", "namespace", "owner", "alias", "path"), GOOD)
def test_well_formed_endpoint_ids_are_parsed_into_their_parts(
    text: str, namespace: str | None, owner: str, alias: str, path: str
) -> None:
    endpoint = EndpointId.parse(text)
    assert (endpoint.namespace, endpoint.owner, endpoint.alias, endpoint.path) == (
        namespace,
        owner,
        alias,
        path,
    )
    assert endpoint.app_id == "/".join(part for part in (namespace, owner, alias) if part)
    assert endpoint.full == str(endpoint) == "/".join(part for part in (endpoint.app_id, path) if part)


@pytest.mark.parametrize(
    "text",
    [
        *("", "/", "flux", "fal-ai", "fal-ai/", "workflows", "workflows/me", "fal-ai//flux", "abc-123"),
        *("fal-ai/../admin", "fal-ai/./flux", "fal-ai/flux?x=1", "fal-ai/flux#x", "fal-ai/fl ux", "a\\b/c"),
        *(
            "fal-ai/flux\n/dev",
            "fal-ai/flux%2fdev",
            "fal-ai/flüx",
            "fal-ai/flux/..",
            "-a/b",
            "fal-ai/flux/a:b",
        ),
        *("http://fal.run/fal-ai/flux", "https://fal.run:443/fal-ai/flux", "https://x@fal.run/fal-ai/flux"),
        *("https://fal.run.evil.com/fal-ai/flux", "https://evilfal.run/fal-ai/flux", "https://fal.ai/a/b"),
        *("https://fal.run./fal-ai/flux", "https://fal.run\\@evil.com/a/b", "https://fal.run?x=/a/b"),
        *("https://evil.com/fal.run/a/b", "https://[::1/a/b", "ftp://fal.run/a/b", "https://rest.fal.ai/a/b"),
    ],
)
def test_malformed_endpoint_ids_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigurationError, match="endpoint id") as caught:
        EndpointId.parse(text)
    assert re.search(r"fal-ai/flux/dev|https://fal\.run/", str(caught.value))


@pytest.mark.parametrize("value", [None, 5, b"fal-ai/flux", ["fal-ai/flux"], {"a": 1}, object()])
def test_an_endpoint_id_or_path_that_is_not_a_str_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError):
        EndpointId.parse(value)
    with pytest.raises(ConfigurationError):
        EndpointId.parse("fal-ai/flux", value)


@pytest.mark.parametrize(
    ("text", "path", "full"),
    [
        ("fal-ai/flux", "dev", "fal-ai/flux/dev"),
        ("fal-ai/flux", "/stream", "fal-ai/flux/stream"),
        ("fal-ai/flux/dev", "stream/", "fal-ai/flux/dev/stream"),
        ("fal-ai/flux/stream", "/stream", "fal-ai/flux/stream"),
        ("fal-ai/flux/upstream", "/stream", "fal-ai/flux/upstream/stream"),
        ("fal-ai/flux/a/b", "a/b", "fal-ai/flux/a/b"),
        ("fal-ai/stream", "/stream", "fal-ai/stream/stream"),
        ("fal-ai/flux", "/", "fal-ai/flux"),
    ],
)
def test_a_path_is_added_to_an_endpoint_id_only_once(text: str, path: str, full: str) -> None:
    endpoint = EndpointId.parse(text, path)
    assert endpoint.full == full
    assert endpoint.app_id == EndpointId.parse(text).app_id


@pytest.mark.parametrize("path", ["../x", "a//b", "a?b", "a b", "a\nb", "http://x", "ä"])
def test_a_malformed_path_of_an_endpoint_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match="path"):
        EndpointId.parse("fal-ai/flux", path)


segments = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,10}", fullmatch=True)


@given(st.lists(segments, min_size=2, max_size=6))
def test_well_formed_endpoint_ids_and_their_copies_are_equal_to_the_original(parts: list[str]) -> None:
    text = "/".join(parts)
    with contextlib.suppress(ConfigurationError):  # a namespace alone
        endpoint = EndpointId.parse(text)
        assert endpoint.full == text
        assert EndpointId.parse(endpoint.full) == endpoint
        for twin in (pickle.loads(pickle.dumps(endpoint)), copy.copy(endpoint), copy.deepcopy(endpoint)):
            assert twin == endpoint
            assert hash(twin) == hash(endpoint)


@given(
    st.text() | st.text(alphabet="fal.run/:@\\-?#%[]1 \n") | st.from_regex(r"https?://.*"),
    st.text(max_size=9),
)
@example("https://fal.run/a/b/%2e%2e", "")
def test_any_text_gives_an_endpoint_id_of_safe_segments_or_a_configuration_error(
    text: str, path: str
) -> None:
    try:
        endpoint = EndpointId.parse(text, path)
    except ConfigurationError:
        return
    assert re.fullmatch(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+", endpoint.full)
    assert not {".", ".."} & set(endpoint.full.split("/"))
    assert endpoint.full.startswith(endpoint.app_id)


# Endpoints with types.


class Ask(TypedDict):
    prompt: str


def test_an_endpoint_is_a_value_that_can_be_compared_hashed_and_pickled() -> None:
    endpoint = Endpoint("https://fal.run/fal-ai/flux/dev", input=Ask, output=dict)
    assert (endpoint.id, str(endpoint), f"{endpoint}") == ("fal-ai/flux/dev",) * 3
    assert repr(endpoint) == "Endpoint('fal-ai/flux/dev', input=Ask, output=dict)"
    assert endpoint == Endpoint("fal-ai/flux/dev", input=Ask, output=dict) != Endpoint("fal-ai/flux/dev")
    assert {endpoint: 1}[copy.deepcopy(endpoint)] == 1
    assert pickle.loads(pickle.dumps(endpoint)) == endpoint
    with pytest.raises(AttributeError):
        endpoint.id = "a/b"  # type: ignore[misc]


def test_an_endpoint_is_parsed_as_its_id_and_keeps_its_types() -> None:
    endpoint = Endpoint("fal-ai/flux", output=list[int])
    parsed = EndpointId.parse(endpoint, "dev")
    assert (parsed, parsed.full) == (EndpointId.parse("fal-ai/flux/dev"), "fal-ai/flux/dev")
    assert (parsed.output_type(None), parsed.output_type(dict)) == (list[int], dict)
    assert EndpointId.parse("fal-ai/flux").output_type(None) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"id": "flux"}, "endpoint id 'flux': expected owner/app"),
        ({"id": 5}, "endpoint id 5: expected str"),
        ({"id": "a/b", "input": {"prompt": "x"}}, "input is of type dict: expected a class"),
        ({"id": "a/b", "output": "Told"}, "output is of type str: expected a class"),
    ],
)
def test_an_invalid_endpoint_is_refused_when_it_is_created(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Endpoint(**arguments)


@pytest.mark.parametrize("input", [None, {}, {"prompt": 1}, types.MappingProxyType({})])
def test_a_mapping_or_nothing_fits_every_input_type(input: Any) -> None:
    for kind in (Ask, dict, dict[str, int], Any, None):
        EndpointId.parse(Endpoint("a/b", input=kind)).check_input(input)
