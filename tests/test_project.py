"""The house rules that no linter knows, checked on the tree: sizes, arrows, twins, docstrings, the wheel."""

from __future__ import annotations

import ast
import gc
import json
import re
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import quantiles

import pytest

import wirebook
from tests.conftest import ROOT

PACKAGES = {"wirebook": "core", "wirebook_widgets": "widgets", "wirebook_kernel": "kernel"}
FILE_LINES, CLASS_LINES, FUNCTION_LINES, FUNCTION_P90 = 600, 300, 50, 20

# A package may import those that stand before it.
PACKAGE_ORDER = ["wirebook", "wirebook_widgets", "wirebook_kernel"]

# The same inside core: the ground floor first, the face that notebooks import last.
LAYERS = [
    {"turn", "installed", "logger", "failure", "deferred", "faces"},
    {"protocol", "address", "error", "interfaces", "trace", "ssl"},
    {"reactor"},
    {"transports"},
    {"endpoints", "threads", "adbapi", "task", "process", "stdio", "policies", "service", "utils"},
    {"protocols"},
    {"testing"},
    {"sim"},
    {"hosts"},
    {""},
]

# Bytes in, events out: such a module has no socket, clock or loop, or it could not be replayed in a test.
PURE = {"wire.py", "machine.py", "events.py", "_framing.py", "_machine.py"}
IMPURE_IMPORTS = {"asyncio", "select", "selectors", "socket", "threading", "time"}

# Test files are named after the source file they cover. The exceptions:
COVERED_BY = {
    "core/wirebook/deferred/attaching.py": "tests/core/test_deferred.py",
    "core/wirebook/deferred/chain.py": "tests/core/test_deferred.py",
    "core/wirebook/deferred/core.py": "tests/core/test_deferred.py",
    "core/wirebook/deferred/driving.py": "tests/core/test_deferred_coroutine.py",
    "core/wirebook/deferred/futures.py": "tests/core/test_deferred_await.py",
    "core/wirebook/deferred/firing.py": "tests/core/test_deferred.py",
    "core/wirebook/deferred/making.py": "tests/core/test_deferred.py",
    "core/wirebook/deferred/observers.py": "tests/core/test_deferred_await.py",
    "core/wirebook/deferred/running.py": "tests/core/test_deferred.py",
    "core/wirebook/deferred/waiting.py": "tests/core/test_deferred_await.py",
    "core/wirebook/endpoints/connecting.py": "tests/core/endpoints/test_tcp.py",
    "core/wirebook/endpoints/kinds.py": "tests/core/endpoints/test_strings.py",
    "core/wirebook/endpoints/unix.py": "tests/core/endpoints/test_strings.py",
    "core/wirebook/reactor/names/waiting.py": "tests/core/reactor/names/test_adapters.py",
    "core/wirebook/interfaces/security.py": "tests/core/test_interfaces.py",
    "core/wirebook/interfaces/datagrams.py": "tests/core/test_interfaces.py",
    "core/wirebook/interfaces/endpoints.py": "tests/core/test_interfaces.py",
    "core/wirebook/interfaces/reactors.py": "tests/core/test_interfaces.py",
    "core/wirebook/interfaces/seams.py": "tests/core/test_interfaces.py",
    "core/wirebook/interfaces/services.py": "tests/core/test_interfaces.py",
    "core/wirebook/interfaces/streams.py": "tests/core/test_interfaces.py",
    "core/wirebook/reactor/lifetime.py": "tests/core/reactor/test_loop.py",
    "core/wirebook/reactor/sockets.py": "tests/core/transports/test_faults.py",
    "core/wirebook/transports/_ending.py": "tests/core/transports/test_stream.py",
    "core/wirebook/transports/_ends.py": "tests/core/transports/test_tcp.py",
    "core/wirebook/transports/_pieces.py": "tests/core/transports/test_writing.py",
    "core/wirebook/transports/_become.py": "tests/core/test_process.py",
    "core/wirebook/transports/_child.py": "tests/core/test_process.py",
    "core/wirebook/transports/_reaping.py": "tests/core/test_process.py",
    "core/wirebook/transports/_spawning.py": "tests/core/test_process.py",
    "core/wirebook/transports/_socketfile.py": "tests/core/transports/test_unix.py",
    "core/wirebook/transports/_state.py": "tests/core/transports/test_stream.py",
    "core/wirebook/transports/_writing.py": "tests/core/transports/test_stream.py",
    "core/wirebook/transports/accepting.py": "tests/core/transports/test_tcp.py",
    "core/wirebook/transports/_checks.py": "tests/core/transports/test_reactor.py",
    "core/wirebook/transports/_tlsreceiving.py": "tests/core/transports/test_tls.py",
    "core/wirebook/transports/_tlssending.py": "tests/core/transports/test_tls.py",
    "core/wirebook/transports/connecting.py": "tests/core/transports/test_tcp.py",
    "core/wirebook/transports/listening.py": "tests/core/transports/test_tcp.py",
    "core/wirebook/testing/_bytes.py": "tests/core/transports/test_conformance.py",
    "core/wirebook/testing/_ends.py": "tests/core/transports/test_conformance.py",
    "core/wirebook/testing/_harness.py": "tests/core/testing/test_conformance.py",
    "core/wirebook/testing/_seams.py": "tests/core/transports/test_conformance.py",
    "core/wirebook/transports/_channel.py": "tests/core/transports/test_memory.py",
    "core/wirebook/transports/_link.py": "tests/core/transports/test_conditions.py",
}
# A face only hands names on; an entry point is what the tests start.
NO_TWIN = {"__init__.py", "__main__.py"}

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """A Python file of the tree, parsed."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """The path from the top of the repository."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def module(self) -> str:
        """The dotted name, for a file of one of the packages."""
        parts = self.path.relative_to(ROOT).with_suffix("").parts[1:]
        return ".".join(part for part in parts if part != "__init__")


