"""Last rows: the last row of every instrument of a sealed date, kept in the footer of its file of `ticks`.

Owns how they are found and written as text. In the file itself they lie far apart: to find them there, all of it has
to be read.
"""

import base64
from collections.abc import Iterable
from itertools import accumulate
from typing import Final

import pyarrow as pa

from tickrec import schema
from tickrec.store import parquet

_CODEC: Final = "zstd"


class LastRows:
    """Picks the last rows out of rows that go by in the order of instruments, of which each has so many."""

    def __init__(self, counts: Iterable[int]) -> None:
        self._ends = list(accumulate(counts))
        self._seen = 0
        """Rows that went by."""
        self._found: list[pa.Table] = []

    def add(self, rows: pa.Table) -> None:
        """Take the next rows."""
        begin, end = self._seen, self._seen + rows.num_rows
        places = [each - 1 - begin for each in self._ends if begin < each <= end]
        self._found.append(rows.take(pa.array(places, pa.int64())))
        self._seen = end

    def to_text(self) -> str:
        """The rows found, as an Arrow stream under zstd in base64: other programs expect text in a footer."""
        rows = pa.concat_tables([schema.TICKS.empty_table(), *self._found]).combine_chunks()
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, _CODEC) as stream, pa.ipc.new_stream(stream, schema.TICKS) as writer:
            writer.write_table(rows)
        return base64.b64encode(sink.getvalue()).decode()


def from_text(text: str) -> pa.Table:
    """The rows that `to_text` wrote, with the columns of this version. Raises ValueError, OSError."""
    source = pa.BufferReader(base64.b64decode(text))
    with pa.CompressedInputStream(source, _CODEC) as stream, pa.ipc.open_stream(stream) as reader:
        return parquet.conform(reader.read_all(), schema.TICKS)
