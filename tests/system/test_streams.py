"""Commands and what they write to: closed streams, encodings that lack letters, and pipes that nobody reads."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.days import DATE
from tests.processes import environment
from tests.query.fixtures import tick, write_sealed
from tickrec.errors import ExitCode
from tickrec.store.paths import Store

WITHOUT_STREAMS = """
import os, sys
from tickrec.cli import main
try:
    main()
except SystemExit as end:
    next_file = os.open(os.devnull, os.O_RDONLY)
    sys.exit(end.code or next_file < 3 or None in (sys.stdin, sys.stdout, sys.stderr))
"""


def test_commands_do_without_the_standard_streams_and_no_other_file_takes_their_numbers(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_STREAMS, "status"]
    close = partial(os.closerange, 0, 3)
    done = subprocess.run(command, cwd=tmp_path, env=environment(tmp_path), preexec_fn=close, timeout=60)
    assert done.returncode == ExitCode.DONE


@pytest.mark.parametrize(("encoding", "form"), [("ascii", "json"), ("cp1252", "table")])
def test_what_the_encoding_of_stdout_lacks_is_escaped_as_json_has_it(
    store: Store, tmp_path: Path, encoding: str, form: str
) -> None:
    write_sealed(store, DATE, {"ticks": [tick(1, "09:15", ltp=1.0)]})
    text = "₹ é 日 🙂"
    env = {**environment(tmp_path), "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "tickrec", "query", f"SELECT '{text}' AS a", "--format", form]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=True, timeout=60)
    said = done.stdout.decode(encoding)
    if form == "json":
        assert json.loads(said) == [{"a": text}]
    else:
        assert r"\u20b9 é \u65e5 \ud83d\ude42" in said


HEAD = """
import sys
from pathlib import Path
from tickrec.store.paths import Store
from tickrec.query.answers import write_stdout
from tickrec.query.session import Session
with Session(Store(Path(sys.argv[1]))) as session:
    write_stdout(session.execute("SELECT range FROM range(100000000000)", format=sys.argv[2]))
"""


@pytest.mark.parametrize("format", ["table", "csv"])
def test_a_pipe_closed_by_head_leaves_no_trace(store: Store, format: str) -> None:
    command = [sys.executable, "-c", HEAD, str(store.root), format]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().strip() == b"range"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=30) == 0
