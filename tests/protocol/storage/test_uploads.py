from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fal_async.config import Hosts, RetryPolicy
from fal_async.errors import ConfigurationError, ResponseDecodeError
from fal_async.protocol.api_errors import error_of
from fal_async.protocol.http import HttpRequest, HttpResponse
from fal_async.protocol.retry import Verdict, judge
from fal_async.protocol.storage import access
from fal_async.protocol.storage import uploads as storage
from fal_async.protocol.storage.downloads import Progress, download_request
from fal_async.protocol.storage.multipart import MultipartTarget, SentPart
from fal_async.protocol.storage.uploads import CdnToken, FileSpec
from fal_async.storage_settings import StorageSettings

FAL = Hosts()
LOCAL = Hosts.local("http://127.0.0.1:1")
TOKEN = CdnToken(authorization="Bearer t0ken", base_url="https://v3.fal.media", good_until=1e9)
SPEC = FileSpec(size=5, content_type="image/png", file_name="Zürich.png", lifecycle='{"a":1}')


async def _nothing() -> AsyncIterator[bytes]:
    yield b""


def answer(document: Any, **headers: str) -> HttpResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpResponse(status=200, headers=named, body=json.dumps(document).encode())


def test_the_request_for_a_cdn_token_is_sent_with_the_key() -> None:
    request = storage.cdn_token_request(FAL)
    assert request.url == "https://rest.fal.ai/storage/auth/token?storage_type=fal-cdn-v3"
    assert (request.method, request.body, request.auth) == ("POST", b"{}", True)


def parse(document: dict[str, Any], hosts: Hosts = FAL, now: float = 0.0, **headers: str) -> CdnToken:
    return storage.parse_cdn_token(answer(document, **headers), hosts, now=now, monotonic=1000.0)


def test_a_cdn_token_is_used_until_shortly_before_it_expires() -> None:
    grant = {"token": "t", "token_type": "Bearer", "base_url": "https://v3b.fal.media/"}
    hour = parse({**grant, "expires_at": "1970-01-01T01:00:00+00:00"})
    assert (hour.authorization, hour.base_url) == ("Bearer t", "https://v3b.fal.media")
    assert hour.good_until == 1000 + 3600 - 60
    assert parse({**grant, "expires_at": "1970-01-01T00:00:10Z"}).good_until == 1005
    assert parse({**grant, "expires_at": "1970-01-01T00:01:40"}).good_until == 1050, "no zone: UTC"
    assert parse({**grant, "expires_at": "soon"}).good_until == 1000
    assert parse({"token": "t"}).good_until == 1000
    assert "t0ken" not in repr(TOKEN)
    for wrong in ({"token": "a\r\nX-Evil: 1"}, {"token": "ä"}, {"token": "t", "token_type": "a\n"}):
        with pytest.raises(ResponseDecodeError, match="not allowed in a header"):
            parse(wrong)


def test_a_wrong_local_clock_does_not_change_the_life_of_a_cdn_token() -> None:
    """`expires_at` is compared with the server's own Date header."""
    grant = {"token": "t", "expires_at": "1994-11-06T09:49:37Z"}
    assert parse(grant, now=5e9, date="Sun, 06 Nov 1994 08:49:37 GMT").good_until == 1000 + 3600 - 61


@pytest.mark.parametrize(
    "base_url",
    [
        "https://evil.example",
        "http://v3.fal.media",
        "https://fal.media.evil.example",
        "https://xfal.media",
        5,
        None,
    ],
)
def test_a_cdn_token_is_never_used_with_a_foreign_base_url(base_url: Any) -> None:
    assert parse({"token": "t", "base_url": base_url}).base_url == "https://v3.fal.media"
    assert parse({"token": "t", "base_url": base_url}, LOCAL).base_url == "http://127.0.0.1:1/v3.fal.media"


