"""One call of each operation, and all that its caller sees: two calls without a fault look the same."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import aiohttp
import attrs

from fal_async.emulator import Emulator, RealtimeOptions
from tests.emulator.caller import Caller

_CHANGES = re.compile(
    rb'(upload/gcs/|presigned/|Signature=|identity=|files/b/|"(?:\w*token|uploadId|kid|x)":")[\w.-]+'
    rb"|()(?:[0-9a-f]{8}-[0-9a-f-]{27}|\d{4}-\d\d-\d\dT[\d:.+]+|127\.0\.0\.1:\d+|\d+\.[\de-]+)"
)
"""What differs between two calls: tokens, names and ids; times, ports and seconds."""
_REFRESH = "refresh"
_TYPES = {"storage_type": "fal-cdn-v3"}
_FORM = {"file_name": "cat.bin", "content_type": "application/x-cat"}


@attrs.frozen
class Seen:
    """What a caller saw: status and body, or the frames, and the seconds that it took."""

    parts: tuple[Any, ...]
    seconds: float = attrs.field(eq=False)


def prepare(emulator: Emulator) -> None:
    """Add the models that the calls need. The answer of one has fields for every kind of fault to change."""
    emulator.add_login(_REFRESH)

    @emulator.endpoint("me/model", runners=20, realtime=RealtimeOptions(codec="json"))
    async def model(input: Any) -> Any:
        urls = dict.fromkeys(("status_url", "response_url", "cancel_url"), "https://queue.fal.run/me/model")
        return {"name": "cat", "status": "fine", "logs": [{"message": "x"}], **urls}

    @emulator.endpoint("me/words", runners=20)
    async def words(_: Any) -> AsyncIterator[Any]:
        for number in range(2):
            yield {"name": "cat", "number": number}

    @emulator.endpoint("me/wait", runners=20)
    async def wait(_: Any) -> Any:
        await asyncio.sleep(0.3)

    @emulator.endpoint("me/endless", runners=20)
    async def endless(_: Any) -> Any:
        await asyncio.Event().wait()


async def look(caller: Caller, operation: str) -> list[Seen]:
    """Call an operation in all its ways at the same time, and return what the callers see."""
    return await asyncio.gather(*(_looked(way(caller)) for way in WAYS[operation]))


async def _looked(call: Awaitable[tuple[Any, ...]]) -> Seen:
    began = time.perf_counter()
    parts = await call
    return Seen(tuple(_constant(part) for part in parts), time.perf_counter() - began)


def _constant(part: Any) -> Any:
    return _CHANGES.sub(rb"\1#", part) if isinstance(part, bytes) else part


def asking(method: str, path: str, **options: Any) -> Callable[[Caller], Awaitable[tuple[Any, ...]]]:
    async def call(caller: Caller) -> tuple[Any, ...]:
        return await _asked(caller, method, path, **options)

    return call


async def _asked(caller: Caller, method: str, path: str, **options: Any) -> tuple[Any, ...]:
    """Return status, type, the body as far as it arrived, and the error that ended it."""
    url = path if "://" in path else caller.emulator.url + path
    options.setdefault("headers", caller.with_headers())
    seen: list[Any] = []
    # A new connection, since aiohttp repeats a request when a reused connection breaks.
    async with aiohttp.ClientSession() as http:
        try:
            async with http.request(method, url, allow_redirects=False, **options) as response:
                seen += [response.status, response.headers.get("Content-Type"), b""]
                async for piece in response.content.iter_any():
                    seen[2] += piece
        except aiohttp.ClientError as error:
            seen.append(type(error).__name__)
    return tuple(seen)


async def _frames(caller: Caller, path: str, headers: Mapping[str, str]) -> tuple[Any, ...]:
    """Send two messages, and return what comes back."""
    seen: list[Any] = []
    async with aiohttp.ClientSession() as http:
        try:
            async with http.ws_connect(caller.emulator.url + path, headers=headers) as socket:
                for _ in range(2):
                    await socket.send_json({"name": "cat"})
                while (message := await socket.receive(0.4)).type.name in ("TEXT", "BINARY"):
                    data = message.data
                    seen.append(data.encode() if isinstance(data, str) else data)
                seen.append((message.type.name, socket.close_code, message.extra))
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            seen.append(type(error).__name__)
    return tuple(seen)


async def _status(caller: Caller) -> tuple[Any, ...]:
    submitted = await caller.submit("fal-ai/any-llm", {"prompt": "x"})
    await caller.reached(submitted, "COMPLETED")
    return await _asked(caller, "GET", submitted.data["status_url"] + "?logs=1")


async def _status_stream(caller: Caller) -> tuple[Any, ...]:
    submitted = await caller.submit("me/wait")
    return await _asked(caller, "GET", submitted.data["status_url"] + "/stream?logs=1")


async def _result(caller: Caller) -> tuple[Any, ...]:
    submitted = await caller.submit("me/model")
    await caller.reached(submitted, "COMPLETED")
    return await _asked(caller, "GET", submitted.data["response_url"])


async def _cancel(caller: Caller) -> tuple[Any, ...]:
    submitted = await caller.submit("me/endless")
    return await _asked(caller, "PUT", submitted.data["cancel_url"])


async def _realtime(caller: Caller) -> tuple[Any, ...]:
    return await _frames(caller, "/fal.run/me/model/realtime", caller.with_headers())


async def _whole_over_websocket(caller: Caller) -> tuple[Any, ...]:
    return await _frames(caller, "/ws.fal.run/me/model", caller.with_headers())


async def _stream_over_websocket(caller: Caller) -> tuple[Any, ...]:
    return await _frames(caller, "/ws.fal.run/me/words/stream", caller.with_headers())


# Storage.


async def _cdn_token(caller: Caller) -> dict[str, str]:
    granted = await caller.call("POST", "/rest.fal.ai/storage/auth/token", params=_TYPES, json={})
    return {"Authorization": f"Bearer {granted.data['token']}", "X-Fal-File-Name": "cat.bin"}


async def _stored(caller: Caller) -> str:
    headers = await _cdn_token(caller)
    sent = await caller.call("POST", "/v3.fal.media/files/upload", data=b"meow" * 8, headers=headers)
    url: str = sent.data["access_url"]
    return url


async def _file(caller: Caller) -> tuple[Any, ...]:
    return await _asked(caller, "GET", await _stored(caller))


async def _upload(caller: Caller) -> tuple[Any, ...]:
    headers = await _cdn_token(caller)
    return await _asked(caller, "POST", "/v3.fal.media/files/upload", data=b"meow", headers=headers)


async def _multipart(caller: Caller) -> tuple[Any, ...]:
    headers = await _cdn_token(caller)
    return await _asked(caller, "POST", "/v3.fal.media/files/upload/multipart", headers=headers)


async def _begun(caller: Caller) -> tuple[str, dict[str, str]]:
    headers = await _cdn_token(caller)
    begun = await caller.call("POST", "/v3.fal.media/files/upload/multipart", headers=headers)
    return f"{begun.data['access_url']}/multipart/{begun.data['uploadId']}", headers


async def _presigned(caller: Caller) -> str:
    path = "/rest.fal.ai/storage/upload/initiate-multipart"
    url: str = (await caller.call("POST", path, params=_TYPES, json=_FORM)).data["upload_url"]
    return url


async def _part(caller: Caller) -> tuple[Any, ...]:
    path, _, query = (await _presigned(caller)).partition("?")
    return await _asked(caller, "PUT", f"{path}/1?{query}", data=b"meow", headers={})


async def _complete(caller: Caller) -> tuple[Any, ...]:
    url, headers = await _begun(caller)
    etag = (
        await caller.call("PUT", f"{url}/1", data=b"meow", headers={**headers, "Accept-Encoding": "identity"})
    ).headers["ETag"]
    parts = {"parts": [{"partNumber": 1, "etag": etag}]}
    return await _asked(caller, "POST", f"{url}/complete", json=parts, headers=headers)


async def _gcs(caller: Caller) -> str:
    path = "/rest.fal.ai/storage/upload/initiate-multipart"
    begun = await caller.call("POST", path, params={"storage_type": "gcs"}, json=_FORM)
    url: str = begun.data["upload_url"]
    return url


async def _gcs_part(caller: Caller) -> tuple[Any, ...]:
    return await _asked(caller, "POST", f"{await _gcs(caller)}/1")


async def _gcs_complete(caller: Caller) -> tuple[Any, ...]:
    url = await _gcs(caller)
    put = (await caller.call("POST", f"{url}/1")).data["upload_url"]
    etag = (await caller.call("PUT", put, data=b"meow", headers={})).data["etag"]
    parts = {"parts": [{"part_number": 1, "etag": etag}]}
    return await _asked(caller, "POST", f"{url}/complete", json=parts)


async def _cdn_sign(caller: Caller) -> tuple[Any, ...]:
    url = await _stored(caller)
    return await _asked(caller, "POST", f"{url}/sign", headers=await _cdn_token(caller))


async def _kv(caller: Caller) -> tuple[Any, ...]:
    return await _asked(caller, "GET", "/kv.fal.media/get/db/name", headers=await _cdn_token(caller))


_EVENTS = {"Accept": "text/event-stream"}
_APPS = {"allowed_apps": ["model"]}


async def _plain_as_stream(caller: Caller) -> tuple[Any, ...]:
    """Call a model that does not stream, and accept events."""
    return await _asked(
        caller, "POST", "/fal.run/me/model", json={}, headers={**caller.with_headers(), **_EVENTS}
    )


WAYS: Mapping[str, tuple[Callable[[Caller], Awaitable[tuple[Any, ...]]], ...]] = {
    "run": (asking("POST", "/fal.run/me/model", json={}),),
    "submit": (asking("POST", "/queue.fal.run/me/model", json={}),),
    "status": (_status,),
    "status_stream": (_status_stream,),
    "result": (_result,),
    "cancel": (_cancel,),
    "file": (_file,),
    "platform": (asking("GET", "/api.fal.ai/v1/models"),),
    "rest": (asking("GET", "/rest.fal.ai/users/current"),),
    "token": (
        asking(
            "POST",
            "/auth.fal.ai/oauth/token",
            json={"grant_type": "refresh_token", "refresh_token": _REFRESH},
            headers={},
        ),
    ),
    "kv": (_kv,),
    "wma": (asking("POST", "/wma.fal.run/ice", json={"app_id": "me/model"}),),
    "openapi": (asking("GET", "/fal.ai/api/openapi/queue/openapi.json?endpoint_id=me/model", headers={}),),
    "stream": (asking("POST", "/fal.run/me/words/stream", json={}), _plain_as_stream),
    "realtime": (_realtime,),
    "realtime_token": (asking("POST", "/rest.fal.ai/tokens/realtime", json=_APPS),),
    "websocket": (_whole_over_websocket, _stream_over_websocket),
    "cdn_token": (asking("POST", "/rest.fal.ai/storage/auth/token", params=_TYPES, json={}),),
    "initiate": (asking("POST", "/rest.fal.ai/storage/upload/initiate", params=_TYPES, json=_FORM),),
    "upload": (_upload,),
    "multipart": (_multipart,),
    "part": (_part,),
    "complete": (_complete,),
    "gcs_part": (_gcs_part,),
    "gcs_complete": (_gcs_complete,),
    "cdn_sign": (_cdn_sign,),
    "storage": (asking("GET", "/api.fal.ai/v1/storage/settings"),),
    "key_set": (asking("GET", "/rest.fal.ai/.well-known/jwks.json", headers={}),),
}
"""Each operation with the ways in which it can be called."""
