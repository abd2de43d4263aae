"""How fast messages become the columns of `ticks`, against the SDK's way to a dict."""

from collections.abc import Iterator

from google.protobuf.json_format import MessageToDict
from upstox_client.feeder.proto import MarketDataFeedV3_pb2 as sdk

from tests.benchmarks.bench import Bench
from tests.benchmarks.decode_speed import best
from tests.benchmarks.pool import TICKS_A_MESSAGE, Quotes
from tests.benchmarks.table import Row, rate, times
from tickrec.entry import Entry, EntryKind
from tickrec.upstox.decode import decode

_MESSAGES = 400
_PIECE = 40
"""Messages decoded at a time while recording."""


def rows(bench: Bench) -> Iterator[Row]:
    """One row; both on one core in turns, the best turn of each."""
    payloads = [bench.pool.payload(number) for number in range(_MESSAGES)]
    entries = [Entry(EntryKind.MESSAGE, 1, 0, 0, payload, False, n) for n, payload in enumerate(payloads, 1)]
    pieces = [entries[at : at + _PIECE] for at in range(0, _MESSAGES, _PIECE)]
    symbols = {key: key for key in Quotes().keys}
    turns = 3 if bench.quick else 7
    ours = _MESSAGES * TICKS_A_MESSAGE / best(lambda: [decode(piece, symbols) for piece in pieces], turns)
    few = payloads[: _MESSAGES // 8]
    theirs = (
        len(few) * TICKS_A_MESSAGE / best(lambda: [MessageToDict(sdk.FeedResponse.FromString(p)) for p in few], turns)
    )
    yield Row(
        "decode to columns, one core",
        rate(ours),
        f"SDK {rate(theirs)}",
        times(ours / theirs),
        "30x",
        ours >= 30 * theirs,
    )
