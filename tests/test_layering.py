"""The house's rules that no linter knows: imports point one way, light modules stay light, kernels have one way in, nothing unpickles."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("triton_kernels", "workloads", "profiler")  # each may import itself and those before it
ALLOWED = {"torch", "triton", "numpy", "pandas", "scipy", "typer", "rich", "pynvml", "psutil", "safetensors", "duckdb", "jinja2", "matplotlib"}
HEAVY = ("torch", "pandas", "triton", "numpy", "transformers", "scipy", "duckdb", "jinja2", "matplotlib")
UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}

# What every command reads before it knows whether it needs torch, and what must work on a laptop that has none.
LIGHT = (
    "profiler.audit.audit",
    "profiler.cli",
    "profiler.compare.comparison",
    "profiler.compare.history",
    "profiler.economics.derive",
    "profiler.economics.formulas",
    "profiler.evidence.main",
    "profiler.explain.explanation",
    "profiler.explain.trace",
    "profiler.fleet.points",
    "profiler.fleet.summary",
    "profiler.gpus",
    "profiler.measure.point_spec",
    "profiler.measure.reasons",
    "profiler.modelled.closure",
    "profiler.economics.prices",
    "profiler.record.json_schema",
    "profiler.record.store",
    "profiler.notebook",
    "tokenmill",
    "workloads.catalogue",
    "workloads.deployment",
    "workloads.model_spec",
    "workloads.read_model",
    "workloads.shape",
)


def sources(*packages: str) -> Iterator[Path]:
    for package in packages:
        yield from sorted((ROOT / package).rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imported(node: ast.AST) -> list[str]:
    """Full names of the modules that an import statement names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"relative import of {node.module}; write the full name"
        return [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def imports(path: Path) -> set[str]:
    return {name for node in ast.walk(tree(path)) for name in imported(node)}


def at_module_level(path: Path) -> set[str]:
    """What importing the module imports: function bodies and `if TYPE_CHECKING:` blocks left out."""
    found: set[str] = set()
    waiting: list[ast.AST] = list(tree(path).body)
    while waiting:
        node = waiting.pop()
        found.update(imported(node))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
            continue
        waiting += ast.iter_child_nodes(node)
    return found


def where(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


def test_there_is_something_to_look_at() -> None:
    for package in PACKAGES:
        assert len(list(sources(package))) >= 10, package


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package: str) -> None:
    above = PACKAGES[PACKAGES.index(package) + 1 :]
    wrong = [f"{path.relative_to(ROOT)}: {name}" for path in sources(package) for name in imports(path) if name.split(".")[0] in above]
    assert wrong == []


def test_only_what_a_measuring_node_has_is_imported() -> None:
    known = ALLOWED | set(PACKAGES) | {"tokenmill"} | set(sys.stdlib_module_names)
    files = [*sources(*PACKAGES), ROOT / "tokenmill.py"]
    wrong = [f"{path.relative_to(ROOT)}: {name}" for path in files for name in imports(path) if name.split(".")[0] not in known]
    assert wrong == []


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_import_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_triton_is_imported_inside_launches_only() -> None:
    """Plans and laptops without triton import every operation; the bodies of kernels are the exception."""
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources(*PACKAGES)
        if "_jit" not in path.parts
        for name in at_module_level(path)
        if name.split(".")[0] == "triton" or name.startswith("triton_kernels._jit")
    ]
    assert wrong == []


def test_kernel_bodies_are_known_to_their_operations_only() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {name}" for path in sources("workloads", "profiler") for name in imports(path) if name.startswith("triton_kernels._jit")
    ]
    assert wrong == []


def test_kernels_are_launched_through_launch_kernel_only() -> None:
    """`kernel[grid](...)` anywhere else would escape the compile tests and `kernels --inspect`."""
    wrong = [
        where(path, node)
        for path in sources("triton_kernels")
        if "_jit" not in path.parts and path.name != "launch.py"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Subscript)
    ]
    assert wrong == []


def test_nothing_is_unpickled_and_no_remote_code_is_trusted() -> None:
    wrong = []
    for path in [*sources(*PACKAGES, "scripts", "tests"), ROOT / "tokenmill.py"]:
        wrong += [f"{path.relative_to(ROOT)}: {name}" for name in imports(path) if name.split(".")[0] in UNSAFE_MODULES]
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.load":
                wrong.append(where(path, node))
            if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
                wrong.append(where(path, node))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
                wrong.append(where(path, node))
    assert wrong == []


def test_no_package_below_tests() -> None:
    """tests/profiler/__init__.py would hide the real `profiler` from pytest's imports."""
    assert list((ROOT / "tests").rglob("__init__.py")) == []
