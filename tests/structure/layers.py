"""The imports of the package, read from its source, and the rules that they follow (`fal_async/README.md`)."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

PACKAGE = "fal_async"

# The ranks: a module imports only modules of a lower rank. A module that is not named here is a resource.
_RANKS: Mapping[str, int] = {
    "version": 0,
    "errors": 0,
    "checks": 1,
    "models": 1,
    "outputs": 1,
    "records": 1,
    "storage_settings": 1,
    "config": 2,
    "environment": 3,
    "options": 3,
    "protocol": 4,
    "callbacks": 5,
    "closeable": 5,
    "sheltered": 5,
    "single_flight": 5,
    "typegen": 5,
    "auth": 6,
    "transport": 7,
    "cancellation": 8,
    "ledger": 8,
    "keyed": 10,
    "batch": 11,
    "session": 12,
    "integrations": 13,
    "cli": 13,
    "__main__": 14,
    "": 14,  # the package itself: its public names, loaded on first use
}
_RESOURCE, _SESSION, _EDGE = 9, 12, 13
# The ranks of the emulator's files and folders. Those of one rank do not import one another.
_EMULATOR_FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"wire", "defaults", "event_loop"}),
    frozenset({"timing"}),
    frozenset({"accounts", "storage", "faults", "cassettes", "listener", "loop_thread", "network_guard"}),
    frozenset({"jobs"}),
    frozenset({"webhooks", "apps", "builtin"}),
    frozenset({"schemas"}),
    frozenset({"core"}),
    frozenset({"verification", "workflows"}),
    frozenset({"controls", "downtime", "operations", "registration"}),
    frozenset({"operations.mounted", "declared", "recordings", "scopes"}),
    frozenset({"state"}),
    frozenset({"admin"}),
    frozenset({"gateway"}),
    frozenset({"server"}),
    frozenset({"serving", "drift", "markers"}),
    frozenset({"execution", "serve", "pytest_plugin"}),
    frozenset({""}),  # the package itself: its public names, loaded on first use
)
# Modules that may import less than everything of a lower rank.
_ONLY: Mapping[str, frozenset[str]] = {
    "errors": frozenset(),
    "checks": frozenset({"errors"}),
    "models": frozenset({"errors", "outputs"}),
    "outputs": frozenset({"errors", "records"}),
    "records": frozenset(),
    "config": frozenset({"errors", "checks", "models"}),
    "options": frozenset({"errors", "checks", "models", "config", "storage_settings"}),
    "storage_settings": frozenset({"errors"}),
}
_IMPURE = frozenset({"asyncio", "aiohttp", "backoff", "yarl", "os", "time", "random", "socket", "threading"})
_NETWORK = frozenset({"aiohttp", "backoff", "yarl"})
_PLUGIN = "emulator.pytest_plugin"


@attrs.frozen(kw_only=True)
class Edge:
    """One import. `lazy`: within a function; `typing_only`: under TYPE_CHECKING."""

    importer: str
    """The importing module, without the package's name: `protocol.queue`."""
    imported: str
    """The imported module: without the package's name for our own, else the whole name, such as `aiohttp`."""
    own: bool
    names: tuple[str, ...] = ()
    lazy: bool = False
    typing_only: bool = False

    def __str__(self) -> str:
        target = f"{PACKAGE}.{self.imported}".rstrip(".") if self.own else self.imported
        return f"{PACKAGE}.{self.importer}".rstrip(".") + f" imports {target}"


def edges_of(root: Path) -> list[Edge]:
    """Return all imports of the package in the folder `root`."""
    modules = {_name_of(path, root): path for path in sorted(root.rglob("*.py"))}
    return [
        edge
        for name, path in modules.items()
        for edge in _imports(name, path.name == "__init__.py", ast.parse(path.read_text()), set(modules))
    ]


