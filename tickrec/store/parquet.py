"""Parquet: how our files are encoded, measured on five levels of synthetic books.

Owns the options of every file of `ticks` and of the small tables, and how a file is read so that damage shows: every
page carries a checksum, as other readers know it, and the file another, because the heads of pages and the footer have
none. Sorted by instrument, zstd finds the prices and the book of the tick before, so plain values beat dictionaries
there; of single quantities, which are lots or round numbers, the indices of a dictionary are half as much to compress.
Only encodings that every reader of Parquet knows are used.
"""

import contextlib
import errno
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import pyarrow as pa

from tickrec import schema
from tickrec.errors import DataError, to_run

if TYPE_CHECKING:
    import pyarrow.parquet as pq

PART_ROWS: Final = 4_096
"""Rows of a row group of a part, about: few enough that a question for one instrument passes most rows over, and
enough that the footers of 375 parts do not take longer to read than that saves."""

_MAX_ROWS: Final = 1_048_576
_REPEATED: Final = (
    "instrument_key", "symbol", "mode", "ltq", "bid_qty", "ask_qty", "bid_qtys", "ask_qtys", "min_volume"
)  # fmt: skip
"""Columns that a dictionary makes smaller in a part. For the others zstd alone does as well, and is cheaper."""
_QUANTITIES: Final = ("ltq", "bid_qty", "ask_qty")
_DICTIONARY: Final = (
    "instrument_key", "symbol", "mode", "min_open", "min_high", "min_low", "min_close", "min_ts", *_QUANTITIES
)  # fmt: skip
"""Columns that a dictionary makes smaller in a sealed file."""
_DELTA: Final = ("seq", "recv_ts", "feed_ts", "ltt", "vtt", "day_volume")
_ORDER: Final = [("instrument_key", "ascending"), ("seq", "ascending")]
_CRC: Final = "tickrec-crc32"
"""The key of the file's checksum in its metadata; it is made while the value is this:"""
_NO_CRC: Final = "00000000"
_CHUNK: Final = 1024 * 1024
_LARGEST_FOOTER: Final = 64 * 1024 * 1024
"""Bytes; a longer one is damage."""
_UNREADABLE: Final = (None, errno.EIO)
"""What the number of an OSError is when the content is damaged, or the sector that it is on."""


class UnreadableFile(DataError):
    """A Parquet file that is damaged or not ours; whoever may write can make it anew from the journal."""

    def __init__(self, path: Path, why: object) -> None:
        self.path = path
        self.why = "".join(char if char.isprintable() else " " for char in str(why)).strip()
        """What is wrong with it; the libraries put bytes of the file in."""
        date = path.parent.name.removeprefix("date=")
        source = path.parent.parent.name in schema.SOURCE_TABLES
        hint = "No journal has its rows" if source else f"{to_run('rebuild', date)} makes it anew from the journal"
        super().__init__(f"the Parquet file cannot be read: {self.why}", where=str(path), hint=hint)


class TicksFile:
    """A file of `ticks` that is being written."""

    def __init__(self, path: Path, options: Mapping[str, Any]) -> None:
        import pyarrow.parquet as pq

        self._path = path
        self._writer = pq.ParquetWriter(path, schema.TICKS, write_page_checksum=True, **options)

    def write(self, rows: pa.Table) -> None:
        """Write rows as one row group."""
        self._writer.write_table(rows, _MAX_ROWS)

    def close(self, metadata: Mapping[str, str] | None = None) -> None:
        """Finish the file; without metadata it is given up. Harmless to repeat."""
        if metadata is not None:
            self._writer.add_key_value_metadata({**metadata, _CRC: _NO_CRC})
        self._writer.close()
        if metadata is not None:
            _sign(self._path)


def part_file(path: Path) -> TicksFile:
    """A part: cheap to write. Its row groups, one for each `write`, are small and in the order of the instruments."""
    options = {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": [_leaf(schema.TICKS.field(name)) for name in _REPEATED],
        "write_statistics": ["seq", "recv_ts", "instrument_key", "symbol"],  # what rows are found by
    }
    return TicksFile(path, options)


def sealed_file(path: Path) -> TicksFile:
    """The sorted file of a date: small."""
    import pyarrow.parquet as pq

    options = {
        "compression": "zstd",
        "compression_level": {_leaf(column): _level(column) for column in schema.TICKS},
        "use_dictionary": [_leaf(schema.TICKS.field(name)) for name in _DICTIONARY],
        "column_encoding": dict.fromkeys(_DELTA, "DELTA_BINARY_PACKED"),
        "sorting_columns": pq.SortingColumn.from_ordering(schema.TICKS, _ORDER),
        "max_rows_per_page": _MAX_ROWS,  # pages of a megabyte compress better than those of 20,000 rows
    }
    return TicksFile(path, options)


