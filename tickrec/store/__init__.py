"""Store: the files of a date beside its journal.

Owns their names (paths), which journal entries they cover (coverage), Parquet parts and how they are encoded, the
DuckDB day file and the manifest. Knows nothing of the broker but how its messages become columns. Read `paths` first.
"""