def parse(path: Path) -> Source:
    """Read and parse a file."""
    text = path.read_text(encoding="utf-8")
    return Source(path, text, ast.parse(text))


@cache
def sources(*folders: str) -> list[Source]:
    """The Python files under `folders`; of the three packages when none is named."""
    folders = folders or tuple(f"{root}/{package}" for package, root in PACKAGES.items())
    parsed = [parse(path) for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    # Every leak check would walk the trees otherwise.
    gc.freeze()
    return parsed


@pytest.fixture(scope="module", autouse=True)
def forget_sources() -> Iterator[None]:
    """Keep the trees no longer than these tests."""
    yield
    sources.cache_clear()


def functions(tree: ast.AST) -> Iterator[FunctionNode]:
    """Every function and method in `tree`, nested ones included."""
    return (node for node in ast.walk(tree) if isinstance(node, FunctionNode))


def lines(node: FunctionNode | ast.ClassDef) -> int:
    """How long a definition is, its docstring not counted."""
    assert node.end_lineno is not None
    whole = node.end_lineno - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is None or first.end_lineno is None:
        return whole
    return whole - (first.end_lineno - first.lineno + 1)


def imports(source: Source) -> Iterator[tuple[int, str]]:
    """What a file imports when it runs, and in which line; not what only the type checker reads."""
    pending: list[ast.AST] = [source.tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, absolute(source, node)
        else:
            pending.extend(ast.iter_child_nodes(node))


def absolute(source: Source, node: ast.ImportFrom) -> str:
    """The dotted name of the module that ``from ... import`` reads."""
    if node.level == 0:
        return node.module or ""
    package = source.module.split(".")
    if source.path.name != "__init__.py":
        package = package[:-1]
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def layer(module: str) -> int:
    """Which floor of core a module stands on, the ground floor being 0."""
    name = [*module.split("."), ""][1]
    found = [floor for floor, names in enumerate(LAYERS) if name in names]
    assert found, f"{module} stands in no layer: name it in LAYERS and in the design"
    return found[0]


# ------------------------------------------------------------------------------------------ sizes


def test_no_file_is_longer_than_its_limit() -> None:
    long = {source.name: source.text.count("\n") for source in sources() if source.text.count("\n") > FILE_LINES}
    assert not long, f"files over {FILE_LINES} lines: {long}"


def test_no_class_is_longer_than_its_limit() -> None:
    long = [
        f"{source.name}:{node.lineno} {node.name} has {lines(node)} lines"
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef) and lines(node) > CLASS_LINES
    ]
    assert not long, f"classes over {CLASS_LINES} lines: {long}"


def test_no_function_is_longer_than_its_limit() -> None:
    long = [
        f"{source.name}:{node.lineno} {node.name} has {lines(node)} lines"
        for source in sources()
        for node in functions(source.tree)
        if lines(node) > FUNCTION_LINES
    ]
    assert not long, f"functions over {FUNCTION_LINES} lines: {long}"


def test_nine_functions_of_ten_are_short() -> None:
    lengths = [lines(node) for source in sources() for node in functions(source.tree)]
    assert quantiles(lengths, n=10)[-1] <= FUNCTION_P90


# ----------------------------------------------------------------------------------------- arrows


def test_packages_import_only_those_below_them() -> None:
    upward = [
        f"{source.name}:{line} imports {name}"
        for source in sources()
        for line, name in imports(source)
        for above in PACKAGE_ORDER[PACKAGE_ORDER.index(source.module.split(".")[0]) + 1 :]
        if name.split(".")[0] == above
    ]
    assert not upward, f"imports run kernel -> widgets -> core, never back: {upward}"


def test_core_imports_only_layers_below() -> None:
    upward = [
        f"{source.name}:{line} imports {name}"
        for source in sources("core/wirebook")
        for line, name in imports(source)
        if name.split(".")[0] == "wirebook" and layer(name) > layer(source.module)
    ]
    assert not upward, f"imports inside core run down the list of layers, never up: {upward}"


def test_wire_and_machine_modules_do_no_input_or_output() -> None:
    impure = [
        f"{source.name}:{line} imports {name}"
        for source in sources("core/wirebook/protocols")
        if source.path.name in PURE
        for line, name in imports(source)
        if name.split(".")[0] in IMPURE_IMPORTS
    ]
    assert not impure, f"bytes in, events out: sockets and clocks belong to the binding: {impure}"


def test_twisted_is_imported_by_the_benchmark_alone() -> None:
    found = [
        f"{source.name}:{line}"
        for source in sources("core", "kernel", "widgets", "tests", "tools")
        if not source.name.startswith("tests/bench/")
        for line, name in imports(source)
        if name.split(".")[0] == "twisted"
    ]
    assert not found, f"Twisted is a yardstick, never a dependency: {found}"


# --------------------------------------------------------------------------- twins and docstrings


def test_every_source_file_has_a_test_file() -> None:
    alone = []
    for source in sources():
        folder = ROOT / "tests" / source.path.relative_to(ROOT).parts[0]
        twin = f"test_{source.path.stem.strip('_')}.py"
        if source.path.name not in NO_TWIN and source.name not in COVERED_BY and not list(folder.rglob(twin)):
            alone.append(f"{source.name} wants {folder.relative_to(ROOT)}/{twin}")
    assert not alone, f"source files without a test file: {alone}"


def test_the_exceptions_of_the_twin_table_exist() -> None:
    gone = [name for pair in COVERED_BY.items() for name in pair if not (ROOT / name).exists()]
    assert not gone, f"COVERED_BY names files that do not exist: {gone}"


def is_interface(node: ast.AST) -> bool:
    """Whether `node` is a ``typing.Protocol`` class: its methods are documented there, once for all."""
    return isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases)


