"""Measure the import of the integration, and that of its libraries alone."""

import ast
from pathlib import Path
import subprocess
import sys

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGE = _ROOT / "custom_components" / "zaptec"


def libraries() -> list[str]:
    """Return all modules of other packages that the integration imports."""
    found: set[str] = set()
    for path in _PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module)
    return sorted(found)


def modules() -> list[str]:
    """Return all modules of the integration."""
    return sorted(
        ".".join(path.relative_to(_ROOT).with_suffix("").parts).removesuffix(
            ".__init__"
        )
        for path in _PACKAGE.rglob("*.py")
    )


def _time(names: list[str], *, loaded: list[str]) -> float:
    """Return how long Python takes to import modules after it has loaded others (s)."""
    code = "from time import perf_counter as now\n"
    code += "".join(f"import {name}\n" for name in loaded)
    code += "began = now()\n"
    code += "".join(f"import {name}\n" for name in names)
    code += "print(now() - began)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        check=True,
        capture_output=True,
        cwd=_ROOT,
        env={"PYTHONPATH": str(_ROOT)},
        text=True,
    )
    return float(done.stdout)


def measure(rounds: int) -> dict[str, list[float]]:
    """Return samples (s).

    The import is measured in a new Python, and in one that has already loaded what a
    running Home Assistant has: all libraries except that of the Service Bus.
    """
    names = libraries()
    library = [name for name in names if name.startswith("azure.")]
    loaded = [name for name in names if name not in library]
    _time([*library, *modules()], loaded=loaded)
    samples: dict[str, list[float]] = {}

    def note(name: str, names: list[str], loaded: list[str]) -> None:
        samples.setdefault(name, []).append(_time(names, loaded=loaded))

    for _ in range(rounds):
        note("import, yardstick", names, [])
        note("import", [*names, *modules()], [])
        note("import beside Home Assistant, yardstick", library, loaded)
        note("import beside Home Assistant", [*library, *modules()], loaded)
    return samples
