"""Store: the files of a date beside its journal.

Owns their names (`paths`), which journal entries they cover (`coverage`), how the entries after those become rows
(`rows`), how a part is written and published (`parts`), sorted (`sorted_runs`) and encoded (`parquet`), where the last
row of each instrument is (`last_rows`), the DuckDB day file (`dayfile`, and what it holds: `day_contents`), the
exchange's candles (`exchange_bars`), what was sealed (`manifest`), and room on the disk (`space`). Knows nothing of the
broker but how its messages become columns. Read `paths` first.
"""
