"""Store: the files of a date beside its journal.

Owns their names (`paths`), which journal entries they cover (`coverage`), how entries become rows (`rows`), how a part
is written, sorted and published (`parts`) and encoded (`parquet`), the DuckDB day file (`dayfile`, and what it holds:
`day_contents`), the exchange's candles (`exchange_bars`), and what was sealed (`manifest`). Knows nothing of the broker
but how its messages become columns. Read `paths` first.
"""
