"""The styles of a module, as data: how each writes a class and a field, and what it can't express."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from fal_async.records import JSON_NAME
from fal_async.typegen.layout import string


def _by_metadata(name: str) -> list[str]:
    return [f"metadata={{{string(JSON_NAME)}: {string(name)}}}"]


def _by_name(name: str) -> list[str]:
    return [f"name={string(name)}"]


def _by_alias(name: str) -> list[str]:
    # Not `alias`, by which type checkers would rename the parameter, too.
    return [f"validation_alias={string(name)}", f"serialization_alias={string(name)}"]


@attrs.frozen(kw_only=True)
class Style:
    """One style.

    Attributes:
        module: the module that it imports, which is `typing` for TypedDicts.
        base: the base class, and its arguments.
        decorator: the line above a class; "" without.
        field: the function that describes a field beyond its type and default.
        renamed: its arguments for a name in JSON.
        limits: the function that describes limits within `Annotated`. None: limits stand in docstrings only.
        reserved: names of fields that have another meaning in this style.
        is_mapping: whether instances are dicts: None is sent as null, and keys need not be identifiers.
        has_tags: whether classes of a union must be told apart by the value of a field.
        joined: of these kinds of JSON, a union has one member at most; otherwise the members become a wider type.
    """

    module: str
    base: tuple[str, ...] = ()
    decorator: str = ""
    field: str = ""
    renamed: Callable[[str], list[str]] = _by_metadata
    limits: str | None = None
    reserved: frozenset[str] = frozenset()
    is_mapping: bool = False
    has_tags: bool = False
    joined: frozenset[str] = frozenset()


STYLES: Mapping[str, Style] = {
    "attrs": Style(
        module="attrs",
        decorator="@attrs.frozen(kw_only=True)",
        field="attrs.field",
        joined=frozenset({"record"}),
    ),
    "dataclass": Style(
        module="dataclasses",
        decorator="@dataclasses.dataclass(frozen=True, kw_only=True)",
        field="dataclasses.field",
        joined=frozenset({"record"}),
    ),
    "typeddict": Style(module="typing", base=("TypedDict",), is_mapping=True),
    "pydantic": Style(
        module="pydantic",
        base=("_Model",),
        field="pydantic.Field",
        renamed=_by_alias,
        limits="pydantic.Field",
        reserved=frozenset(
            {
                *(
                    "construct",
                    "copy",
                    "dict",
                    "from_orm",
                    "json",
                    "parse_file",
                    "parse_obj",
                    "parse_raw",
                    "schema",
                ),
                *("schema_json", "update_forward_refs", "validate", "model_computed_fields", "model_config"),
                *(
                    "model_construct",
                    "model_copy",
                    "model_dump",
                    "model_dump_json",
                    "model_extra",
                    "model_fields",
                ),
                *("model_fields_set", "model_json_schema", "model_parametrized_name", "model_post_init"),
                *("model_rebuild", "model_validate", "model_validate_json", "model_validate_strings"),
            }
        ),
    ),
    "msgspec": Style(
        module="msgspec",
        base=("msgspec.Struct", "frozen=True", "kw_only=True"),
        field="msgspec.field",
        renamed=_by_name,
        limits="msgspec.Meta",
        has_tags=True,
        joined=frozenset({"object", "array", "str", "int"}),
    ),
}
"""All styles by name; the first one is the default."""

PYDANTIC_BASE = (
    "",
    "",
    "class _Model(pydantic.BaseModel):",
    "    model_config = pydantic.ConfigDict(",
    "        frozen=True,",
    "        populate_by_name=True,",
    "        protected_namespaces=(),",
    "        use_attribute_docstrings=True,",
    "    )",
)
"""The base of the pydantic style: it also accepts the names in Python, and keeps docstrings as descriptions."""
