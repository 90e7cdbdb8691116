"""What differs between two modules with types, as lines for people."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from fal_async.errors import one_line
from fal_async.records import JSON_NAME

Facts = dict[str, str]
"""What a module says about a class, a field, a choice or an endpoint."""

_MAX_TEXT = 80
"""Number of characters of a type or a default in a line."""
_UNREADABLE = "it is not a module that this command has made"


def differences(before: str, after: str) -> list[str]:
    """Return a line for each difference between two modules of `module_text`; [] without any.

    How the modules are formatted makes no difference, and neither do their first docstrings.
    """
    try:
        old, new = dict(_facts(ast.parse(before))), dict(_facts(ast.parse(after)))
    except (SyntaxError, ValueError, RecursionError):
        return [_UNREADABLE]
    lines = [
        f"{name}: {line}"
        for name in dict.fromkeys([*old, *new])
        # The fields of a class that is new or gone are not listed.
        if "." not in name or {name.partition(".")[0]} <= old.keys() & new.keys()
        for line in _changes(old.get(name), new.get(name))
    ]
    return lines if lines or list(old) == list(new) else ["the order of classes and fields"]


def _changes(old: Facts | None, new: Facts | None) -> Iterator[str]:
    if old is None or new is None:
        kind = "" if new is None or "type" not in new else f" ({_short(new['type'])}, {new['presence']})"
        yield "removed" if new is None else f"added{kind}"
        return
    for fact, now in new.items():
        was = old.get(fact, "")
        if was == now:
            continue
        if fact == "presence":
            yield f"now {now}"
        elif fact == "values":
            yield from _changed_values(was.split("\n"), now.split("\n"))
        elif fact in ("description", "definition"):
            yield fact
        else:
            yield f"{fact} {_short(was) or '(none)'} -> {_short(now) or '(none)'}"


def _changed_values(was: list[str], now: list[str]) -> Iterator[str]:
    gone, come = [each for each in was if each not in now], [each for each in now if each not in was]
    if gone:
        yield f"no longer {_short(', '.join(gone))}"
    if come:
        yield f"now also {_short(', '.join(come))}"
    if not gone and not come:
        yield "order of its values"


def _short(text: str) -> str:
    return one_line(text, _MAX_TEXT)


def _facts(module: ast.Module) -> Iterator[tuple[str, Facts]]:
    for statement, words in _documented(module.body):
        name = _target(statement)
        if isinstance(statement, ast.ClassDef):
            head = [ast.unparse(each) for each in [*statement.decorator_list, *statement.keywords]]
            about = _words(_text(statement.body))
            yield statement.name, {"definition": ", ".join(head), "description": about}
            for part, about in _documented(statement.body):
                if isinstance(part, ast.AnnAssign):
                    yield f"{statement.name}.{_json_name(part)}", _field(part.annotation, part.value, about)
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            yield name, {"values": "\n".join(_values(statement.value)), "description": _words(words)}
        elif isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
            yield from _call(name, statement.value)


def _call(name: str, call: ast.Call) -> Iterator[tuple[str, Facts]]:
    """Yield the facts of an `Endpoint`, or of the keys of a TypedDict that are not identifiers."""
    keys = call.args[1] if len(call.args) > 1 else None
    if not isinstance(keys, ast.Dict):
        yield name, {"definition": ast.unparse(call)}
        return
    owner = name.removeprefix("_").removesuffix("Keys")
    for key, kind in zip(keys.keys, keys.values, strict=True):
        if isinstance(key, ast.Constant) and isinstance(kind, ast.Constant):
            annotation = ast.parse(str(kind.value), mode="eval").body
            yield f"{owner}.{key.value!s}", _field(annotation, None, "")


def _documented(body: list[ast.stmt]) -> Iterator[tuple[ast.stmt, str]]:
    """Yield each statement with the docstring after it."""
    for at, statement in enumerate(body):
        yield statement, _text(body[at + 1 :])


def _text(body: list[ast.stmt]) -> str:
    """Return the docstring that is the first of these statements; "" without one."""
    value = body[0].value if body and isinstance(body[0], ast.Expr) else None
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""


def _target(statement: ast.stmt) -> str:
    target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
    return target.id if isinstance(target, ast.Name) else ""


def _json_name(field: ast.AnnAssign) -> str:
    """Return the name in JSON that the call on the right side has, or the name of the field."""
    given = field.value.keywords if isinstance(field.value, ast.Call) else []
    for each in given:
        value = each.value
        if each.arg == "metadata" and isinstance(value, ast.Dict):
            names = [key.value for key in value.keys if isinstance(key, ast.Constant)]
            value = value.values[0] if names == [JSON_NAME] else value
        if each.arg in ("metadata", "name", "validation_alias") and isinstance(value, ast.Constant):
            return str(value.value)
    return _target(field)


def _field(annotation: ast.expr, value: ast.expr | None, about: str) -> Facts:
    default = value
    if isinstance(value, ast.Call):
        default = next((each.value for each in value.keywords if each.arg == "default"), None)
    presence = "required" if default is None else "optional" if ast.unparse(default) == "None" else "constant"
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "NotRequired":
        annotation, presence = annotation.slice, "optional"
    elif presence == "optional" and isinstance(annotation, ast.BinOp):
        annotation = annotation.left  # without `| None`
    words, fals_default = _split(_words(about).removesuffix(" Deprecated."), "fal's default: ")
    words, allowed = _split(words, "Allowed: ")
    return {
        "type": ast.unparse(_Unlimited().visit(annotation)),
        "presence": presence,
        "fal's default": fals_default,
        "allowed": allowed,
        "description": words + " Deprecated." * about.rstrip().endswith("Deprecated."),
    }


class _Unlimited(ast.NodeTransformer):
    """Removes the limits from types, because the docstring has them, too."""

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        is_limited = ast.unparse(node.value) == "Annotated" and isinstance(node.slice, ast.Tuple)
        return node.slice.elts[0] if is_limited and isinstance(node.slice, ast.Tuple) else node


def _split(words: str, mark: str) -> tuple[str, str]:
    """Return the words before the last mark, and those after it, which are "" without the mark."""
    before, found, after = words.rpartition(mark)
    return (before.rstrip(), after.removesuffix(".")) if found else (words, "")


def _values(choice: ast.expr) -> list[str]:
    inner = choice.slice if isinstance(choice, ast.Subscript) else choice
    return [ast.unparse(each) for each in (inner.elts if isinstance(inner, ast.Tuple) else [inner])]


def _words(text: str) -> str:
    return " ".join(text.split())