def test_uploads_through_a_gateway_stay_on_the_gateway() -> None:
    gateway = Hosts(cdn="https://cdn.example/fal")
    assert parse({"token": "t", "base_url": "https://v3.fal.media"}, gateway).base_url == gateway.cdn
    parsed = storage.parse_multipart(
        answer({"access_url": "https://v3b.fal.media/files/b/0/x", "uploadId": "i/d"}), gateway
    )
    assert parsed.file_url == "https://v3b.fal.media/files/b/0/x"
    assert parsed.upload_url == "https://cdn.example/fal/files/b/0/x/multipart/i%2Fd"


def test_upload_requests_carry_the_token_and_never_the_key() -> None:
    direct = storage.direct_request(TOKEN, SPEC, _nothing)
    assert direct.url == "https://v3.fal.media/files/upload"
    assert direct.headers["Authorization"] == "Bearer t0ken"
    assert direct.headers["X-Fal-File-Name"] == "Zurich.png"
    assert direct.headers["Content-Length"] == "5"
    parts = storage.multipart_request(TOKEN, SPEC)
    assert parts.url.endswith("/files/upload/multipart")
    for request in (direct, parts):
        assert not request.auth
        assert request.headers["X-Fal-Object-Lifecycle"] == '{"a":1}'
        assert request.headers["X-Fal-Object-Lifecycle-Preference"] == '{"a":1}'


def test_presigned_upload_requests_carry_neither_token_nor_key() -> None:
    begun = storage.initiate_request(FAL, SPEC, multipart=True)
    assert begun.url.endswith("/storage/upload/initiate-multipart?storage_type=fal-cdn-v3")
    assert body_of(begun) == {"file_name": "Zürich.png", "content_type": "image/png"}
    assert begun.auth
    target = storage.parse_initiate(answer({"file_url": "https://f", "upload_url": "https://u/x?s=1"}))
    for request in (
        storage.put_request(target, SPEC, _nothing),
        storage.part_request(target, 3, 5, _nothing, None),
        storage.complete_request(target, {}, None),
    ):
        assert not request.auth
        assert "Authorization" not in request.headers


def body_of(request: HttpRequest) -> Any:
    assert isinstance(request.body, bytes)
    return json.loads(request.body)


def test_the_parts_of_an_upload_are_completed_in_numerical_order() -> None:
    target = MultipartTarget(file_url="https://f", upload_url="https://f/multipart/id", presigned=False)
    parts = {n: SentPart(number=n, etag=f'"{n}"', digest="") for n in (10, 9, 2, 1)}
    request = storage.complete_request(target, parts, TOKEN)
    assert [part["partNumber"] for part in body_of(request)["parts"]] == [1, 2, 9, 10]
    assert body_of(request)["parts"][0] == {"partNumber": 1, "etag": '"1"'}
    part = storage.part_request(target, 2, 5, _nothing, TOKEN)
    assert (part.method, part.url) == ("PUT", "https://f/multipart/id/2")
    assert part.headers["Accept-Encoding"] == "identity"


def test_the_etag_of_a_part_is_read_from_the_header_or_the_body() -> None:
    assert storage.parse_etag(answer({"etag": '"body"'}, etag='"header"')) == '"header"'
    assert storage.parse_etag(answer({"partNumber": 1, "etag": '"body"'})) == '"body"'
    with pytest.raises(ResponseDecodeError, match="no ETag"):
        storage.parse_etag(HttpResponse(status=200, headers={}, body=b""))


@pytest.mark.parametrize(
    "document",
    [
        *({}, {"access_url": 5, "uploadId": "x"}, [], None, {"access_url": "https://x"}),
        {"access_url": "https://v3.fal.media/x", "uploadId": "\ud800"},
    ],
)
def test_a_multipart_response_without_required_fields_is_a_decode_error(document: Any) -> None:
    with pytest.raises(ResponseDecodeError):
        storage.parse_multipart(answer(document), FAL)


