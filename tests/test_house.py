"""The package is a house: a room imports from the rooms below it, and inside a room modules import one way too."""

import ast
import functools
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests import ROOT
from tests.days import DATE
from tests.query.test_missing import RECORDED, write
from tickrec.store.paths import Store

PACKAGE, TESTS = ROOT / "tickrec", ROOT / "tests"

ROOMS = (
    "cli",
    "doctor",
    "schedule",
    "record",
    "serve",
    "screen",
    "seal",
    "check",
    "query",
    "status",
    "store",
    "market",
    "upstox",
    "journal",
)
"""From the roof down; each may import from the rows below its own, and from the ground."""
GROUND = ("config", "values", "children", "formatting", "files", "logs", "schema", "clock", "errors")
"""Single modules under all rooms; each may import those behind it."""
ROOF = ["tickrec", "tickrec.__main__"]
"""What stands outside: `python -m tickrec`, and what the package offers to a program of the user's."""
NOT_FOR = {
    "store": ("upstox",),
    "upstox": ("config",),
    "record": ("query", "screen"),
}
"""What a room does not import although it lies below: `store` knows only how messages become columns, `upstox` takes
values, and the recorder leaves reporting to others."""
STILL_FOR = {"store": ("upstox.decode",)}

LIBRARIES = {
    "rich": {"screen"},
    "duckdb": {"store", "seal", "query"},
    "typer": {"cli"},
    "websockets": {"upstox", "serve"},
}
"""Libraries that only the named rooms import."""
MOST_LINES = 400
CLOCK_CALLS = {
    *("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"),
    *("now", "utcnow", "today"),
}
POSIX_ONLY = {"fcntl", "resource", "termios", "pwd", "grp", "tty", "pty"}
ACROSS = {
    "test_house",
    "check/test_agreement",
    "check/test_planned_day",
    "cli/test_main",
    "screen/test_script",
    "serve/test_node_sdk",
    "upstox/test_tls",
}
"""Tests of no single module: of the house, of all who tell of gaps, of a whole day, of what all commands share, of all
that is drawn, of the broker's own client, of REST and websocket."""
ROLES = ("Manager", "Handler", "Service", "Engine", "Processor", "Helper", "Util", "Base")


