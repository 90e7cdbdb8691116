"""The requests of an upload and their responses, on all three routes (protocol 7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import attrs

from fal_async.checks import check_kind
from fal_async.config import Hosts
from fal_async.errors import ResponseDecodeError, Secret
from fal_async.protocol.fields import http_seconds, iso_seconds
from fal_async.protocol.http import JSON_TYPE, BodyFactory, HttpRequest, HttpResponse, Operation
from fal_async.protocol.json_input import encode_json
from fal_async.protocol.options import JSON_HEADERS
from fal_async.protocol.origins import origin_of, without_query
from fal_async.protocol.storage.media import header_name
from fal_async.protocol.storage.multipart import MultipartTarget, SentPart
from fal_async.storage_settings import StorageSettings

STORAGE_TYPE = "fal-cdn-v3"
LIFECYCLE_HEADERS = ("X-Fal-Object-Lifecycle", "X-Fal-Object-Lifecycle-Preference")
"""Both are sent, because fal's documents and clients differ in the name (protocol 7.4)."""


@attrs.frozen(kw_only=True)
class FileSpec:
    """The properties of a file that fal gets before or with its content."""

    size: int
    content_type: str
    file_name: str
    lifecycle: str | None = None
    """The value of the lifecycle headers; None: they are not sent."""


@attrs.frozen(kw_only=True)
class CdnToken:
    """A token for uploads to the CDN (protocol 7.1 C). `good_until`: seconds of this machine's monotonic clock."""

    authorization: str = attrs.field(repr=False)
    base_url: str
    good_until: float


def lifecycle_text(settings: StorageSettings | None) -> str | None:
    """Return the lifecycle headers' value; None without settings. Raise ConfigurationError for other types."""
    check_kind("lifecycle", settings, kind=StorageSettings, or_none=True)
    return settings.header() if settings is not None and settings.to_wire() else None


# Route C: a token, then the CDN.


def cdn_token_request(hosts: Hosts) -> HttpRequest:
    url = f"{hosts.rest}/storage/auth/token?storage_type={STORAGE_TYPE}"
    return HttpRequest(
        operation=Operation.TOKEN, harmless=True, method="POST", url=url, headers=JSON_HEADERS, body=b"{}"
    )


def parse_cdn_token(response: HttpResponse, hosts: Hosts, *, now: float, monotonic: float) -> CdnToken:
    """Parse a CDN token.

    `expires_at` is compared with the Date header, or with `now` (Unix seconds) without one. The token is used until
    a minute before it expires, or for half of its lifetime if that is shorter than two minutes.
    """
    document = json_object(response)
    authorization = f"{document.get('token_type') or 'Bearer'} {text_field(document, 'token')}"
    if not (authorization.isascii() and authorization.isprintable()):
        raise ResponseDecodeError(
            "the CDN token contains characters not allowed in a header", paths=["$.token"]
        )
    expires_at = iso_seconds(document.get("expires_at"))
    # If `expires_at` can't be read, the token is used once.
    life = 0.0 if expires_at is None else max(0.0, expires_at - _date(response.headers, now))
    base_url = document.get("base_url")
    at_home = isinstance(base_url, str) and is_cdn(base_url, hosts)
    return CdnToken(
        authorization=Secret(authorization),
        base_url=str(base_url).rstrip("/") if at_home else hosts.cdn,
        good_until=monotonic + max(life - 60.0, life / 2),
    )


def direct_request(token: CdnToken, spec: FileSpec, body: BodyFactory) -> HttpRequest:
    return HttpRequest(
        operation=Operation.UPLOAD,
        harmless=True,
        method="POST",
        url=f"{token.base_url}/files/upload",
        headers={**_cdn_headers(token, spec), "Content-Length": str(spec.size)},
        body=body,
        auth=False,
    )


def multipart_request(token: CdnToken, spec: FileSpec) -> HttpRequest:
    return HttpRequest(
        operation=Operation.UPLOAD,
        harmless=True,
        method="POST",
        url=f"{token.base_url}/files/upload/multipart",
        headers=_cdn_headers(token, spec),
        body=b"",
        auth=False,
    )


def _cdn_headers(token: CdnToken, spec: FileSpec) -> dict[str, str]:
    return {
        "Authorization": token.authorization,
        "Content-Type": spec.content_type,
        "X-Fal-File-Name": header_name(spec.file_name),
        "Accept": JSON_TYPE,
        **_lifecycle_headers(spec),
    }


def parse_access_url(response: HttpResponse) -> str:
    return text_field(json_object(response), "access_url")


def parse_multipart(response: HttpResponse, hosts: Hosts) -> MultipartTarget:
    document = json_object(response)
    url, upload_id = text_field(document, "access_url"), text_field(document, "uploadId")
    base = f"{at_cdn(url, hosts)}/multipart/{quote(upload_id, safe='')}"
    return MultipartTarget(file_url=url, upload_url=base, presigned=False)


# Routes A and B: presigned URLs.


def initiate_request(hosts: Hosts, spec: FileSpec, *, multipart: bool) -> HttpRequest:
    how = "initiate-multipart" if multipart else "initiate"
    return HttpRequest(
        operation=Operation.TOKEN,
        harmless=True,
        method="POST",
        url=f"{hosts.rest}/storage/upload/{how}?storage_type={STORAGE_TYPE}",
        headers={**JSON_HEADERS, **_lifecycle_headers(spec)},
        body=encode_json({"file_name": spec.file_name, "content_type": spec.content_type}),
    )


