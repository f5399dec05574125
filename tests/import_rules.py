"""The import rule of docs/architecture.md, checked by reading the source, not by running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "hvmlite"

# A room may import rooms of a smaller number only; rooms of one number do not know each other.
# "" is hvmlite/__init__.py, the public face.
ORDER = {
    "errors": 0,
    "values": 0,
    "blobs": 1,
    "wire": 1,
    "spec": 2,
    "model": 2,
    "images": 3,
    "disks": 3,
    "guest": 3,
    "devices": 3,
    "protocols": 4,
    "engines": 4,
    "boot": 5,
    "peers": 5,
    "audit": 6,
    "trace": 6,
    "matrix": 6,
    "universal": 6,
    "": 7,
    "cli": 8,
    "__main__": 9,
}
# An engine runs a plan from anywhere; a protocol must serve somebody else's VMM.
NEVER = {("engines", "images"), ("engines", "protocols"), ("protocols", "images")}
# One file per member, and no member knows another.
PLURAL = {"images", "disks", "protocols", "engines", "devices", "peers"}


def violations(package: Path) -> list[str]:
    """Everything in the package that breaks a rule, as ``file:line: what``, sorted.

    :param package: the folder ``src/hvmlite``, or one that looks like it.
    """
    found = []
    for path in sorted(package.rglob("*.py")):
        module = _module(path.relative_to(package))
        tree = ast.parse(path.read_text(), str(path))
        where = path.relative_to(package)
        for line, target in _imports(tree, module, path.name == "__init__.py", package):
            complaint = _import_complaint(module, target)
            if complaint:
                found.append(f"{where}:{line}: {complaint}")
        found += [f"{where}:{line}: {text}" for line, text in _edge_complaints(tree, module)]
    return found


def _module(path: Path) -> tuple[str, ...]:
    parts = path.with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def _imports(
    tree: ast.Module, module: tuple[str, ...], is_package: bool, package: Path
) -> Iterator[tuple[int, tuple[str, ...]]]:
    # Wherever the import stands: at the top, inside a function, under TYPE_CHECKING, in a call.
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _inside(node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = (node.module or "").split(".") if node.module else []
            if node.level:
                keep = len(module) - node.level + (1 if is_package else 0)
                base = [PACKAGE, *module[:keep], *base]
            for alias in node.names:
                full = [*base, alias.name]
                # `from hvmlite.model import Image` means the room, `import cpu` the module in it.
                target = full if _is_module(package, full[1:]) else base
                yield from _inside(node.lineno, ".".join(target))
        elif isinstance(node, ast.Call) and _called(node.func) in ("import_module", "__import__"):
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield from _inside(node.lineno, argument.value)


def _inside(line: int, name: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    first, *rest = name.split(".")
    if first == PACKAGE:
        yield line, tuple(rest)


def _is_module(package: Path, parts: list[str]) -> bool:
    if len(parts) == 1 and parts[0] in ORDER:
        return True
    path = package.joinpath(*parts)
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def _import_complaint(module: tuple[str, ...], target: tuple[str, ...]) -> str | None:
    importer, imported = _room(module), _room(target)
    for room in (importer, imported):
        if room not in ORDER:
            return f"room {room!r} has no place in the order of rooms"
    if importer != imported:
        pair = f"{importer or PACKAGE} imports {imported or PACKAGE}"
        if (importer, imported) in NEVER:
            return f"{pair}, which it never may"
        if ORDER[imported] >= ORDER[importer]:
            return f"{pair}, which does not come before it"
        return None
    if importer not in PLURAL or len(module) == 1:
        return None  # one idea in several files; or the registry, which knows its members
    if len(target) == 1:
        return f"member {module[1]} of {importer} imports its own room's registry"
    if target[1] != module[1] and not target[1].startswith("_"):
        return f"member {module[1]} of {importer} imports member {target[1]}"
    return None


def _room(module: tuple[str, ...]) -> str:
    return module[0] if module else ""


def _called(func: ast.expr) -> str:
    if isinstance(func, ast.Attribute):
        return func.attr
    return func.id if isinstance(func, ast.Name) else ""


def _edge_complaints(tree: ast.Module, module: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    room = _room(module)
    at_the_edge = room in ("cli", "__main__")
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=[ast.alias(name="struct")]) | ast.ImportFrom(module="struct"):
                if room != "wire":
                    yield node.lineno, "struct is imported outside wire"
            case ast.Attribute(value=ast.Name(id="sys"), attr="exit") if not at_the_edge:
                yield node.lineno, "sys.exit outside cli"
            case ast.Name(id="print" | "SystemExit" as name) if not at_the_edge:
                yield node.lineno, f"{name} outside cli"
