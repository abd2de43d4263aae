"""Parsed: payloads as arrays shaped like the broker's messages, by whichever decoder.

Owns the shape only. `batches` makes it with ptars, `plain` with protobuf; `columns` and `tables` read it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pyarrow as pa


class Messages(NamedTuple):
    """Decoded messages. `times`, `types` and `infos` count messages; `keys`, `modes` and `parents` feed entries."""

    types: pa.Int32Array
    times: pa.Int64Array
    """currentTs, ms."""
    infos: Mapping[int, Any]
    """MarketInfo by message, of the few messages that have one."""
    parents: pa.Int64Array
    """The message of each feed entry; ascending."""
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
