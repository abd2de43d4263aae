"""tickrec records every tick of the Upstox market data feed: journal first, then Parquet and DuckDB."""

from typing import Final

__version__: Final = "0.1.0"
