"""Runs: rows of `ticks` in the order (instrument_key, seq), and where they are cut into row groups.

Owns the sorting. Rows come in the order of seq, so they only have to be told apart by instrument. Knows no file.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tickrec import schema


class Run(NamedTuple):
    """Sorted rows, in one chunk, and how many each instrument has, in their order."""

    rows: pa.Table
    counts: Mapping[str, int]

    def groups(self, most: int) -> Iterator[pa.Table]:
        """The rows in pieces of about `most`, which end with an instrument; one that has more is cut as well."""
        begin = end = 0
        for count in self.counts.values():
            if end > begin and end + count - begin > most:
                yield self.rows.slice(begin, end - begin)
                begin = end
            end += count
            while end - begin > most:
                yield self.rows.slice(begin, most)
                begin += most
        if end > begin:
            yield self.rows.slice(begin, end - begin)


def sort(tables: list[pa.Table]) -> Run:
    """The rows of tables that follow each other in seq.

    Empties the list, and holds each column twice only while it sorts that: the rows of a minute are 30 MB.
    """
    columns = [[*chunks] for chunks in zip(*(table.columns for table in tables), strict=True)]
    tables.clear()
    keys = pa.chunked_array([chunk for column in columns[_KEY] for chunk in column.chunks], pa.string())
    known = pc.unique(keys)
    known = known.take(pc.sort_indices(known))
    codes = pc.index_in(keys, known).combine_chunks()
    order = pc.sort_indices(codes)  # stable: an instrument's rows keep their order
    counts = {pair["values"]: pair["counts"] for pair in pc.value_counts(codes).to_pylist()}
    sorted_columns = []
    for number, field in enumerate(schema.TICKS):
        column = pa.chunked_array([chunk for each in columns[number] for chunk in each.chunks], field.type)
        columns[number] = []
        sorted_columns.append(pc.take(column.combine_chunks(), order))
        del column
    named = known.to_pylist()
    rows = pa.Table.from_arrays(sorted_columns, schema=schema.TICKS)
    return Run(rows, {named[code]: counts[code] for code in sorted(counts)})


_KEY = schema.TICKS.get_field_index("instrument_key")
