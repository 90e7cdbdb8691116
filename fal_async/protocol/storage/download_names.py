"""What a downloaded file is called, and whether it is what its name says."""

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
    """What is known of a file that is here: its answer's headers and its first bytes."""

    url: str
    headers: Mapping[str, str]
    head: bytes
    said: OutputFile | None = None
    """What the output says of it."""


def disposition_name(header: str) -> str:
    """The file name of a Content-Disposition header (RFC 6266), `filename*` first; empty without one."""
    if found := re.search(_EXTENDED, header):
        try:
            return unquote_to_bytes(found[2]).decode(found[1] or "utf-8", "replace")
        except (LookupError, ValueError):  # no such charset, or one that is none of texts
            return unquote(found[2])
    if found := re.search(_QUOTED, header):
        return re.sub(r"\\(.)", r"\1", found[1])
    found = re.search(_TOKEN, header)
    return found[1] if found else ""


def download_name(arrived: Arrived) -> str:
    """As the output says, as the header says, or as the URL ends; always safe.

    A name without an ending gets that of the content. A picture's wrong ending is replaced by the right one.
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
    """Pictures are told by their first bytes; of films and sounds the server knows more."""
    seen = content_type_by_content(arrived.head) or ""
    declared = (arrived.said.content_type if arrived.said else None) or ""
    kinds = [arrived.headers.get("content-type", ""), declared, seen]
    kinds = [seen, *kinds] if seen.startswith("image/") else kinds
    return next((suffix for kind in kinds if (suffix := suffix_for(kind))), "")


def check_is_no_page(arrived: Arrived, name: str | None = None) -> None:
    """DownloadError where a page of HTML (an error, a login), JSON or XML arrived for a file of another type.

    That type is known by the output, or by an ending: of `name`, of the output's name, of the URL.
    """
    said = arrived.said
    types = [said.content_type if said else None]
    types += [
        content_type_by_name(text or "") for text in (name, said and said.file_name, _end_of(arrived.url))
    ]
    expected = next(
        (plain_type(kind) for kind in types if kind and plain_type(kind) not in _MAY_BE_A_PAGE), ""
    )
    came = _words_in_place_of(expected, arrived) if expected else None
    if came is not None:
        raise DownloadError(f"{host_of(arrived.url)} sent {came} in place of {expected}")


def _words_in_place_of(expected: str, arrived: Arrived) -> str | None:
    if content_type_by_content(arrived.head) is not None:
        return None
    begins = arrived.head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    says = plain_type(arrived.headers.get("content-type", ""))
    if says in _PAGES or begins.startswith((b"<!doctype html", b"<html")):
        return "a page of HTML"
    if not expected.startswith(("image/", "video/", "audio/")) or expected.endswith("xml"):
        return None
    if says.endswith("xml") and begins.startswith((b"<?xml", b"<error")):
        return "XML"  # as the errors of buckets are
    return "JSON" if says.endswith("json") and begins.startswith((b"{", b"[")) else None


def plain_type(content_type: str) -> str:
    """Without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


# What the caller gives.


def check_files(files: Iterable[object]) -> list[OutputFile]:
    """ConfigurationError for what is no list of files, such as one of URLs."""
    if isinstance(files, str | bytes) or not isinstance(files, Iterable):
        raise ConfigurationError(f"files is a {type(files).__name__}: expected what result.files() gives")
    found: list[OutputFile] = []
    for file in files:
        if not isinstance(file, OutputFile):
            raise ConfigurationError(f"a file is a {type(file).__name__}: expected an OutputFile(url=...)")
        if not isinstance(file.url, str) or not isinstance(file.file_name, str | None):
            raise ConfigurationError("an OutputFile is to be fetched whose url or file_name is no str")
        found.append(file)
    return found


def chosen_names(names: FileNames | None, files: Sequence[OutputFile]) -> list[str]:
    """For each file the template of its name. ConfigurationError for what is none."""
    if names is None:
        return [_AS_THE_SERVER_SAYS] * len(files)
    if isinstance(names, str):
        return [_checked(names)] * len(files)
    if not callable(names):
        raise ConfigurationError(f"names is a {type(names).__name__}: expected a template or a function")
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
        raise ConfigurationError(f"names={template!r}: expected the name of a file, not a path")
    return template


_KNOWN = "expected {n}, {name} and {ext} in braces only"


def _literal(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"names gives {type(name).__name__}: expected the name of a file")
    return name.replace("{", "{{").replace("}", "}}")


def final_name(template: str, number: int, arrived: Arrived) -> str:
    """Always safe; a name without an ending gets that of the file."""
    given = download_name(arrived)
    stem = given.rpartition(".")[0] if has_ending(given) else given
    ending = given[len(stem) :]
    name = local_name(template.format(n=number, name=stem, ext=ending))
    return name if has_ending(name) else name + ending
