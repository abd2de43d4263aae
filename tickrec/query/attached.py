"""Attached files: a CSV or Parquet file of the user's, to be asked under a name beside what is recorded.

Owns how such a file is named and which it may be. It is only read, whenever a statement asks for it.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import duckdb

from tickrec.errors import UsageError
from tickrec.query.duckdb_errors import usage_error
from tickrec.query.locations import readable_path
from tickrec.query.texts import literal
from tickrec.query.views import RELATIONS

_READERS: Final = {
    ".csv": "read_csv({})",
    ".tsv": "read_csv({})",
    ".txt": "read_csv({})",
    ".gz": "read_csv({})",
    ".parquet": "read_parquet({}, hive_partitioning = false)",
}
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def attachments(texts: Iterable[str]) -> dict[str, Path]:
    """Files by name, from `FILE`, which is called as it is without its ending, or `NAME=FILE`.

    Raises UsageError for a name that is none or taken, and for a file that is not there or of another kind.
    """
    found: dict[str, Path] = {}
    for text in texts:
        said, _, rest = text.partition("=")
        named = bool(rest) and _NAME.fullmatch(said) is not None
        path = Path(rest if named else text)
        name = (said if named else path.name.partition(".")[0]).lower()
        if path.suffix.lower() not in _READERS:
            raise UsageError(
                f"cannot tell what {path.name} holds", hint=f"End its name in one of: {' '.join(_READERS)}"
            )
        if not path.is_file():
            raise UsageError("there is no such file to attach", where=str(path))
        if _NAME.fullmatch(name) is None:
            raise UsageError(f"{name} is no name for a table", hint=f"Give it one: --attach mine={path}")
        if name in RELATIONS or name in found:
            raise UsageError(f"the name {name} is taken", hint=f"Give {path} another one: --attach mine={path}")
        found[name] = path
    return found


def attach(connection: duckdb.DuckDBPyConnection, name: str, path: Path, scratch: Path) -> str:
    """Make a view of a file and return the path that DuckDB reads it by. Raises UsageError when it cannot be read."""
    read_as = readable_path(path, scratch)
    source = _READERS[path.suffix.lower()].format(literal(read_as))
    try:
        connection.execute(f'CREATE VIEW main."{name}" AS FROM {source}')
    except duckdb.Error as error:
        what = usage_error(error, "").what if path.exists() else "it is gone"
        raise UsageError(f"the file cannot be read: {what}", where=str(path)) from None
    return read_as
