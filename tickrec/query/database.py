"""Database: a DuckDB connection in memory that takes nothing from its surroundings and gives nothing away.

Owns its settings: memory, where it may spill, Indian time, and the lock on everything outside a folder.
"""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import duckdb

from tickrec.errors import UsageError
from tickrec.query.texts import literal

MEMORY_LIMIT: Final = "50%"
"""Of the machine's memory, unless said otherwise."""

_SPILL_SHARE: Final = 4
"""Temporary files take at most one in so many free bytes: the disk may be the recorder's."""
_LEAST_MEMORY: Final = 16 * 10**6
_MEMORY: Final = re.compile(r"(\d+(?:\.\d+)?) ?(%|[KMGT]B)", re.IGNORECASE)
_UNITS: Final = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def check_memory(limit: str) -> None:
    """Raise UsageError for what is no amount of memory, or too little to do anything."""
    match = _MEMORY.fullmatch(limit)
    if match is None or (match[2] == "%" and not 0 < float(match[1]) <= 100):
        raise UsageError(f"not a memory limit: {limit}", hint="Write it as 2GB or 50%")
    if match[2] != "%" and float(match[1]) * _UNITS[match[2].upper()] < _LEAST_MEMORY:
        raise UsageError(f"{limit} of memory is too little for a query", hint="Give it 16MB at least")


def connect(spill: Path, memory_limit: str, *, few_files: bool, variables: bool) -> duckdb.DuckDBPyConnection:
    """A connection that may spill into the folder `spill`. `memory_limit` is one that `check_memory` passed.

    With `variables` frames of Python can be asked by the names of the variables that hold them.

    With `few_files` their footers are kept once read, as long as they do not change: a quarter of the time of a query
    of one day, but two megabytes a day.
    """
    connection = duckdb.connect(
        config={
            "python_enable_replacements": variables,
            "python_scan_all_frames": variables,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "temp_directory": str(spill),
        }
    )
    free = shutil.disk_usage(spill.parent).free
    connection.execute("SET memory_limit = ?", [memory_limit])
    connection.execute(f"SET max_temp_directory_size = '{free // _SPILL_SHARE}B'")
    connection.execute("SET GLOBAL TimeZone = 'Asia/Kolkata'")
    connection.execute("CREATE SCHEMA stored")
    if few_files:
        connection.execute("SET GLOBAL parquet_metadata_cache = true")
    return connection


def lock(connection: duckdb.DuckDBPyConnection, folders: Iterable[str], files: Iterable[str]) -> None:
    """Keep DuckDB from every file outside the folders but `files`, and from loosening that."""
    connection.execute(f"SET allowed_directories = [{', '.join(map(literal, folders))}]")
    connection.execute(f"SET allowed_paths = [{', '.join(map(literal, files))}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET allowed_configs = ['enable_progress_bar', 'enable_progress_bar_print']")
    connection.execute("SET lock_configuration = true")
