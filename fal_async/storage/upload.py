"""Upload one file by route C, or by route A or B if C failed before anything was stored (protocol 7.1, 7.3)."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import attrs

from fal_async.config import RetryPolicy, Settings
from fal_async.errors import (
    ApiError,
    AuthenticationError,
    FalError,
    PermissionDeniedError,
    ResponseDecodeError,
    TransportError,
    UploadError,
)
from fal_async.protocol.http import HttpRequest, HttpResponse
from fal_async.protocol.storage import uploads as storage
from fal_async.protocol.storage.multipart import MultipartTarget, SentPart, UploadRecord, plan_parts
from fal_async.protocol.storage.uploads import CdnToken, FileSpec
from fal_async.storage.cdn import Cdn
from fal_async.storage.concurrency import gather_first_error
from fal_async.storage.file_body import Body, Meter, digest_of
from fal_async.storage.resume_store import ResumeStore
from fal_async.storage.sources import Source
from fal_async.transport import Transport

logger: logging.Logger = logging.getLogger("fal_async")
_MORE_ATTEMPTS = 4
"""More attempts than the policy's, for HTTP requests with a file's bytes: one lost part fails the whole upload."""
_FAILURES = (ApiError, TransportError, ResponseDecodeError)
"""Errors of one route, after which the other route is tried."""
_REFUSED = (AuthenticationError, PermissionDeniedError)
T = TypeVar("T")


@attrs.frozen(kw_only=True)
class UploadPlan:
    """The arguments of one upload."""

    source: Source
    spec: FileSpec
    multipart_above: int
    part_size: int
    parallel: int
    resume_store: ResumeStore | None
    meter: Meter


class Uploader:
    def __init__(self, transport: Transport, settings: Settings, cdn: Cdn) -> None:
        self._transport, self._settings, self._cdn = transport, settings, cdn

    async def upload(self, plan: UploadPlan) -> str:
        """Upload the file and return its URL.

        Raises UploadError, whose `__cause__` is the first failure, or an ApiError if fal refuses the API key.
        """
        if plan.spec.size > plan.multipart_above:
            return await self._in_parts(plan)
        return await self._first_that_works(
            plan.spec, lambda: self._direct(plan), lambda: self._presigned(plan)
        )

    # Files that are sent in one HTTP request.

    async def _direct(self, plan: UploadPlan) -> str:
        body = _whole(plan)
        with _reading(body):
            response = await self._cdn.send(
                lambda token: storage.direct_request(token, plan.spec, body), retry=self._retry_policy
            )
        await plan.source.check_unchanged()
        return storage.parse_access_url(response)

    async def _presigned(self, plan: UploadPlan) -> str:
        target = await self._initiate(plan.spec, multipart=False)
        body = _whole(plan)
        with _reading(body):
            request = storage.put_request(target, plan.spec, body)
            await self._transport.send(request, retry=self._retry_policy)
        await plan.source.check_unchanged()
        return target.file_url

    async def _initiate(self, spec: FileSpec, *, multipart: bool) -> MultipartTarget:
        request = storage.initiate_request(self._settings.hosts, spec, multipart=multipart)
        return storage.parse_initiate(await self._transport.send(request))

    async def _first_that_works(
        self, spec: FileSpec, first: Callable[[], Awaitable[T]], second: Callable[[], Awaitable[T]]
    ) -> T:
        """Run `first`, and `second` if `first` fails (protocol 7.3). If both fail, the error contains both causes.

        A direct upload whose response was lost may leave an unused copy at fal, with an unknown URL (protocol 12).
        """
        try:
            return await first()
        except _FAILURES as error:
            if error.from_caller:
                raise
            cause = error
        logger.info("upload of %s: %s; trying a presigned URL", spec.file_name, cause)
        try:
            return await second()
        except _FAILURES as error:
            if error.from_caller:
                raise
            if isinstance(cause, _REFUSED) and type(error) is type(cause):
                raise cause from None  # both routes refused the API key
            raise UploadError(
                f"{spec.file_name} could not be uploaded: {cause}; then with a presigned URL: {error}",
                causes=(cause, error),
                retryable=cause.retryable or error.retryable,
            ) from cause

    # Multipart uploads.

    async def _in_parts(self, plan: UploadPlan) -> str:
        record = await self._resumable(plan)
        if record is not None:
            try:
                return await self._finish(plan, record)
            except UploadError as error:
                if not _is_gone(record.target, error.__cause__):
                    raise
            logger.info("upload of %s: fal no longer has its parts; starting again", plan.spec.file_name)
        return await self._finish(plan, await self._begin(plan))

    async def _resumable(self, plan: UploadPlan) -> UploadRecord | None:
        """Return the record of an interrupted upload of the same file, or None."""
        record = None if plan.resume_store is None else await plan.resume_store.load()
        if record is None:
            return None
        spec = plan.spec
        target = record.target
        # A forged record must not send the token or the file to another host, or give its URL to the caller.
        same = all(storage.is_cdn(url, self._cdn.hosts) for url in (target.upload_url, target.file_url))
        same = same and record.fits(spec.size, spec.content_type, spec.file_name, spec.lifecycle)
        if same and await _has_same_content(plan.source, record):
            return record
        logger.warning(
            "upload of %s: the resume record belongs to another file; starting again", spec.file_name
        )
        return None

    async def _begin(self, plan: UploadPlan) -> UploadRecord:
        spec = plan.spec
        target = await self._first_that_works(
            spec, lambda: self._cdn_target(spec), lambda: self._initiate(spec, multipart=True)
        )
        record = UploadRecord(
            target=target,
            plan=plan_parts(spec.size, plan.part_size),
            content_type=spec.content_type,
            file_name=spec.file_name,
            lifecycle=spec.lifecycle,
        )
        if plan.resume_store is not None:
            await plan.resume_store.begin(record)
        return record

    async def _cdn_target(self, spec: FileSpec) -> MultipartTarget:
        response = await self._cdn.send(lambda token: storage.multipart_request(token, spec))
        return storage.parse_multipart(response, self._cdn.hosts)

    async def _finish(self, plan: UploadPlan, record: UploadRecord) -> str:
        done = sum(record.plan.span(number)[1] for number in record.parts)
        plan.meter.begin_at(done)
        missing = [number for number in range(1, record.plan.count + 1) if number not in record.parts]
        await gather_first_error(
            lambda number: self._part(plan, record, number), missing, at_a_time=plan.parallel
        )
        await plan.source.check_unchanged()
        await self._complete(plan, record)
        if plan.resume_store is not None:
            await plan.resume_store.clear()
        return record.target.file_url

    async def _part(self, plan: UploadPlan, record: UploadRecord, number: int) -> None:
        offset, length = record.plan.span(number)
        body = Body(plan.source, offset, length, plan.meter, hashed=plan.resume_store is not None)
        try:
            with _reading(body):
                response = await self._send_to(
                    record.target,
                    lambda token: storage.part_request(record.target, number, length, body, token),
                )
            part = SentPart(number=number, etag=storage.parse_etag(response), digest=body.digest)
        except FalError as error:
            if error.from_caller:
                raise
            raise _failed_part(plan, record, number, error) from error
        record.parts[number] = part
        if plan.resume_store is not None:
            await plan.resume_store.note(part)

    async def _complete(self, plan: UploadPlan, record: UploadRecord) -> None:
        """Complete the upload.

        If the response is lost, the retry may fail although the file is stored (protocol 12); so this is checked.
        """
        try:
            await self._send_to(
                record.target, lambda token: storage.complete_request(record.target, record.parts, token)
            )
        except _FAILURES as error:
            if error.from_caller:
                raise
            if not await self._is_stored(record):
                raise UploadError(
                    f"{plan.spec.file_name}: all parts were sent, but the upload could not be completed: {error}",
                    causes=(error,),
                    retryable=error.retryable,
                ) from error

    async def _is_stored(self, record: UploadRecord) -> bool:
        with_token = storage.is_cdn(record.target.file_url, self._cdn.hosts)
        try:
            token = await self._cdn.token() if with_token else None
            answer = await self._transport.send(storage.probe_request(record.target.file_url, token))
        except _FAILURES:
            return False
        return answer.headers.get("content-length") == str(record.plan.size)

    async def _send_to(
        self, target: MultipartTarget, request_with: Callable[[CdnToken | None], HttpRequest]
    ) -> HttpResponse:
        if target.presigned:
            return await self._transport.send(request_with(None), retry=self._retry_policy)
        return await self._cdn.send(request_with, retry=self._retry_policy)

    @property
    def _retry_policy(self) -> RetryPolicy:
        policy = self._settings.retry
        more = _MORE_ATTEMPTS if policy.max_attempts > 1 else 0
        return attrs.evolve(policy, max_attempts=policy.max_attempts + more)


@contextlib.contextmanager
def _reading(body: Body) -> Iterator[None]:
    try:
        yield
    except TransportError:
        body.check()
        raise


def _whole(plan: UploadPlan) -> Body:
    plan.meter.begin_at(0)
    return Body(plan.source, 0, plan.spec.size, plan.meter)


def _is_gone(target: MultipartTarget, cause: BaseException | None) -> bool:
    """Return whether the upload can't be continued because fal has deleted it, or its presigned URL has expired.

    S3-compatible stores answer 403 to an expired URL, other stores 400. A refused token does not count, because a
    new upload would be refused too.
    """
    gone = (400, 401, 403, 404, 410) if target.presigned else (404,)
    return isinstance(cause, ApiError) and cause.status in gone


async def _has_same_content(source: Source, record: UploadRecord) -> bool:
    for number, part in record.parts.items():
        if await digest_of(source, *record.plan.span(number)) != part.digest:
            return False
    return True


def _failed_part(plan: UploadPlan, record: UploadRecord, number: int, error: FalError) -> UploadError:
    return UploadError(
        f"{plan.spec.file_name}: part {number} of {record.plan.count}: {error}",
        part=number,
        causes=(error,),
        retryable=error.retryable,
    )