def parse_initiate(response: HttpResponse) -> MultipartTarget:
    document = json_object(response)
    return MultipartTarget(
        file_url=text_field(document, "file_url"),
        upload_url=text_field(document, "upload_url"),
        presigned=True,
    )


def put_request(target: MultipartTarget, spec: FileSpec, body: BodyFactory) -> HttpRequest:
    """Return the upload request of route A, which has "no Authorization" (protocol 7.1)."""
    return HttpRequest(
        operation=Operation.UPLOAD,
        harmless=True,
        method="PUT",
        url=target.upload_url,
        headers={"Content-Type": spec.content_type, "Content-Length": str(spec.size)},
        body=body,
        auth=False,
    )


# Parts, on both routes.


def part_request(
    target: MultipartTarget, number: int, length: int, body: BodyFactory, token: CdnToken | None
) -> HttpRequest:
    """Return the request for a part. Without `Accept-Encoding: identity` "the ETag may vanish" (protocol 7.1)."""
    return HttpRequest(
        operation=Operation.UPLOAD,
        harmless=True,
        method="PUT",
        url=target.url(number),
        headers={
            **_authorization(token),
            "Content-Type": "application/octet-stream",
            "Content-Length": str(length),
            "Accept-Encoding": "identity",
        },
        body=body,
        auth=False,
    )


def parse_etag(response: HttpResponse) -> str:
    """Return a part's ETag, from the header, else from the body's `etag` (protocol 14, no. 21)."""
    if etag := response.headers.get("etag"):
        return etag
    try:
        return text_field(json_object(response), "etag")
    except ResponseDecodeError as error:
        raise ResponseDecodeError("the response to a part has no ETag", retryable=True) from error


def complete_request(
    target: MultipartTarget, parts: Mapping[int, SentPart], token: CdnToken | None
) -> HttpRequest:
    """Return the request that completes an upload. Servers may rely on the order of the parts (protocol 7.2)."""
    listed = [{"partNumber": number, "etag": parts[number].etag} for number in sorted(parts)]
    return HttpRequest(
        operation=Operation.UPLOAD,
        harmless=True,
        method="POST",
        url=target.url("complete"),
        headers={**_authorization(token), **JSON_HEADERS},
        body=encode_json({"parts": listed}),
        auth=False,
    )


def probe_request(url: str, token: CdnToken | None) -> HttpRequest:
    """Return a request that checks whether a file exists."""
    headers = {**_authorization(token), "Accept-Encoding": "identity"}
    return HttpRequest(
        operation=Operation.UPLOAD, harmless=True, method="HEAD", url=url, headers=headers, auth=False
    )


# Which hosts may get the CDN's token.


def is_cdn(url: str, hosts: Hosts) -> bool:
    """Return whether a URL is on the session's CDN. fal's CDN has several hosts; a gateway has only its own."""
    origin, home = origin_of(url), origin_of(hosts.cdn)
    return origin is not None and (origin == home or (_is_fals_cdn(home) and _is_fals_cdn(origin)))


def _is_fals_cdn(origin: str | None) -> bool:
    host = (origin or "").removeprefix("https://")
    return bool(origin) and host != origin and (host == "fal.media" or host.endswith(".fal.media"))


def at_cdn(url: str, hosts: Hosts) -> str:
    """Return a URL from a response if its host may get the token; else the same path on the session's CDN."""
    if is_cdn(url, hosts):
        return url
    try:
        return f"{hosts.cdn}{urlsplit(url).path}"
    except ValueError as error:  # a malformed IPv6 address
        raise ResponseDecodeError(f"the URL {without_query(url)} in a response is malformed") from error


# Parsing.


def _authorization(token: CdnToken | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": token.authorization}


def _lifecycle_headers(spec: FileSpec) -> dict[str, str]:
    return {} if spec.lifecycle is None else dict.fromkeys(LIFECYCLE_HEADERS, spec.lifecycle)


def json_object(response: HttpResponse) -> dict[str, Any]:
    """Return the body. Raise ResponseDecodeError if it is not a JSON object."""
    document = response.json()
    if not isinstance(document, dict):
        raise ResponseDecodeError("the response of fal's storage is not a JSON object", paths=["$"])
    return document


def text_field(document: Mapping[str, Any], name: str) -> str:
    """Return a field. Raise ResponseDecodeError if it is not a non-empty str that UTF-8 can encode."""
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise ResponseDecodeError(
            f"required field missing @ $.{name} in the response of fal's storage", paths=[f"$.{name}"]
        )
    if any("\ud800" <= c <= "\udfff" for c in value):
        raise ResponseDecodeError(
            f"lone surrogate @ $.{name} in the response of fal's storage", paths=[f"$.{name}"]
        )
    return value


def _date(headers: Mapping[str, str], now: float) -> float:
    """Return the server's time in Unix seconds.

    If it is within 2 s of this machine's, that one is returned, because the header has only whole seconds.
    """
    date = http_seconds(headers.get("date", ""))
    return now if date is None or abs(now - date) < 2.0 else date + 1.0
