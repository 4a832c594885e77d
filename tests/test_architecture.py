"""The house: imports go down the floors only, and every room is kept in order."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import chemomech

PACKAGE = Path(chemomech.__file__).resolve().parent

# From the ground up; names on one line are one floor, whose rooms may know each other.
FLOORS = """
errors typing drawing
frozen
units expressions
parallel versions
materials
case
defects
microstructure
meshing
physics
solvers
analysis
output
state
summary
result
simulation
adapt
driver
sweep report maps
cli_maps
cli
__main__
"""
LEVEL = {name: level for level, line in enumerate(FLOORS.split("\n")) for name in line.split()}

# Floors that know only a few rooms of one below them.
NARROW = {
    ("solvers", "physics"): {"chemomech.physics.equations"},
    ("state", "solvers"): {"chemomech.solvers.timestep"},
    ("output", "meshing"): {"chemomech.meshing.arrays"},
}
FORBIDDEN = [("physics", "meshing.generate"), ("output", "physics"), ("output", "solvers"), ("analysis", "solvers")]

FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = [str(path.relative_to(PACKAGE)) for path in FILES]
everywhere = pytest.mark.parametrize("path", FILES, ids=NAMES)


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def floor(module: str) -> str:
    """``chemomech.output.fields`` stands on the floor ``output``; the package itself knows everybody, lazily."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "chemomech"


def module_of(path: Path) -> str:
    parts = ["chemomech", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Modules of the package that a file imports, those for type checking left out."""
    skip: set[ast.AST] = set()
    content = tree(path)
    for node in ast.walk(content):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            skip.update(inner for statement in node.body for inner in ast.walk(statement))
        if node in skip:
            continue
        if isinstance(node, ast.Import):
            yield from ((name.name, node.lineno) for name in node.names if name.name.split(".")[0] == "chemomech")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            if node.module and node.module.split(".")[0] == "chemomech":
                for name in node.names:
                    below = PACKAGE.joinpath(*node.module.split(".")[1:], name.name)
                    is_module = below.is_dir() or below.with_suffix(".py").is_file()
                    yield (f"{node.module}.{name.name}" if is_module else node.module), node.lineno


def test_every_file_has_a_floor() -> None:
    assert {floor(module_of(path)) for path in FILES} - {"chemomech"} == set(LEVEL)


@everywhere
def test_imports_go_down(path: Path) -> None:
    me = module_of(path)
    if floor(me) == "chemomech":
        return
    for other, line in imports(path):
        here, there = floor(me), floor(other)
        assert there != "chemomech", f"{me}:{line} imports the package itself"
        assert LEVEL[there] <= LEVEL[here], f"{me}:{line} ({here}) imports {other} from a floor above"
        allowed = NARROW.get((here, there))
        assert allowed is None or other in allowed, f"{me}:{line} may know only {allowed}, not {other}"
        for who, what in FORBIDDEN:
            assert not (here == who and other.startswith(f"chemomech.{what}")), f"{me}:{line} imports {other}"


@everywhere
def test_no_circles(path: Path) -> None:
    """Not within a floor either: what a file imports at its top never leads back to it."""
    graph = {module_of(p): {m for m, _ in top_level(p)} for p in FILES}
    start = module_of(path)
    seen: set[str] = set()
    queue = list(graph.get(start, ()))
    while queue:
        module = queue.pop()
        assert module != start, f"{start} imports itself by way of others"
        if module not in seen:
            seen.add(module)
            queue += graph.get(module, ())


def top_level(path: Path) -> Iterator[tuple[str, int]]:
    outermost = {node.lineno for node in tree(path).body if isinstance(node, ast.Import | ast.ImportFrom)}
    yield from ((module, line) for module, line in imports(path) if line in outermost)


@everywhere
def test_the_world_is_named_only_at_the_top(path: Path) -> None:
    """``COMM_WORLD`` belongs to the command line; elsewhere it may only be what an argument is by default."""
    content = tree(path)
    defaults = {
        inner
        for node in ast.walk(content)
        if isinstance(node, ast.FunctionDef)
        for default in [*node.args.defaults, *node.args.kw_defaults]
        if default is not None
        for inner in ast.walk(default)
    }
    if path.name in ("cli.py", "__main__.py"):
        return
    for node in ast.walk(content):
        if isinstance(node, ast.Attribute) and node.attr == "COMM_WORLD":
            assert node in defaults, f"{path.name}:{node.lineno}"
        elif isinstance(node, ast.ImportFrom):
            assert "COMM_WORLD" not in [name.name for name in node.names], f"{path.name}:{node.lineno}"


@everywhere
def test_files_are_short(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= 500, f"{lines} lines: make it a folder of the same name"


@everywhere
def test_what_is_public_is_explained(path: Path) -> None:
    def visit(node: ast.AST, name: str, inside_function: bool) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                if any(ast.unparse(d).endswith("overload") for d in child.decorator_list):
                    continue
                inner = isinstance(child, ast.FunctionDef)
                if not child.name.startswith("_") and not inside_function and ast.get_docstring(child) is None:
                    yield f"{name}.{child.name}"
                if not child.name.startswith("_"):
                    yield from visit(child, f"{name}.{child.name}", inside_function or inner)

    content = tree(path)
    assert ast.get_docstring(content), "the file does not say what it is for"
    assert not list(visit(content, module_of(path), False))


@everywhere
def test_no_bare_assert(path: Path) -> None:
    """An assert vanishes with ``python -O`` and tells a user nothing."""
    assert not [node.lineno for node in ast.walk(tree(path)) if isinstance(node, ast.Assert)]


def test_names_of_the_package() -> None:
    assert set(chemomech.__all__) == {*chemomech._HOME, "__version__"}
    for name in chemomech.__all__:
        assert getattr(chemomech, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = chemomech.nothing