def test_the_lifecycle_header_is_json_or_absent() -> None:
    assert storage.lifecycle_text(None) is None
    assert storage.lifecycle_text(StorageSettings(expires_in="never")) is None
    text = storage.lifecycle_text(StorageSettings(expires_in="immediate", initial_acl="hide"))
    assert json.loads(text or "") == {"expiration_duration_seconds": 60, "initial_acl": {"default": "hide"}}


# Access.


def test_the_request_that_signs_a_url_has_the_plain_encoded_url_and_the_lifetime() -> None:
    request = access.sign_request(FAL, "https://v3b.fal.media/files/b/0/x?a=1&b=2", 60)
    assert request.url == (
        "https://api.fal.ai/v1/storage/files/sign?url=https%3A%2F%2Fv3b.fal.media%2Ffiles%2Fb%2F0%2Fx"
    )
    assert body_of(request) == {"expiration_seconds": 60}
    assert access.parse_signed(answer({"signed_url": "https://s"})) == "https://s"


@pytest.mark.parametrize("seconds", [0, -1, 604_801, 1.5, True, "60"])
def test_signing_a_url_for_more_than_seven_days_is_refused(seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match="604800"):
        access.sign_request(FAL, "https://x/y", seconds)


def test_access_rules_of_a_file_are_checked_and_sent() -> None:
    assert access.get_acl_request(FAL, "https://x/y").method == "GET"
    request = access.set_acl_request(FAL, "https://x/y", "forbid")
    assert (request.method, body_of(request)) == ("PUT", {"default": "forbid"})
    rules = {"default": "hide", "rules": [{"user": "bob", "decision": "allow"}]}
    assert body_of(access.set_acl_request(FAL, "https://x/y", rules)) == rules
    with pytest.raises(ConfigurationError, match="initial_acl"):
        access.set_acl_request(FAL, "https://x/y", "maybe")
    with pytest.raises(ConfigurationError, match="url="):
        access.get_acl_request(FAL, "cat.png")


def test_never_as_account_default_is_sent_as_null() -> None:
    assert access.get_defaults_request(FAL).url == "https://api.fal.ai/v1/storage/settings"
    never = access.set_defaults_request(FAL, StorageSettings(expires_in="never"))
    assert body_of(never) == {"expiration_duration_seconds": None}
    hidden = access.set_defaults_request(FAL, StorageSettings(expires_in="1d", initial_acl="hide"))
    assert body_of(hidden) == {"expiration_duration_seconds": 86400, "initial_acl": {"default": "hide"}}


@pytest.mark.parametrize(
    ("status", "headers", "verdict"),
    [
        (500, {"x-fal-request-id": "1"}, Verdict.RETRY),
        (503, {}, Verdict.RETRY),
        (500, {"x-fal-request-id": "1", "x-fal-needs-retry": "0"}, Verdict.RAISE),
        (400, {}, Verdict.RAISE),
        (401, {}, Verdict.RAISE),
    ],
)
def test_storage_requests_are_retried_after_every_server_error(
    status: int, headers: dict[str, str], verdict: Verdict
) -> None:
    """A second request costs "at worst an orphan file" (protocol 12)."""
    target = MultipartTarget(file_url="https://f", upload_url="https://u", presigned=True)
    for request in (
        storage.cdn_token_request(FAL),
        storage.direct_request(TOKEN, SPEC, _nothing),
        storage.part_request(target, 1, 5, _nothing, None),
        storage.initiate_request(FAL, SPEC, multipart=False),
        download_request("https://f", Progress()),
    ):
        error = error_of(request, HttpResponse(status=status, headers=headers, body=b""))
        assert judge(request, error, sent=True, policy=RetryPolicy()) is verdict


@pytest.mark.parametrize("url", ["https://[::1/a", "http://[", "//[x"])
def test_a_malformed_url_in_a_storage_response_is_a_decode_error(url: str) -> None:
    with pytest.raises(ResponseDecodeError, match="is malformed"):
        storage.at_cdn(url, Hosts())
