"""The package's imports point one way, one module reads the clock, and start-up stays light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "tickrec"

LAYERS = [
    "errors clock entry",
    "children signals stopping values config calendar hours files gaps format alerts logs page painter runstatus "
    "upstox.plans",
    "journal schema instruments selectors live layout parquet",
    "upstox.protocol upstox.wire upstox.flatten upstox.peek upstox.decode upstox.auth upstox.rest "
    "upstox.census ledger store",
    "upstox.access upstox.websocket upstox.link upstox.feed upstox.login upstox.simulator simulated",
    "dayfile dayrows manifest merge survey drafts verify retention seal recent holdings totals status plan day "
    "appending flushing tally traces recorder record schedule selection",
    "sql cells grid output table query reasons watch doctor report",
    "display",
    "cli __main__ __init__",
]
"""Each module may import from its own row and the rows above it. `simulator` and `sql` stand for everything in them."""

RANK = {module: rank for rank, row in enumerate(LAYERS) for module in row.split()}


def place(module: str) -> str | None:
    """The entry of LAYERS that a module belongs to."""
    return module if module in RANK else next((name for name in RANK if module.startswith(f"{name}.")), None)


SQL = ("sql.running", "sql.sandbox", "sql.tokens", "sql.arguments", "sql.connection")
ONLY = {
    "rich": {"display"},
    "duckdb": {"dayfile", "dayrows", "seal", "verify", "query", *SQL},
    "typer": {"cli", "cli.common", "cli.recording", "cli.query", "cli.plain"},
    "websockets": {
        "upstox.websocket",
        "upstox.link",
        "upstox.feed",
        "upstox.simulator.server",
        "upstox.simulator.session",
    },
}
"""Libraries that only the named modules import."""

CLOCK_CALLS = {
    "time",
    "time_ns",
    "monotonic",
    "monotonic_ns",
    "perf_counter",
    "perf_counter_ns",
    "now",
    "utcnow",
    "today",
}
POSIX_ONLY = {"fcntl", "resource", "termios", "pwd", "grp", "tty", "pty"}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        if not path.name.endswith("_pb2.py") and path != PACKAGE / "upstox" / "__init__.py":
            name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
            yield name.removesuffix(".__init__"), ast.parse(path.read_text())


MODULES = [name for name, _ in modules()]


def test_every_module_has_its_place() -> None:
    assert not [name for name in MODULES if place(name) is None]


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names of everything imported anywhere below `tree`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_modules(names: Iterator[str]) -> set[str]:
    """Names of tickrec modules among dotted names such as `tickrec.upstox.decode.decode`."""
    found = set()
    for name in names:
        parts = name.split(".")
        if parts[0] == "tickrec" and len(parts) > 1:
            tail = ".".join(parts[1:])
            found |= {name for name in MODULES if tail == name or tail.startswith(name + ".")}
    return found


@pytest.mark.parametrize(("module", "tree"), [pytest.param(*pair, id=pair[0]) for pair in modules()])
def test_imports_point_one_way(module: str, tree: ast.Module) -> None:
    ranks = {name: RANK[place(name) or ""] for name in (module, *own_modules(imported(tree)))}
    assert not {name for name, rank in ranks.items() if rank > ranks[module]}


@pytest.mark.parametrize(("module", "tree"), [pytest.param(*pair, id=pair[0]) for pair in modules()])
def test_libraries_stay_in_their_modules(module: str, tree: ast.Module) -> None:
    roots = {name.split(".")[0] for name in imported(tree)}
    assert not {library for library, owners in ONLY.items() if library in roots and module not in owners}
    at_start = {
        name.split(".")[0]
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in imported(ast.Module([node], []))
    }
    assert not at_start & POSIX_ONLY


@pytest.mark.parametrize(("module", "tree"), [pytest.param(*pair, id=pair[0]) for pair in modules()])
def test_only_the_clock_reads_the_time(module: str, tree: ast.Module) -> None:
    if module == "clock":
        return
    calls = [
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if node.attr in CLOCK_CALLS and node.value.id in {"time", "dt", "datetime", "date"}
    ]
    assert not [call for call in calls if call != "dt.time"]


def loaded_after(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    return {name.split(".")[0] for name in out.splitlines()[-1].split()}


def test_help_loads_nothing_heavy() -> None:
    code = (
        "from tickrec.cli import main\nsys.argv = ['tickrec', '--help']\ntry:\n    main()\nexcept SystemExit:\n    pass"
    )
    assert not loaded_after(code) & {"pyarrow", "duckdb", "websockets", "rich", "ptars", "google"}


def test_a_query_loads_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    arguments = ["tickrec", "query", "SELECT 1", "--data", str(tmp_path), "--format", "csv", "--limit", "5"]
    code = f"from tickrec.cli import main\nsys.argv = {arguments}\ntry:\n    main()\nexcept SystemExit:\n    pass"
    loaded = loaded_after(code)
    assert "duckdb" in loaded
    assert not loaded & {"pydantic", "websockets", "rich", "ptars", "google", "pandas", "numpy", "asyncio"}


def test_the_recorder_never_loads_duckdb() -> None:
    loaded = loaded_after("import tickrec.recorder, tickrec.plan, tickrec.display")
    assert "pyarrow" in loaded
    assert "duckdb" not in loaded


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not loaded_after("import tickrec") & {"pyarrow", "duckdb", "websockets", "rich", "typer"}
