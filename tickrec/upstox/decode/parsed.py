"""Parsed: payloads as arrays shaped like the broker's messages, by whichever decoder.

Owns the shape, and the order of the entries. `batches` makes it with ptars, `plain` with protobuf; `columns` and
`tables` read it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc


class Messages(NamedTuple):
    """Decoded messages. `times`, `types` and `infos` count messages; `keys`, `modes` and `parents` feed entries.

    The entries are in the order of instruments, and those of an instrument in the order of messages.
    """

    types: pa.Int32Array
    times: pa.Int64Array
    """currentTs, ms."""
    infos: Mapping[int, Any]
    """MarketInfo by message, of the few messages that have one."""
    parents: pa.Int64Array
    """The message of each feed entry."""
    keys: pa.StringArray
    codes: pa.DictionaryArray
    """The keys, dictionary encoded."""
    modes: pa.Int32Array
    branches: Mapping[str, pa.StructArray]
    """The message of each entry by the name of its field, NULL for entries with another; no name that nobody sent."""


class Read(NamedTuple):
    """What became of some payloads, which are numbered from 0 in the order given."""

    messages: Messages
    kept: list[int]
    """The payload of each message; ascending."""
    errors: dict[int, str]
    """Why the others are missing."""


def by_instrument(keys: pa.StringArray) -> tuple[pa.UInt64Array, pa.DictionaryArray]:
    """The order in which entries are sorted by instrument, each instrument's as they were, and their keys in it,
    dictionary encoded."""
    known = pc.unique(keys)
    known = pc.array_take(known, pc.sort_indices(known))
    codes = pc.index_in(keys, known)
    order = pc.sort_indices(codes)  # stable
    return order, pa.DictionaryArray.from_arrays(pc.array_take(codes, order), known)
