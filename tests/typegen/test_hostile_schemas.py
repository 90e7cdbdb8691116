"""Schemas with hostile or strange texts: they never become code, and every module can be imported and used."""

from __future__ import annotations

import ast
import keyword
import sys
import types
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fal_async.protocol.structure import check_output_type
from fal_async.typegen.identifiers import RESERVED
from fal_async.typegen.module_text import module_text
from fal_async.typegen.styles import STYLES
from tests.typegen.documents import endpoint_schema
from tests.typegen.shapes import SHAPES

HOSTILE = [
    '"""\nimport os; os.system("x")\n"""',
    "'''\n__import__('os')\n'''",
    '"); import os  #',
    "\\",
    '\\"""',
    '"',
    "]\nimport os\nx: Literal[",
    "{__import__('os')}",
    "\x00\r\n\t\x0c\u2028\u2029\x85",
    "\ud800",
    "\u202e",
    "None",
]
ODD_NAMES = sorted(
    {*keyword.kwlist, *keyword.softkwlist, *dir(pydantic.BaseModel), *dir(msgspec.Struct), *RESERVED}
    | {"mro", "_", "__", "__x", "1a", "a-b", "a.b", "é", "\ufb01", "ª", "shapes", "Model", "model"}
)
CALLS = frozenset(
    {
        *(
            "Endpoint",
            "TypedDict",
            "attrs.field",
            "attrs.frozen",
            "dataclasses.field",
            "dataclasses.dataclass",
        ),
        *("msgspec.field", "msgspec.Meta", "pydantic.Field", "pydantic.ConfigDict"),
    }
)
texts = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=20))
names = st.one_of(st.sampled_from([*ODD_NAMES, *HOSTILE]), st.text(max_size=8), st.sampled_from("abc"))
values = st.one_of(texts, st.integers(), st.floats(), st.booleans(), st.none(), st.lists(st.integers()))
limits = st.dictionaries(
    st.sampled_from(
        ["minimum", "exclusiveMinimum", "maximum", "multipleOf", "minLength", "maxItems", "pattern"]
    ),
    st.one_of(st.integers(-3, 3), st.floats(), texts, st.integers(2**62, 2**65), st.booleans()),
    max_size=2,
)
words = st.fixed_dictionaries({}, optional={"title": names, "description": texts, "default": values})


def described(schema: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda about, one, limited: {**about, **one, **limited}, words, schema, limits)


leaves: st.SearchStrategy[dict[str, Any]] = described(
    st.one_of(
        st.sampled_from(["string", "integer", "number", "boolean", "null", "object", "array", "odd"]).map(
            lambda kind: {"type": kind}
        ),
        st.lists(values, min_size=1, max_size=3).map(lambda options: {"enum": options}),
        values.map(lambda value: {"const": value}),
        st.sampled_from(["A", "B", "missing"]).map(lambda name: {"$ref": f"#/$defs/{name}"}),
        st.just({}),
    )
)


def objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    properties = st.dictionaries(names, inner, min_size=1, max_size=4)
    return st.builds(
        lambda found, number, about: {
            **about,
            "type": "object",
            "properties": found,
            "required": list(found)[:number],
        },
        properties,
        st.integers(0, 4),
        words,
    )


def larger(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    several = st.lists(inner, min_size=1, max_size=3)
    return described(
        st.one_of(
            objects(inner),
            inner.map(lambda one: {"type": "array", "items": one}),
            inner.map(lambda one: {"type": "object", "additionalProperties": one}),
            st.builds(
                lambda word, found: {word: found}, st.sampled_from(["anyOf", "oneOf", "allOf"]), several
            ),
            several.map(lambda found: {"type": "array", "prefixItems": found, "maxItems": len(found)}),
        )
    )


schemas = st.recursive(leaves, larger, max_leaves=8)
documents = st.builds(
    lambda root, a, b: {**root, "$defs": {"A": a, "B": b}}, objects(schemas), objects(schemas), schemas
)


def module_of(style: str, document: Any, endpoint_id: str = "fal-ai/flux/dev") -> str:
    schema = endpoint_schema(endpoint_id, document, document)
    return module_text([schema], style=style, command="fal-async types")


@contextmanager
def imported(text: str) -> Iterator[types.ModuleType]:
    module = types.ModuleType("hostile_shapes")
    sys.modules[module.__name__] = module
    try:
        exec(compile(text, "hostile_shapes.py", "exec"), module.__dict__)
        yield module
    finally:
        del sys.modules[module.__name__]


def unexpected(text: str) -> list[str]:
    """Return each part of a module that is not a declaration of types."""
    tree = ast.parse(text)
    nodes = list(ast.walk(tree))
    defined = {node.name for node in nodes if isinstance(node, ast.ClassDef)} | RESERVED
    defined |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    statements = [
        *tree.body,
        *(part for node in nodes if isinstance(node, ast.ClassDef) for part in node.body),
    ]
    wrong: list[ast.AST] = [node for node in statements if not is_declaration(node)]
    wrong += [node for node in nodes if not isinstance(node, ast.stmt) and not is_harmless(node, defined)]
    return [ast.unparse(node) for node in wrong]


def is_harmless(node: ast.AST, defined: AbstractSet[str]) -> bool:
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) in CALLS
    if isinstance(node, ast.Attribute):
        return ast.unparse(node.value) in STYLE_MODULES
    if isinstance(node, ast.Name):
        return node.id in defined
    return not isinstance(node, ast.JoinedStr | ast.Lambda | ast.Await | ast.NamedExpr | ast.comprehension)


STYLE_MODULES = {style.module for style in STYLES.values()}


def is_declaration(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names} <= STYLE_MODULES
    if isinstance(node, ast.ImportFrom):
        return node.module in ("__future__", "typing", "fal_async")
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    if isinstance(node, ast.Assign):
        return isinstance(node.value, ast.Call)
    return isinstance(node, ast.ClassDef | ast.AnnAssign | ast.Pass)


@pytest.mark.parametrize("style", STYLES)
@example(document=SHAPES[8].input)
@example(
    document={
        "properties": {text: {"type": "string", "description": text, "title": text} for text in HOSTILE}
    }
)
@example(document={"properties": {name: {"type": "string", "default": name} for name in ODD_NAMES}})
@example(document={"properties": {"a": {"enum": HOSTILE, "default": HOSTILE}}, "title": HOSTILE[0]})
@given(document=documents)
@settings(max_examples=40, deadline=None)
def test_texts_of_a_schema_never_become_code_and_every_module_can_be_used(style: str, document: Any) -> None:
    text = module_of(style, document)
    assert unexpected(text) == []
    assert "\ud800" not in text
    assert text.isprintable() or all(char.isprintable() or char == "\n" for char in text)
    assert module_of(style, document) == text
    with imported(text) as module:
        check_output_type(module.flux_dev.output)
        if style == "pydantic":  # as the request body of a FastAPI service
            module.flux_dev.input.model_json_schema()


def test_the_check_finds_code_that_a_schema_has_brought_in() -> None:
    assert unexpected("import os") == ["import os"]
    assert unexpected("class A:\n    x: int = __import__('os')") == ["__import__('os')", "__import__"]
    assert unexpected('"""text"""\nprint()') == ["print()", "print()", "print"]
