"""The house: who may import what, what stays pure, and how large a module may grow.

The table is the one of the design, without exceptions; a new package says here what it may use.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "irongrid"
SRC = Path(__file__).parents[1] / "src" / PACKAGE

BASE = frozenset({"units", "errors"})
BRAIN = BASE | {"domain", "cost", "planner", "scheduler", "control", "ports"}
# ours: packages of ours that a package may import.
OURS: dict[str, frozenset[str]] = {
    "units": frozenset(),
    "errors": frozenset(),
    "domain": BASE,
    "cost": BASE | {"domain"},
    "planner": BASE | {"domain", "cost"},
    "scheduler": BASE | {"domain"},
    "control": BASE | {"domain", "scheduler"},
    "forecast": BASE | {"domain"},
    "ports": BASE | {"domain"},
    "spec": BASE | {"domain"},
    "session": BASE | {"domain"},
    "engines": BASE | {"domain", "ports"},
    "store": BASE | {"domain", "ports"},
    "telemetry": BASE | {"domain", "ports"},
    "worker": BASE | {"domain", "session", "client", "telemetry"},
    "train": BASE | {"domain", "session"},
    "client": BASE | {"domain"},
    "server": BRAIN | {"forecast", "spec", "engines", "store", "telemetry"},
    "sdk": BRAIN | {"spec", "telemetry"},
    "twin": BRAIN | {"forecast", "spec"},
    "cli": BRAIN | {"spec", "client", "server", "sdk", "twin"},
}
PURE = BRAIN | {"forecast"}
# theirs: packages from outside the standard library, beside numpy where the design allows it.
THEIRS: dict[str, frozenset[str]] = {
    "cost": frozenset({"numpy"}),
    "planner": frozenset({"numpy"}),
    "control": frozenset({"numpy"}),
    "scheduler": frozenset({"numpy"}),
    "forecast": frozenset({"numpy"}),
    "twin": frozenset({"numpy", "scipy"}),
    "spec": frozenset({"pydantic", "pydantic_core", "ruamel"}),
    "engines": frozenset({"psutil"}),
    "store": frozenset({"sqlalchemy", "alembic", "psycopg"}),
    "telemetry": frozenset({"psutil", "pynvml", "prometheus_client"}),
    "worker": frozenset({"psutil"}),
    "train": frozenset({"torch", "numpy", "tokenizers", "safetensors"}),
    "client": frozenset({"httpx2"}),
    "server": frozenset(
        {"fastapi", "starlette", "uvicorn", "pydantic", "structlog", "prometheus_client", "psutil"}
    ),
    "sdk": frozenset({"numpy"}),
    "cli": frozenset({"typer", "click", "rich", "psutil"}),
}
IMPURE = frozenset(
    {
        *("asyncio", "datetime", "io", "logging", "multiprocessing", "os", "pathlib", "random"),
        *("secrets", "shutil", "signal", "socket", "subprocess", "tempfile", "threading", "time"),
        "uuid",
    }
)
IMPURE_CALLS = frozenset({"open", "print", "input", "exec", "eval"})
MODULE_LINES = 600
FUNCTION_LINES = 70

MODULES = sorted(path for path in SRC.rglob("*.py") if path.parent != SRC or path.name[0] != "_")


def unit_of(path: Path) -> str:
    return path.relative_to(SRC).parts[0].removesuffix(".py")


def imported(tree: ast.AST, path: Path) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: import by full name, not by dots"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SRC)))
def test_a_module_imports_only_what_its_package_may(path: Path) -> None:
    unit = unit_of(path)
    assert unit in OURS, f"{unit}: say in OURS what this new package may import"

    for name in imported(ast.parse(path.read_text()), path):
        root, _, rest = name.partition(".")
        if root == PACKAGE:
            target = rest.partition(".")[0]
            assert target in OURS[unit] | {unit, "__version__"}, f"{unit} may not import {name}"
        elif root not in sys.stdlib_module_names:
            assert root in THEIRS.get(unit, frozenset()), f"{unit} may not import {name}"


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if unit_of(path) in PURE],
    ids=lambda p: str(p.relative_to(SRC)),
)
def test_a_pure_module_touches_no_clock_no_file_and_no_socket(path: Path) -> None:
    tree = ast.parse(path.read_text())

    for name in imported(tree, path):
        assert name.partition(".")[0] not in IMPURE, f"{path}: pass a value in place of {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in IMPURE_CALLS, f"{path}:{node.lineno}: {node.func.id}()"
        assert not isinstance(node, ast.Global), f"{path}: no globals in a pure module"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SRC)))
def test_modules_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= MODULE_LINES, f"{path} has over {MODULE_LINES} lines: find the seam"

    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= FUNCTION_LINES, f"{path}:{node.lineno}: {node.name} has {lines} lines"


def test_no_pickle_anywhere() -> None:
    for path in MODULES:
        tree = ast.parse(path.read_text())
        for name in imported(tree, path):
            root = name.partition(".")[0]
            assert root not in {"pickle", "shelve", "marshal", "dill", "cloudpickle"}, path
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) not in {("torch", "load"), ("torch", "save")}, (
                    path
                )


BEHIND_THE_WALL = "irongrid.twin.truth"


@pytest.mark.parametrize("unit", ["control", "scheduler", "forecast", "planner", "server"])
def test_what_decides_never_sees_the_truth_of_the_virtual_world(unit: str) -> None:
    for path in (path for path in MODULES if unit_of(path) == unit):
        for name in imported(ast.parse(path.read_text()), path):
            assert not name.startswith(BEHIND_THE_WALL), f"{path} looks over the wall"
            assert not name.startswith("irongrid.twin"), f"{path} reaches the wall through {name}"


HEAVY = ("torch", "pydantic", "fastapi", "sklearn", "sqlalchemy", "scipy")


@pytest.mark.parametrize("statement", ["import irongrid", "import irongrid.cli.main"])
def test_importing_irongrid_loads_nothing_heavy(statement: str) -> None:
    code = f"{statement}, sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys; " + code], capture_output=True, text=True, check=True
    )

    assert loaded.stdout.strip() == "[]"