@functools.cache
def modules() -> dict[str, ast.Module]:
    """Every module of ours but the generated one, by its dotted name."""
    paths = [path for path in sorted(PACKAGE.rglob("*.py")) if not path.name.endswith("_pb2.py")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    return {name: ast.parse(path.read_text()) for name, path in zip(names, paths, strict=True)}


@functools.cache
def nodes() -> dict[str, list[ast.AST]]:
    """Everything in each module, looked through once."""
    return {name: list(ast.walk(tree)) for name, tree in modules().items()}


RANK = {room: rank for rank, room in enumerate((*ROOMS, *GROUND))}


def path_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def room_of(module: str) -> str:
    return module.split(".")[1]


def imported(among: Iterable[ast.AST]) -> Sequence[str]:
    """Dotted names of everything that the nodes import; relative imports begin with a dot."""
    found: list[str] = []
    for node in among:
        if isinstance(node, ast.Import):
            found += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found += (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)
    return found


def own_imports(module: str) -> set[str]:
    """The modules of ours that `module` imports. `__version__` is the house's address, and no room of it."""
    found = set()
    for name in imported(nodes()[module]):
        if name.startswith("tickrec.") and name != "tickrec.__version__":
            found.add(name if name in modules() or name.endswith("_pb2") else name.rpartition(".")[0])
    return found


def is_below(place: str, module: str) -> bool:
    """Whether the module is in `place`, a room or a module such as `upstox.decode`."""
    return f"{module}.".startswith(f"tickrec.{place}.")


def not_allowed(module: str, other: str) -> str:
    """Why `module` may not import `other`; empty when it may."""
    if module in ROOF:
        return ""
    if other in ROOF:
        return "the roof"
    here, there = room_of(module), room_of(other)
    if here == there:
        return ""
    if RANK[there] <= RANK[here]:
        return f"{there} is not below {here}"
    forbidden = any(is_below(place, other) for place in NOT_FOR.get(here, ()))
    if forbidden and not any(is_below(place, other) for place in STILL_FOR.get(here, ())):
        return f"not for {here}"
    return ""


def test_every_module_has_its_room() -> None:
    assert not [name for name in modules() if name not in ROOF and room_of(name) not in RANK]


def test_a_room_imports_from_the_rooms_below_it() -> None:
    found = [
        f"{module} imports {other}: {why}"
        for module in modules()
        for other in sorted(own_imports(module))
        if (why := not_allowed(module, other))
    ]
    assert not found, "\n".join(found)
    relative = [
        f"{module}: {name}" for module, inside in nodes().items() for name in imported(inside) if name[0] == "."
    ]
    assert not relative, "relative imports\n" + "\n".join(relative)


def test_modules_of_a_room_import_one_way() -> None:
    inside = {
        module: {other for other in own_imports(module) if other in modules() and room_of(other) == room_of(module)}
        for module in modules()
        if module not in ROOF
    }
    while free := [module for module, others in inside.items() if not others & inside.keys()]:
        for module in free:
            del inside[module]
    assert not inside, "these import each other: " + ", ".join(inside)


def test_a_name_stands_for_one_module() -> None:
    names = [m for m in modules() if m not in ROOF and room_of(m) != "cli" and path_of(m).name != "__init__.py"]
    twice = [name for name, times in Counter(name.rpartition(".")[2] for name in names).items() if times > 1]
    assert not twice


def test_a_room_says_what_it_is() -> None:
    rooms = [module for module in modules() if path_of(module).name == "__init__.py" and module not in ROOF]
    assert not [room for room in rooms if len((ast.get_docstring(modules()[room]) or "").splitlines()) < 3]


def test_modules_stay_short() -> None:
    lines = {module: len(path_of(module).read_text().splitlines()) for module in modules()}
    assert not {module: count for module, count in lines.items() if count > MOST_LINES}


def test_classes_are_named_after_things() -> None:
    classes = [node.name for inside in nodes().values() for node in inside if isinstance(node, ast.ClassDef)]
    assert len(classes) > 100
    assert not [name for name in classes if name.endswith(ROLES)]


def test_libraries_stay_in_their_rooms() -> None:
    for module, tree in modules().items():
        roots = {name.split(".")[0] for name in imported(nodes()[module])}
        strange = {library for library, rooms in LIBRARIES.items() if library in roots}
        assert not {library for library in strange if module in ROOF or room_of(module) not in LIBRARIES[library]}, (
            module
        )
        roots_at_start = {name.split(".")[0] for name in imported(tree.body)}
        assert not roots_at_start & POSIX_ONLY, module


def test_only_the_clock_reads_the_time() -> None:
    calls = [
        f"{module}: {node.value.id}.{node.attr}"
        for module, inside in nodes().items()
        for node in inside
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if node.attr in CLOCK_CALLS and node.value.id in {"time", "dt", "datetime", "date"}
    ]
    assert {call for call in calls if not call.endswith(": dt.time")} == {
        f"tickrec.clock: time.{name}" for name in ("time_ns", "monotonic_ns")
    }


def test_tests_are_where_their_module_is() -> None:
    found = {str(path.relative_to(TESTS).with_suffix("")) for path in TESTS.rglob("test_*.py")}
    found = {name for name in found if not name.startswith(("system/", "benchmarks/"))} - ACROSS
    strange = [name for name in found if not (PACKAGE / f"{name.replace('test_', '', 1)}.py").exists()]
    assert not strange, "of no module: " + ", ".join(sorted(strange))


def loaded_after(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    return {name.split(".")[0] for name in out.splitlines()[-1].split()}


def test_help_loads_nothing_heavy() -> None:
    code = (
        "from tickrec.cli import main\nsys.argv = ['tickrec', '--help']\ntry:\n    main()\nexcept SystemExit:\n    pass"
    )
    assert not loaded_after(code) & {"pyarrow", "duckdb", "websockets", "rich", "ptars", "google"}


def test_a_query_and_a_check_load_nothing_that_they_do_not_need(store: Store) -> None:
    write(store, **RECORDED)
    query = ["query", "SELECT 1", "--data", str(store.root), "--format", "csv", "--limit", "5"]
    check = ["check", str(DATE), "--data", str(store.root), "--json"]
    loaded = loaded_after(f"""
from tickrec.cli import main
for arguments in ({query}, {check}):
    sys.argv = ["tickrec", *arguments]
    try:
        main()
    except SystemExit:
        pass
""")
    assert "duckdb" in loaded
    assert not loaded & {"pydantic", "websockets", "rich", "ptars", "google", "pandas", "numpy", "asyncio"}


def test_the_recorder_loads_neither_duckdb_nor_rich() -> None:
    loaded = loaded_after("import tickrec.record.start, tickrec.cli.recording_display")
    assert "pyarrow" in loaded
    assert not loaded & {"duckdb", "rich"}


def test_the_viewer_loads_neither_arrow_nor_duckdb() -> None:
    loaded = loaded_after("import tickrec.screen.viewer, tickrec.screen.watch")
    assert {"rich", "google"} <= loaded
    assert not loaded & {"pyarrow", "duckdb", "asyncio", "websockets"}


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not loaded_after("import tickrec") & {"pyarrow", "duckdb", "websockets", "rich", "typer"}
