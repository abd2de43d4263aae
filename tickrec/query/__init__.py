"""Query: SQL over everything recorded, sealed or not, without a server and without a lock.

Owns what may be asked, of what, and how an answer looks. Reads files only, and never the DuckDB day files.

`session` is the way of a question; read it first. On the way, `sandbox` refuses what does not only read (`words` take a
text apart, `duckdb_errors` say what is wrong with it, and its `syntax_tree` which dates it is about), and files of the
user's are `attached`. `sources` finds the store's files of a `date_range`, under names that DuckDB takes (`locations`),
and the journal's tail (`unflushed`).
`views` is the table of all views and macros (larger ones in `missing`, `bars`, `trades` and `option_chains`), `catalog`
makes statements of it, and `stored_views` lets names stand for files; `calendar_sessions` and `replay_date` tell of
each date what only files beside the tables know. `examples` are those of the help. `interruptible` runs the statement
in a thread, on the connection of `database`. Its rows leave DuckDB in one of the `forms`, values as text by `texts`;
`answers` writes them (`grid` is their table, of `cells`), and `hints` tell why there are none.
"""
