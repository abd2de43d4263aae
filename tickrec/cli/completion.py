"""What the shell offers where a date or a symbol is to be given.

Asks the store alone, never the broker: its dates, and its newest list of instruments. Says nothing where there is none.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from tickrec.errors import TickrecError

if TYPE_CHECKING:
    from tickrec.config import Config
    from tickrec.store.paths import Store

MOST: Final = 200
"""Names offered at a time."""
_LISTED: Final = ("NSE_EQ", "NSE_INDEX", "BSE_INDEX")
"""Segments whose symbols are offered, beside the underlyings of all contracts."""


def complete_date(ctx: Any, incomplete: str) -> list[str]:
    """The dates of the store that begin so, the newest first."""
    try:
        dates = [str(date) for date in reversed(_store(_config(ctx)).dates())]
    except (TickrecError, OSError):
        return []
    return [word for word in ("today", "yesterday", *dates) if word.startswith(incomplete)]


def complete_symbol(ctx: Any, incomplete: str) -> list[str]:
    """The symbols and lists that begin so; of several with commas between them, the last is completed."""
    before, comma, name = incomplete.rpartition(",")
    try:
        config = _config(ctx)
        words = sorted({"fno", *config.universes, *_symbols(_store(config))})
    except (TickrecError, OSError):
        return []
    found = [word for word in words if word.startswith(name)]
    return [f"{before}{comma}{word}" for word in found[:MOST]]


def _config(ctx: Any) -> "Config":
    """What the options in front of the word select. Raises UsageError."""
    import os

    from tickrec.config import load

    given: dict[str, Any] = {}
    while ctx is not None:
        given = {**{name: value for name, value in ctx.params.items() if value}, **given}
        ctx = ctx.parent
    config, data, simulate = given.get("config"), given.get("data"), bool(given.get("simulate"))
    return load(config, data=data, simulate=simulate, environ=os.environ)


def _store(config: "Config") -> "Store":
    from tickrec.store.paths import Store

    return Store(config.store.data)


def _symbols(store: "Store") -> Iterator[str]:
    """The symbols in the newest list of instruments that the store has. Raises DataError."""
    import pyarrow.compute as pc

    from tickrec.market.instruments import Master

    paths = sorted(store.instruments_path(date) for date in store.dates() if store.instruments_path(date).exists())
    if not paths:
        return
    master = Master.read(paths[-1])
    for segment in _LISTED:
        yield from master.column("symbol").filter(pc.equal(master.column("segment"), segment)).to_pylist()
    yield from pc.unique(master.column("underlying_symbol")).drop_null().to_pylist()
