"""Store: the files of a date beside its journal.

Owns their names (`paths`), which journal entries they cover (`coverage`), from which entries parts are made (`parts`),
how one is written and published (`draft`) and encoded (`parquet`), the DuckDB day file (`dayfile`, and what it holds:
`rows`), and what was sealed (`manifest`). Knows nothing of the broker but how its messages become columns. Read `paths`
first.
"""