def _name_of(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(module: str, is_package: bool, tree: ast.Module, known: set[str]) -> Iterator[Edge]:
    for node, lazy, typing_only in _walk(tree, False, False):
        for target, names in _targets(module, is_package, node, known):
            own = target == PACKAGE or target.startswith(PACKAGE + ".")
            yield Edge(
                importer=module,
                imported=target[len(PACKAGE) + 1 :] if own else target,
                own=own,
                names=names,
                lazy=lazy,
                typing_only=typing_only,
            )


def _walk(node: ast.AST, lazy: bool, typing_only: bool) -> Iterator[tuple[ast.AST, bool, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, lazy, typing_only
            continue
        in_function = lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for part in child.body:
                yield from _walk(ast.Module([part], []), in_function, True)
            for part in child.orelse:
                yield from _walk(ast.Module([part], []), in_function, typing_only)
            continue
        yield from _walk(child, in_function, typing_only)


def _targets(
    module: str, is_package: bool, node: ast.AST, known: set[str]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name, ()
    elif isinstance(node, ast.ImportFrom):
        base = _absolute(module, is_package, node)
        for alias in node.names:
            # `from fal_async import config` names a module, `from fal_async.config import Hosts` a name of it.
            inner = f"{base}.{alias.name}"
            whole = inner.removeprefix(PACKAGE + ".") in known and inner.startswith(PACKAGE + ".")
            yield (inner, ()) if whole else (base, (alias.name,))


def _absolute(module: str, is_package: bool, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    here = [PACKAGE, *module.split(".")] if module else [PACKAGE]
    up = node.level - 1 if is_package else node.level
    return ".".join([*here[: len(here) - up], *([node.module] if node.module else [])])


def violations(edges: list[Edge]) -> list[str]:
    """Return each broken rule with the import that breaks it.

    Imports for type checkers count as well, because readers follow them too.
    """
    broken = [f"{edge}: {rule}" for edge in edges if (rule := _broken_rule(edge))]
    rings = [f"a cycle of imports: {' -> '.join(ring)}" for ring in cycles(edges)]
    return sorted(set(broken)) + rings


def _broken_rule(edge: Edge) -> str | None:
    importer, imported = _top(edge.importer), _top(edge.imported)
    if importer == "emulator" and edge.importer != _PLUGIN:
        return _broken_by_emulator(edge, imported)
    if not edge.own:
        return _broken_by_foreign(edge, importer, edge.imported.partition(".")[0])
    if importer == imported:
        return None
    if importer in _ONLY and imported not in _ONLY[importer]:
        return f"{importer} may import only {sorted(_ONLY[importer]) or 'nothing'} of ours"
    if imported == "session" and not _is_edge(edge.importer):
        return "only the edges import session"
    if imported == "emulator":
        return None if _is_edge(edge.importer) else "the client does not know the emulator"
    return _broken_by_rank(edge, importer, imported)


def _broken_by_emulator(edge: Edge, imported: str) -> str | None:
    if not edge.own or imported == "version":
        return None
    if imported == "emulator":
        return _broken_by_floor(_part(edge.importer), _part(edge.imported))
    if imported != "config" or edge.names != ("Hosts",):
        return "of the client the emulator imports config's Hosts alone"
    return None if edge.lazy or edge.typing_only else "the emulator imports Hosts lazily"


def _broken_by_floor(importer: str, imported: str) -> str | None:
    if importer == imported:
        return None
    return None if _floor(imported) < _floor(importer) else "imports go downward only"


def _floor(part: str) -> int:
    return next((at for at, parts in enumerate(_EMULATOR_FLOORS) if part in parts), len(_EMULATOR_FLOORS))


def _broken_by_foreign(edge: Edge, importer: str, foreign: str) -> str | None:
    if importer == "protocol" and foreign in _IMPURE:
        return "protocol is pure: now and random numbers are arguments"
    seam = edge.importer == "transport" and foreign in _NETWORK
    # An integration with aiohttp's own server would import it as any other framework.
    elsewhere = importer not in ("transport", "integrations") and not edge.typing_only
    if foreign in _NETWORK and (seam or elsewhere):
        return "only transport, behind its seam, imports aiohttp, backoff and yarl"
    return None


def _broken_by_rank(edge: Edge, importer: str, imported: str) -> str | None:
    upper, lower = _rank(importer), _rank(imported)
    if edge.importer == _PLUGIN:
        return None
    if upper == lower == _RESOURCE:
        return "resources don't import one another"
    if upper == _EDGE and imported == "":
        return None  # an edge may use the public names
    if lower > upper:
        return "imports go downward only"
    return None


def _top(module: str) -> str:
    return module.partition(".")[0]


def _part(module: str) -> str:
    """Return the emulator's file or folder: `wire` of `emulator.wire.answers`."""
    inner = module.partition(".")[2]
    return "operations.mounted" if inner.startswith("operations.mounted") else inner.partition(".")[0]


def _rank(module: str) -> int:
    return _RANKS.get(_top(module), _RESOURCE)


def _is_edge(module: str) -> bool:
    return module == _PLUGIN or _rank(module) > _SESSION


def rooms(edges: list[Edge]) -> list[Edge]:
    """Return the imports between top-level files and folders (in the emulator: between its own)."""
    return [
        attrs.evolve(edge, importer=_room(edge.importer), imported=_room(edge.imported))
        for edge in edges
        if edge.own and edge.importer not in ("", "emulator") and edge.imported not in ("", "emulator")
    ]


def _room(module: str) -> str:
    return f"emulator.{_part(module)}" if module.startswith("emulator.") else _top(module)


def cycles(edges: list[Edge]) -> list[list[str]]:
    """Return the cycles among all imports, including those within functions and for type checkers."""
    graph: dict[str, list[str]] = {}
    for edge in edges:
        if edge.own and edge.importer != edge.imported:
            graph.setdefault(edge.importer, []).append(edge.imported)
    found: list[list[str]] = []
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> None:
        if module in path:
            found.append([*path[path.index(module) :], module])
        elif module not in done:
            for imported in graph.get(module, []):
                visit(imported, [*path, module])
            done.add(module)

    for module in graph:
        visit(module, [])
    return found
