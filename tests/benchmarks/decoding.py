"""How fast messages become the columns of `ticks`, against the SDK's way to a dict."""

from collections.abc import Callable, Iterator

from google.protobuf.json_format import MessageToDict
from upstox_client.feeder.proto import MarketDataFeedV3_pb2 as sdk

from tests.benchmarks.bench import Bench
from tests.benchmarks.decode_speed import best
from tests.benchmarks.pool import TICKS_A_MESSAGE, Quotes
from tests.benchmarks.table import Row, rate, times
from tickrec.journal.entry import Entry, EntryKind
from tickrec.upstox.decode.tables import decode

_MESSAGES = 1_200
_PIECE = 315
"""Messages decoded at a time: some 3 MB, as by a recorder."""


def rows(bench: Bench) -> Iterator[Row]:
    """One row; all on one core, turn after turn in alternation, the best turn of each."""
    payloads = [bench.pool.payload(number) for number in range(_MESSAGES)]
    entries = [Entry(EntryKind.MESSAGE, 1, 0, 0, payload, False, n) for n, payload in enumerate(payloads, 1)]
    symbols = {key: key for key in Quotes().keys}
    pieces = [entries[at : at + _PIECE] for at in range(0, _MESSAGES, _PIECE)]
    few = payloads[: _MESSAGES // 24]

    def sdk_dicts() -> None:
        for payload in few:
            MessageToDict(sdk.FeedResponse.FromString(payload))

    runs: dict[Callable[[], object], int] = {
        lambda: [decode(piece, symbols) for piece in pieces]: _MESSAGES,
        sdk_dicts: len(few),
    }
    fastest = dict.fromkeys(runs, float("inf"))
    for _ in range(7 if bench.quick else 40):
        fastest = {run: min(seconds, best(run, 1)) for run, seconds in fastest.items()}
    ours, theirs = (runs[run] * TICKS_A_MESSAGE / seconds for run, seconds in fastest.items())
    yield Row(
        "decode to columns, one core",
        rate(ours),
        f"SDK {rate(theirs)}",
        times(ours / theirs),
        "40x",
        ours >= 40 * theirs,
    )
