"""Limits of the code's structure: imports, and the sizes of classes and functions."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
INTEGRATION = "custom_components.zaptec"

# The modules and folders of the integration, from the lowest row up. Each may import only
# from lower rows and from its own folder. Modules that are not listed are above all rows:
# the platforms, the flows and other modules that Home Assistant calls.
ROWS = (
    ("api",),
    ("authorization", "codes", "const"),
    (
        "access_store",
        "backoff",
        "listeners",
        "moments",
        "object_ids",
        "outages",
        "persons",
        "plausibility",
        "round_robin",
        "web_hook_settings",
    ),
    ("permitted_sessions", "state"),
    ("sources", "control", "coordinator", "devices", "energy_store", "history"),
    ("runtime",),
    ("entity",),
)

CLASS_MAX = 350
FUNCTION_MAX = 60
# The client may be larger, because it has a method for each endpoint.
LONG_CLASSES = {"ZaptecClient"}


def _name(file: Path) -> str:
    """Return the name of the module in a file."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _files() -> dict[str, Path]:
    """Return the files of the integration and of the simulator, by module."""
    return {
        _name(file): file
        for folder in ("custom_components", "simulator")
        for file in sorted((ROOT / folder).rglob("*.py"))
    }


@cache
def _tree(name: str) -> ast.Module:
    """Return the syntax tree of a module."""
    return ast.parse(_files()[name].read_text(encoding="utf-8"))


def _imports(name: str) -> Iterator[str]:
    """Yield the modules of the repository that a module imports, types alone too."""
    is_package = _files()[name].name == "__init__.py"
    package = name.split(".") if is_package else name.split(".")[:-1]
    for node in ast.walk(_tree(name)):
        if isinstance(node, ast.Import):
            yield from (item.name for item in node.names if item.name in _files())
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for item in node.names:
                module = f"{base}.{item.name}"
                module = module if module in _files() else base
                if module in _files() and module != name:
                    yield module


def _reachable(name: str, graph: dict[str, set[str]]) -> set[str]:
    """Return all modules that a module imports, directly or indirectly."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for module in graph[waiting.pop()] - found:
            found.add(module)
            waiting.append(module)
    return found


def test_no_circle_of_imports() -> None:
    """There are no circular imports, so a module can be tested without those that use it."""
    graph = {name: set(_imports(name)) for name in _files()}
    reachable = {name: _reachable(name, graph) for name in graph}
    circles = {
        frozenset(other for other in reachable[name] if name in reachable[other])
        for name in graph
        if name in reachable[name]
    }

    assert circles == set()


def _place(name: str) -> tuple[int, str]:
    """Return the row of a module of the integration, and its file or folder there."""
    place = name.removeprefix(INTEGRATION).lstrip(".").split(".")[0]
    for row, places in enumerate(ROWS):
        if place in places:
            return row, place
    return len(ROWS), "top"


def test_imports_follow_the_rows() -> None:
    """Modules import only from lower rows, so none depends on the modules that use it."""
    wrong = [
        f"{name} imports {module}"
        for name in _files()
        if name.startswith(INTEGRATION)
        for module in _imports(name)
        if _place(module) != _place(name) and _place(module)[0] >= _place(name)[0]
    ]

    assert wrong == []


def test_the_rows_exist() -> None:
    """The modules in the rows exist; a renamed module must be renamed there, too."""
    missing = [
        place
        for places in ROWS
        for place in places
        if f"{INTEGRATION}.{place}" not in _files()
    ]

    assert missing == []


@pytest.mark.parametrize(
    ("kinds", "limit", "accepted"),
    [
        ((ast.ClassDef,), CLASS_MAX, LONG_CLASSES),
        ((ast.FunctionDef, ast.AsyncFunctionDef), FUNCTION_MAX, set[str]()),
    ],
    ids=["classes", "functions"],
)
def test_nothing_is_too_long(
    kinds: tuple[type[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef], ...],
    limit: int,
    accepted: set[str],
) -> None:
    """No class or function exceeds its limit, beyond which it has more than one subject."""
    too_long = [
        f"{name}.{node.name}: {size} lines"
        for name in _files()
        for node in ast.walk(_tree(name))
        if isinstance(node, kinds)
        and (size := (node.end_lineno or 0) - node.lineno + 1) > limit
        and node.name not in accepted
    ]

    assert too_long == []
