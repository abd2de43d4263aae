"""tickrec records every tick of the Upstox market data feed: journal first, then Parquet and DuckDB.

In Python, ask a store with SQL, also while it is recorded:

    import tickrec
    day = tickrec.open("data")
    bars = day.sql("FROM candles('1 minute') WHERE symbol = 'RELIANCE'").df()
"""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import datetime as dt
    import os

    from tickrec.query.session import Session

__version__: Final = "0.1.0"


def open(data: "str | os.PathLike[str]", *, first: "dt.date | None" = None, last: "dt.date | None" = None) -> "Session":
    """The store in the folder `data`, to be asked with `.sql(...)`; `first` and `last` narrow it to trading dates.

    `.sql` returns a DuckDB relation over the tables, views and macros that `tickrec query --tables` describes. What is
    recorded meanwhile is in the next answer. Raises UsageError when nothing is recorded there.
    """
    from pathlib import Path

    from tickrec.errors import UsageError
    from tickrec.query.date_range import DateRange, elsewhere
    from tickrec.query.session import Session
    from tickrec.store.paths import Store

    folder = Path(data)
    if not Store(folder).dates():
        what = "nothing is recorded" if folder.is_dir() else "there is no folder"
        raise UsageError(f"{what} in {folder.absolute()}", hint=elsewhere(folder))
    return Session(Store(folder), DateRange(first, last), locked=False)