@cache
def interface_methods() -> set[str]:
    """The names of the methods that an interface of core documents."""
    return {
        method.name
        for source in sources("core/wirebook")
        for node in ast.walk(source.tree)
        if is_interface(node)
        for method in functions(node)
        if ast.get_docstring(method)
    }


def public(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, FunctionNode | ast.ClassDef]]:
    """The public classes, functions and methods of a module."""
    for node in body:
        if isinstance(node, FunctionNode | ast.ClassDef) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{node.name}.")


def explains_itself(node: FunctionNode | ast.ClassDef) -> bool:
    """Whether a definition needs no docstring: overloads and setters repeat one, interfaces hold it."""
    if ast.get_docstring(node):
        return True
    marks = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
    return bool(marks & {"overload", "setter"}) or node.name in interface_methods()


def test_every_public_name_of_core_is_documented() -> None:
    silent = [
        f"{source.name}:{node.lineno} {name}"
        for source in sources("core/wirebook")
        for name, node in public(source.tree.body)
        if not explains_itself(node)
    ]
    assert not silent, f"public names without a docstring: {silent}"


def test_every_module_says_what_it_is() -> None:
    silent = [source.name for source in sources() if not ast.get_docstring(source.tree)]
    assert not silent, f"modules without a docstring: {silent}"


# ------------------------------------------------------------------------------- what is shipped

# Written so that they do not find themselves.
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:wor[k]|roo[t]|hom[e]/\w+|User[s]/\w+)/")
REGISTRY_HOSTS = re.compile(r"pypi[.]org|pythonhosted[.]org|npmjs[.]|debian[.]org|(?:jsdelivr|unpkg|cdnjs)[.]")


def tracked() -> list[Path]:
    """The files of the repository, those not yet added included."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    if listed.returncode != 0:
        pytest.skip("not a git repository")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


@pytest.mark.parametrize("pattern", [MACHINE_PATHS, REGISTRY_HOSTS], ids=["paths", "hosts"])
def test_no_file_names_a_machine(pattern: re.Pattern[str]) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number} {match.group()}"
        for path in tracked()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="ignore").splitlines(), 1)
        if (match := pattern.search(line))
    ]
    assert not found, f"paths or hosts of one machine: {found}"


@pytest.fixture(scope="session")
def contents(wheel: Path) -> dict[str, bytes]:
    """The files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_every_file_of_the_packages(contents: dict[str, bytes]) -> None:
    files = {
        path.relative_to(ROOT / root).as_posix()
        for package, root in PACKAGES.items()
        for path in (ROOT / root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {f"{package}/py.typed" for package in PACKAGES} <= files
    assert not files - contents.keys()


def test_the_wheel_has_the_version_that_the_package_tells(contents: dict[str, bytes]) -> None:
    assert f"wirebook-{wirebook.__version__}.dist-info/METADATA" in contents


def test_the_wheel_holds_the_kernelspec(contents: dict[str, bytes]) -> None:
    spec = {
        name.rpartition("/")[2]: data
        for name, data in contents.items()
        if ".data/data/share/jupyter/kernels/wirebook/" in name
    }
    assert spec.keys() == {"kernel.json", "logo-32x32.png", "logo-64x64.png", "logo-svg.svg"}
    argv = json.loads(spec["kernel.json"])["argv"]
    assert argv[0] == "python", "Jupyter puts the environment's own interpreter in the place of this word"
    assert "wirebook_kernel" in argv
