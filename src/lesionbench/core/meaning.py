"""Hashes of what code means: the syntax of a function and of all project code that the function reaches.

Comments, docstrings and type annotations (but those of class fields) do not count. A kept result therefore stays valid
when only these change. A class counts whole, with all its methods. Only `from lesionbench... import` is followed, and
names made at run time are not seen.
"""

import ast
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE, ROOT = __name__.partition(".")[0], Path(__file__).parents[1]
# Fields of a syntax node that mean nothing, or that some versions of Python lack.
IGNORED = {"annotation", "returns", "ctx", "kind", "type_comment", "type_params", "lineno"}


class Module(NamedTuple):
    """The top-level statements of a module, sorted by purpose."""

    definitions: dict[str, list[ast.stmt]]  # name → the top-level statements that bind it
    imports: dict[str, list[str]]  # local name → dotted name of the project's object
    loose: list[ast.stmt]  # statements that bind no name, and blocks; they run at each import


@cache
def of(function: str) -> str:
    """Return the meaning of `function`, such as "lesionbench.hair.find.find_hair", as SHA-256 in hex.

    The hash covers each function, class and constant of this package that the function reaches through names and
    imports, including imports inside functions. A module that is used as a value counts whole.

    Raises:
        ValueError: if there is no such function.
    """
    found: dict[str, Any] = {}
    todo = [function]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        where, attribute = _locate(name)
        module = read(where)
        if name == function and attribute not in module.definitions:
            raise ValueError(f"there is no {function}")
        if attribute in module.imports:
            todo += module.imports[attribute]
        nodes = module.definitions.get(attribute)
        if nodes is None:  # the module itself, or a name in it that no statement binds
            nodes = [each for known in module.definitions.values() for each in known]
        nodes = [*nodes, *module.loose]
        found[name] = [_plain(node) for node in nodes]
        for node in nodes:
            todo += _references(node, where, module)
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def forget() -> None:
    """Read the code anew when it is asked for again."""
    read.cache_clear()
    of.cache_clear()


def _locate(name: str) -> tuple[str, str]:
    """Split a dotted name into its module and the first name inside that ("" for the module itself)."""
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        if _source(".".join(parts[:n])) is not None:
            return ".".join(parts[:n]), parts[n] if n < len(parts) else ""
    raise ValueError(f"there is no {name}")


def _source(module: str) -> Path | None:
    """Return the file of a module of this package, found without importing it; None for other modules."""
    top, *parts = module.split(".")
    files = ROOT.joinpath(*parts, "__init__.py"), ROOT.joinpath(*parts).with_suffix(".py")
    return next((file for file in files if file.is_file()), None) if top == PACKAGE else None


@cache
def read(module: str) -> Module:
    """Parse the module of this package that has the dotted name `module`."""
    path = _source(module)
    assert path is not None
    tree = ast.parse(path.read_text(encoding="utf-8"))
    body = [node for node in tree.body if not _is_for_types(node)]
    definitions: dict[str, list[ast.stmt]] = {}
    loose = []
    for node in body:
        bound = list(_bound(node))
        for name in bound:
            definitions.setdefault(name, []).append(node)
        if not bound and not _is_docstring(node):
            loose.append(node)
    imports: dict[str, list[str]] = {}
    for inner in (each for top in body for each in ast.walk(top)):
        if isinstance(inner, ast.ImportFrom) and f"{inner.module}.".startswith(f"{PACKAGE}."):
            for alias in inner.names:  # two functions may import two things under one name
                imports.setdefault(alias.asname or alias.name, []).append(f"{inner.module}.{alias.name}")
    return Module(definitions, imports, loose)


def _bound(node: ast.stmt) -> Iterator[str]:
    """The names that a top-level statement binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            yield from (each.id for each in ast.walk(target) if isinstance(each, ast.Name))


def _references(node: ast.AST, where: str, module: Module) -> Iterator[str]:
    """Yield the dotted name of each object of this package that `node`, in the module `where`, names."""
    chain, base = [], node
    while isinstance(base, ast.Attribute):
        chain.append(base.attr)
        base = base.value
    if isinstance(base, ast.Name):
        if base.id in module.imports:
            yield from (".".join([imported, *reversed(chain)]) for imported in module.imports[base.id])
        elif base.id in module.definitions:
            yield f"{where}.{base.id}"
        return
    for name, value in ast.iter_fields(node):
        if name not in IGNORED:
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _references(child, where, module)


def _plain(node: Any, in_class: bool = False) -> Any:
    """Turn syntax into plain lists that are equal in all versions of Python."""
    if isinstance(node, list):
        return [_plain(each, in_class) for each in node if not (_is_docstring(each) or _only_annotates(each, in_class))]
    if not isinstance(node, ast.AST):
        return node if isinstance(node, str | int | float | bool | None) else [type(node).__name__, repr(node)]
    if isinstance(node, ast.AnnAssign) and not in_class:
        node = ast.Assign([node.target], node.value)  # type: ignore[arg-type]
    # In a class, an annotation makes a field of a dataclass or of a pydantic model.
    ignored = IGNORED - {"annotation"} if isinstance(node, ast.AnnAssign) else IGNORED
    fields = [(name, value) for name, value in ast.iter_fields(node) if name not in ignored]
    return [
        type(node).__name__,
        *([name, _plain(value, isinstance(node, ast.ClassDef))] for name, value in fields if value not in (None, [])),
    ]


def _is_docstring(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _only_annotates(node: Any, in_class: bool) -> bool:
    return isinstance(node, ast.AnnAssign) and node.value is None and not in_class


def _is_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
