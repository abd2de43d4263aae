"""Children: they find the same tickrec and the same libraries as the process that starts them."""

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests import ROOT
from tickrec import children

SHOW = """
import json, subprocess
from tickrec import children
command = children.command("show")
done = subprocess.run(command, env=children.without_secrets(), capture_output=True, text=True)
print(done.stdout or json.dumps(done.stderr))
"""
CHILD = "import json, sys, uuid, tickrec; print(json.dumps([tickrec.__file__, uuid.__file__]))"
STANDARD = str(Path(os.__file__).parent / "uuid.py")


def libraries_of(folder: Path) -> Path:
    """An environment of its own, with the folder of its libraries."""
    venv.create(folder, symlinks=True)
    (libraries,) = folder.glob("lib/python*/site-packages")
    return libraries


def put_package(folder: Path) -> None:
    """Put tickrec and a module that shadows one of the standard library where a child might look."""
    shutil.copytree(ROOT / "tickrec", folder / "tickrec", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "uuid.py").write_text("raise ImportError('not the standard library')\n")


def seen_by_a_child(*options: str, python: Path, cwd: Path, **variables: str) -> list[str]:
    """Which tickrec and which uuid a child of a process with these options finds."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | variables
    done = subprocess.run([python, *options, "-c", SHOW], cwd=cwd, env=env, capture_output=True, text=True, check=True)
    seen: list[str] = json.loads(done.stdout)
    return seen


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A Python with tickrec among its libraries, beside a package that has the name of a standard module. The folder
    of the environment holds both as well."""
    folder = tmp_path_factory.mktemp("installed")
    libraries = libraries_of(folder)
    for each in (folder, libraries):
        put_package(each)
    (libraries / "show.py").write_text(CHILD)
    return folder / "bin" / "python", libraries


@pytest.mark.parametrize("options", [(), ("-I",), ("-P",)])
def test_a_package_among_the_libraries_shadows_no_standard_module(
    installed: tuple[Path, Path], options: tuple[str, ...]
) -> None:
    python, libraries = installed
    seen = seen_by_a_child(*options, python=python, cwd=python.parents[1])  # where it is not looked for them either
    assert seen == [str(libraries / "tickrec/__init__.py"), STANDARD]


def test_a_checkout_on_the_path_is_found(tmp_path: Path) -> None:
    libraries_of(tmp_path)
    (tmp_path / "show.py").write_text(CHILD)
    path = os.pathsep.join((str(ROOT), str(tmp_path)))
    seen = seen_by_a_child(python=tmp_path / "bin" / "python", cwd=Path("/"), PYTHONPATH=path)
    assert seen == [str(ROOT / "tickrec/__init__.py"), STANDARD]


def test_a_child_of_a_checkout_in_the_current_folder_is_found_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path[1:]])
    assert "-P" not in children.command("tickrec")
    monkeypatch.setattr(sys, "path", ["/elsewhere/bin", *sys.path[1:]])
    assert children.command("tickrec")[1] == "-P"


def test_secrets_stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTOX_ACCESS_TOKEN", "secret")
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    assert children.without_secrets()["TZ"] == "Asia/Kolkata"
    assert "secret" not in children.without_secrets().values()
