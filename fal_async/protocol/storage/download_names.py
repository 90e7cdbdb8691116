"""Names of downloaded files, and the check that a file's content is of the expected type."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import unquote, unquote_to_bytes, urlsplit

import attrs

from fal_async.errors import ConfigurationError, DownloadError
from fal_async.outputs.output_files import FileNames, OutputFile
from fal_async.protocol.origins import host_of
from fal_async.protocol.storage.media import (
    OCTETS,
    content_type_by_content,
    content_type_by_name,
    guess_content_type,
    has_ending,
    local_name,
    suffix_for,
)

_EXTENDED = r"(?i)filename\*\s*=\s*([\w-]*)'[^']*'([^;\s]+)"
_QUOTED = r'(?i)filename\s*=\s*"((?:[^"\\]|\\.)*)"'
_TOKEN = r"(?i)filename\s*=\s*([^;\s\"]+)"
_PAGES = ("text/html", "application/xhtml+xml")
_MAY_BE_A_PAGE = frozenset({*_PAGES, "text/plain", OCTETS})


@attrs.frozen(kw_only=True)
class Arrived:
    """A downloaded file: its URL, the headers of its response, and its first bytes."""

    url: str
    headers: Mapping[str, str]
    head: bytes
    said: OutputFile | None = None
    """The file in the model's output; None without one."""


def disposition_name(header: str) -> str:
    """Return the file name of a Content-Disposition header (RFC 6266), `filename*` first; "" without one."""
    if found := re.search(_EXTENDED, header):
        try:
            return unquote_to_bytes(found[2]).decode(found[1] or "utf-8", "replace")
        except (LookupError, ValueError):  # an unknown charset, or a codec that is not for text
            return unquote(found[2])
    if found := re.search(_QUOTED, header):
        return re.sub(r"\\(.)", r"\1", found[1])
    found = re.search(_TOKEN, header)
    return found[1] if found else ""


def download_name(arrived: Arrived) -> str:
    """Return a safe file name: the one in the output, else in the header, else the last part of the URL's path.

    A name without a suffix gets that of the content. A wrong suffix of an image is corrected.
    """
    suggested = arrived.said.file_name if arrived.said else None
    said = disposition_name(arrived.headers.get("content-disposition", ""))
    name = local_name(suggested or said or _end_of(arrived.url))
    if not has_ending(name):
        return name + _ending_of(arrived)
    seen, named = guess_content_type(name, arrived.head), content_type_by_name(name) or ""
    if seen.startswith("image/") and seen != named and named.startswith(("image/", "video/", "audio/")):
        return name.rpartition(".")[0] + suffix_for(seen)
    return name


def _end_of(url: str) -> str:
    return "" if url[:5].lower() == "data:" else unquote(urlsplit(url).path)


def _ending_of(arrived: Arrived) -> str:
    """Return the suffix for the content, such as `.png`; "" if its type is unknown.

    The type of an image is found by its first bytes, other types by the server's headers, if they have one.
    """
    seen = content_type_by_content(arrived.head) or ""
    declared = (arrived.said.content_type if arrived.said else None) or ""
    kinds = [arrived.headers.get("content-type", ""), declared, seen]
    kinds = [seen, *kinds] if seen.startswith("image/") else kinds
    return next((suffix for kind in kinds if (suffix := suffix_for(kind))), "")


def check_is_no_page(arrived: Arrived, name: str | None = None) -> None:
    """Raise DownloadError if HTML (an error or login page), JSON or XML arrived for a file of another type.

    The expected type is that in the output, or that of a suffix: of `name`, of the name in the output, or of the
    URL.
    """
    said = arrived.said
    types = [said.content_type if said else None]
    types += [
        content_type_by_name(text or "") for text in (name, said and said.file_name, _end_of(arrived.url))
    ]
    expected = next(
        (plain_type(kind) for kind in types if kind and plain_type(kind) not in _MAY_BE_A_PAGE), ""
    )
    page = _page_instead_of(expected, arrived) if expected else None
    if page is not None:
        raise DownloadError(f"{host_of(arrived.url)} sent {page} instead of {expected}")


def _page_instead_of(expected: str, arrived: Arrived) -> str | None:
    if content_type_by_content(arrived.head) is not None:
        return None
    begins = arrived.head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    says = plain_type(arrived.headers.get("content-type", ""))
    if says in _PAGES or begins.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if not expected.startswith(("image/", "video/", "audio/")) or expected.endswith("xml"):
        return None
    if says.endswith("xml") and begins.startswith((b"<?xml", b"<error")):
        return "XML"  # object stores send their errors as XML
    return "JSON" if says.endswith("json") and begins.startswith((b"{", b"[")) else None


def plain_type(content_type: str) -> str:
    """Return a content type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


# The caller's arguments.


def check_files(files: Iterable[object]) -> list[OutputFile]:
    """Return the files as a list. Raise ConfigurationError for anything else, such as a list of URLs."""
    if isinstance(files, str | bytes) or not isinstance(files, Iterable):
        raise ConfigurationError(
            f"files is of type {type(files).__name__}: expected a list of OutputFile, such as result.files()"
        )
    found: list[OutputFile] = []
    for file in files:
        if not isinstance(file, OutputFile):
            raise ConfigurationError(f"files has a {type(file).__name__}: expected OutputFile(url=...)")
        if not isinstance(file.url, str) or not isinstance(file.file_name, str | None):
            raise ConfigurationError("files has an OutputFile whose url or file_name is not a str")
        found.append(file)
    return found


def chosen_names(names: FileNames | None, files: Sequence[OutputFile]) -> list[str]:
    """Return the name template of each file. Raise ConfigurationError if `names` is invalid."""
    if names is None:
        return [_AS_THE_SERVER_SAYS] * len(files)
    if isinstance(names, str):
        return [_checked(names)] * len(files)
    if not callable(names):
        raise ConfigurationError(
            f"names is of type {type(names).__name__}: expected a template or a function"
        )
    return [_literal(names(file, number)) for number, file in enumerate(files)]


_AS_THE_SERVER_SAYS = "{name}{ext}"


def _checked(template: str) -> str:
    try:
        template.format(n=0, name="", ext="")
    except (LookupError, ValueError, AttributeError, TypeError) as error:
        raise ConfigurationError(
            f"names={template!r}: {_KNOWN}, such as '{{name}}-{{n:03d}}{{ext}}'"
        ) from error
    if not template or "/" in template or "\\" in template:
        raise ConfigurationError(f"names={template!r}: expected a file name, not a path")
    return template


_KNOWN = "expected only {n}, {name} and {ext} in braces"


def _literal(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise ConfigurationError(
            f"names returned a {type(name).__name__}: expected a file name, a non-empty str"
        )
    return name.replace("{", "{{").replace("}", "}}")


def final_name(template: str, number: int, arrived: Arrived) -> str:
    """Return a safe file name from a template. `number`: the file's position. A missing suffix is added."""
    given = download_name(arrived)
    stem = given.rpartition(".")[0] if has_ending(given) else given
    ending = given[len(stem) :]
    name = local_name(template.format(n=number, name=stem, ext=ending))
    return name if has_ending(name) else name + ending
