"""Exchange bars: the exchange's minute candles of a date, as the broker has answered for them.

Owns the file of the table `exchange_bars`. It is source data: nothing makes it anew but asking the broker again. Of an
instrument it holds one whole answer, the better one: what the historical endpoint serves replaces what the intraday one
said on the day itself, and never the other way round (they are known to disagree in a quarter of the bars). An answer
may be empty, for an instrument that did not trade; the file's metadata remember that it came.
"""

import datetime as dt
import json
import logging
from functools import partial
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tickrec import schema
from tickrec.clock import from_datetime
from tickrec.files import publish
from tickrec.store import parquet
from tickrec.store.paths import Store

log = logging.getLogger("tickrec")

HISTORICAL: Final = "historical"
INTRADAY: Final = "intraday"
_EMPTY: Final = "tickrec.without_candles"
"""Metadata: the answers without a candle, by instrument."""
_ORDER: Final = [("instrument_key", "ascending"), ("start_ts", "ascending")]


class Answer(NamedTuple):
    """When and where the broker was asked for the candles of an instrument."""

    source: str
    """HISTORICAL or INTRADAY."""
    fetched_ns: int


class ExchangeBars:
    """The stored candles of a date, and which instruments were asked for."""

    def __init__(self, rows: pa.Table, answers: dict[str, Answer]) -> None:
        self.rows = rows
        """The columns of the schema, in the order of instrument and time."""
        self.answers = answers
        """By instrument key, also of those that have no candle."""

    def add(self, rows: pa.Table, answers: dict[str, Answer]) -> "ExchangeBars":
        """With new answers, whose candles are `rows`, in the place of older ones that are not better."""
        better = [key for key, answer in answers.items() if not self._is_better(key, answer)]
        keys = pa.array(better, pa.string())
        kept = self.rows.filter(pc.invert(pc.is_in(self.rows["instrument_key"], keys)))
        added = rows.filter(pc.is_in(rows["instrument_key"], keys))
        together = pa.concat_tables([kept, added.cast(schema.EXCHANGE_BARS)]).sort_by(_ORDER)
        return ExchangeBars(together, self.answers | {key: answers[key] for key in better})

    def _is_better(self, key: str, answer: Answer) -> bool:
        """Whether what is stored is better than a new answer."""
        before = self.answers.get(key)
        return before is not None and before.source == HISTORICAL and answer.source == INTRADAY


def load(store: Store, date: dt.date) -> ExchangeBars:
    """The stored candles of a date; none when there are none. A damaged file counts as none, with a warning.

    Raises OSError.
    """
    try:
        with parquet.opened(store.exchange_bars_path(date)) as file:
            rows = parquet.conform(file.read(), schema.EXCHANGE_BARS)
            empty = json.loads((file.metadata.metadata or {}).get(_EMPTY.encode(), b"{}"))
            return ExchangeBars(rows, _answers(rows) | {key: Answer(*answer) for key, answer in empty.items()})
    except FileNotFoundError:
        pass
    except (parquet.UnreadableFile, AttributeError, TypeError, ValueError) as error:
        log.warning("the exchange's bars of %s cannot be read, and are asked for again: %s", date, error)
    return ExchangeBars(schema.EXCHANGE_BARS.empty_table(), {})


def _answers(rows: pa.Table) -> dict[str, Answer]:
    """What the candles themselves say of when and where they were asked for."""
    found = rows.group_by(["instrument_key", "source"]).aggregate([("fetched_ts", "max")])
    columns = (found[name].to_pylist() for name in ("instrument_key", "source", "fetched_ts_max"))
    return {key: Answer(source, from_datetime(moment)) for key, source, moment in zip(*columns, strict=True)}


def save(store: Store, date: dt.date, bars: ExchangeBars) -> None:
    """Replace the stored candles of a date, whole or not at all. For the holder of the lock. Raises OSError."""
    traded = set(bars.rows["instrument_key"].to_pylist())
    empty = {key: answer for key, answer in bars.answers.items() if key not in traded}
    metadata = {_EMPTY: json.dumps(empty, separators=(",", ":"))}
    publish(store.exchange_bars_path(date), partial(parquet.write_small, bars.rows, metadata=metadata))
