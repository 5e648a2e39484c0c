"""The floors of the house: who may import whom, read from the syntax tree."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "xgboost", "lightgbm", "catboost"}
GROUND = {"contract", "files", "policies", "artifacts", "errors", "strict_json"}
# The one room of a step that the watcher may look into.
SKIP_REGISTRY = "steps.step5_training.skip_registry"
PACKAGES = ("agents", "steps", "gpu")
STEPS = sorted(path.name for path in (ROOT / "steps").glob("step*_*") if path.is_dir())


@cache
def modules():
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports(path: Path) -> frozenset[str]:
    """Every imported name, dotted; `from a import b` counts as a.b."""
    return frozenset(_imports(path))


def _imports(path: Path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def starts(name: str, *prefixes: str) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_imports_keep_to_the_floors(path):
    me = dotted(path)
    foreign = [f"steps.{step}" for step in STEPS if not starts(me, f"steps.{step}")]
    for name in imports(path):
        if starts(me, "gpu"):
            assert not starts(name, "steps", "agents"), f"{me} imports upward: {name}"
        if starts(me, "steps"):
            assert not starts(name, "agents"), f"{me} imports upward: {name}"
            if starts(name, "gpu"):
                assert starts(name, "gpu.params", "gpu.protocol", "gpu.host"), f"{me}: {name}"
            assert not starts(name, *foreign), f"{me} imports another step: {name}"
            if starts(me, "steps.prng"):
                assert not starts(name, "steps.forensics"), f"{me} imports upward: {name}"
        if starts(me, "agents"):
            if starts(name, "steps") and name.count(".") >= 1 and not starts(name, SKIP_REGISTRY):
                assert name.split(".")[1] in GROUND | {"__version__"}, f"{me} imports {name}"
            if starts(name, "gpu"):
                assert starts(name, "gpu.host"), f"{me} imports {name}"
        if starts(me, "gpu.host"):
            assert not starts(name, "gpu.worker"), f"{me} imports the child side: {name}"
        if starts(me, "gpu.worker"):
            assert not starts(name, "gpu.host"), f"{me} imports the parent side: {name}"
        if starts(name, *HEAVY):
            assert starts(me, "gpu.worker"), f"{me} imports {name}"


def test_what_the_watcher_sees_of_step_5_stands_on_the_ground_alone():
    rooms = {SKIP_REGISTRY, SKIP_REGISTRY.replace("skip_registry", "skip_file")}
    for room in rooms:
        path = ROOT / Path(*room.split(".")).with_suffix(".py")
        ours = {name for name in imports(path) if starts(name, *PACKAGES)}
        foreign = {name for name in ours if not starts(name, *rooms)}
        assert {".".join(name.split(".")[:2]) for name in foreign} <= {f"steps.{g}" for g in GROUND}


@pytest.mark.parametrize(
    "module", ["gpu.params", "gpu.protocol", "gpu.protocol.observations", "gpu.protocol.seeds"]
)
def test_the_shared_floor_is_light(module):
    light = set(sys.stdlib_module_names) | {"pydantic", "gpu"}
    (path,) = (path for path in modules() if dotted(path) == module)
    assert {name.split(".")[0] for name in imports(path)} <= light


@pytest.mark.parametrize("module", ["health", "decide", "plan", "remedies", "freshness"])
def test_the_pure_modules_touch_neither_clock_nor_disk(module):
    impure = {"time", "datetime", "os", "pathlib", "subprocess", "random", "sqlite3", "io"}
    names = {name.split(".")[0] for name in imports(ROOT / "agents" / f"{module}.py")}
    assert not names & impure
    source = (ROOT / "agents" / f"{module}.py").read_text(encoding="utf-8")
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & {"open", "print", "input"}


def test_no_module_imports_itself_in_a_circle():
    edges = {}
    known = {dotted(path): path for path in modules()}
    for me, path in known.items():
        edges[me] = set()
        for name in imports(path):
            target = name if name in known else name.rpartition(".")[0]
            if target in known and target != me:
                edges[me].add(target)
    done, stack = set(), []

    def visit(module):
        if module in stack:
            raise AssertionError(" -> ".join([*stack[stack.index(module) :], module]))
        if module in done:
            return
        stack.append(module)
        for target in sorted(edges[module]):
            visit(target)
        stack.pop()
        done.add(module)

    for module in sorted(known):
        visit(module)


def test_no_file_is_long_without_a_reason():
    long = {}
    for path in modules():
        lines = path.read_text(encoding="utf-8").count("\n")
        if lines > 300:
            long[dotted(path)] = lines
    assert set(long) <= set(LONG_FOR_A_REASON), long


# Module -> why it is longer than 300 lines.
LONG_FOR_A_REASON: dict[str, str] = {
    "steps.prng.recovery.seed_kernels": "numba's cache sees changes in a kernel's own file only",
}
