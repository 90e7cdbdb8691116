"""Names in Python: of classes, of variables, and of fields whose name in JSON is not an identifier."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Collection

from fal_async.protocol.endpoint import EndpointId

RESERVED = frozenset(
    {
        *(
            "Annotated",
            "Any",
            "Endpoint",
            "FileInput",
            "Literal",
            "NotRequired",
            "Null",
            "TypeAlias",
            "TypedDict",
        ),
        *("attrs", "dataclasses", "msgspec", "pydantic", "annotations", "mro", "self"),
        *("bool", "dict", "float", "int", "list", "str", "tuple"),
    }
)
"""Names in the annotations of a module, whose meaning a field or class of this name would change."""


def words_joined(text: str) -> str:
    """Return words in any form as one: `LoraWeight` for `lora_weight`; "" without letters and digits of ASCII."""
    return "".join(word[:1].upper() + word[1:] for word in re.findall("[A-Za-z0-9]+", text))


def class_name(text: str) -> str:
    """Return words in any form as the name of a class; "" without letters and digits of ASCII."""
    name = words_joined(text)
    return f"Model{name}" if name[:1].isdigit() else name


def endpoint_name(endpoint_id: str) -> str:
    """Return the name of an endpoint for its classes: `FluxDev` for `fal-ai/flux/dev`."""
    endpoint = EndpointId.parse(endpoint_id)
    return class_name(f"{endpoint.alias}/{endpoint.path}") or class_name(endpoint_id)


def variable_name(endpoint_id: str) -> str:
    """Return the name of the variable for an endpoint: `flux_dev` for `fal-ai/flux/dev`."""
    endpoint = EndpointId.parse(endpoint_id)
    return field_name(f"{endpoint.alias}/{endpoint.path}".strip("/").lower(), RESERVED)


def field_name(name: str, taken: Collection[str]) -> str:
    """Return an identifier for a name in JSON: the name itself if possible."""
    found = name
    if not is_plain(name):
        found = re.sub("[^A-Za-z0-9]+", "_", unicodedata.normalize("NFKC", name)).strip("_")
        found = f"field_{found}" if not found or found[0].isdigit() else found
    while keyword.iskeyword(found) or found in taken:
        found += "_"
    return found


def is_plain(name: str) -> bool:
    """Return whether a field can have this name, in which Python changes nothing.

    Python converts names to Unicode's form NFKC. Leading underscores have a meaning in most styles.
    """
    is_same = unicodedata.normalize("NFKC", name) == name
    return name.isidentifier() and is_same and not name.startswith("_")