def _level(column: pa.Field) -> int:
    """The level of zstd for a column of a sealed file. What prices and quantities take is most of it, and a seventh
    less than at level 3; lists get smaller up to level 7."""
    if pa.types.is_list(column.type):
        return 7
    return 6 if column.name in _QUANTITIES or pa.types.is_floating(column.type) else 3


def write_small(rows: pa.Table, path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a small table as one file."""
    import pyarrow.parquet as pq

    with pq.ParquetWriter(
        path, rows.schema, compression="zstd", compression_level=3, write_page_checksum=True
    ) as writer:
        writer.write_table(rows)
        writer.add_key_value_metadata({**(metadata or {}), _CRC: _NO_CRC})
    _sign(path)


def _sign(path: Path) -> None:
    """Put the file's checksum into it."""
    with path.open("r+b") as file:
        place = _place_of_crc(file)
        assert place is not None
        crc = _crc(file, place)
        file.seek(place)
        file.write(f"{crc:08x}".encode())


def require_whole(path: Path) -> None:
    """Raise UnreadableFile when anything in a file of ours has changed; one of a version without a checksum passes.

    Reads all of it. Raises OSError, FileNotFoundError among them.
    """
    try:
        with path.open("rb") as file:
            place = _place_of_crc(file)
            if place is None:
                return
            file.seek(place)
            said = file.read(len(_NO_CRC))
            if said != f"{_crc(file, place):08x}".encode():
                raise UnreadableFile(path, "its checksum is another")
    except OSError as error:
        if error.errno not in _UNREADABLE:
            raise
        raise UnreadableFile(path, error) from error


def _place_of_crc(file: BinaryIO) -> int | None:
    """Where the checksum is: in the footer, whose length is said before the last four bytes."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 8))
    footer = min(size, int.from_bytes(file.read(4), "little") + 8, _LARGEST_FOOTER)
    file.seek(size - footer)
    found = file.read(footer).rfind(_CRC.encode())
    # After the key come a field's type and the length of the value, a byte each.
    return None if found < 0 else size - footer + found + len(_CRC) + 2


def _crc(file: BinaryIO, place: int) -> int:
    """The checksum of a file, in which it is itself taken for _NO_CRC."""
    file.seek(0)
    crc, offset = 0, 0
    while offset < place:
        chunk = file.read(min(_CHUNK, place - offset))
        crc, offset = zlib.crc32(chunk, crc), offset + len(chunk)
        if not chunk:
            return crc
    crc = zlib.crc32(_NO_CRC.encode(), crc)
    file.seek(place + len(_NO_CRC))
    return zlib.crc32(file.read(), crc)


@contextlib.contextmanager
def opened(path: Path) -> Iterator["pq.ParquetFile"]:
    """A file whose pages are held against their checksums when they are read.

    Raises UnreadableFile, also for what is found inside the block; OSError.
    """
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
            _require_rows(file.metadata)
            yield file
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise UnreadableFile(path, error) from error
    except OSError as error:  # Arrow's own for what does not decode
        if error.errno not in _UNREADABLE:
            raise
        raise UnreadableFile(path, error) from error


def _require_rows(metadata: "pq.FileMetaData") -> None:
    """Raise pyarrow.ArrowInvalid when the row groups do not make up the file: its footer has no checksum."""
    rows = sum(metadata.row_group(number).num_rows for number in range(metadata.num_row_groups))
    if rows != metadata.num_rows:
        raise pa.ArrowInvalid(f"its row groups have {rows} rows, not {metadata.num_rows}")


@contextlib.contextmanager
def opened_ticks(path: Path) -> Iterator["pq.ParquetFile"]:
    """A file of `ticks`, as `opened`; its columns are ours. Raises UnreadableFile, OSError."""
    with opened(path) as file:
        found = file.schema_arrow.empty_table()
        conform(found, schema.TICKS)
        for name, _ in _ORDER:
            if name not in found.column_names:
                raise pa.ArrowInvalid(f"it has no column {name}")
        yield file


def read(path: Path, fields: pa.Schema) -> pa.Table:
    """A whole file with exactly these columns. Raises UnreadableFile, OSError."""
    with opened(path) as file:
        return conform(file.read(), fields)


def conform(table: pa.Table, fields: pa.Schema) -> pa.Table:
    """The table with exactly these columns; those it lacks, because an older version wrote it, are NULL.

    Raises pyarrow.ArrowInvalid when it has one that we never write: then what the file says of its columns is damaged.
    """
    if table.schema.equals(fields):
        return pa.Table.from_arrays(table.columns, schema=fields)
    strange = [column.name for column in table.schema if column not in fields]
    if strange:
        raise pa.ArrowInvalid(f"{', '.join(strange)} is no column of it")
    columns = [
        table[field.name] if field.name in table.column_names else pa.nulls(table.num_rows, field.type)
        for field in fields
    ]
    return pa.table(columns, schema=fields)


def _leaf(column: pa.Field) -> str:
    """The name by which Parquet options speak of a column's values."""
    return f"{column.name}.list.element" if pa.types.is_list(column.type) else str(column.name)
