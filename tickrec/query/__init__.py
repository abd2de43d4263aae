"""Query: SQL over everything recorded.

Owns what may be asked (sandbox), of what (views, sources) and how the answers look. Reads files only, and never the
DuckDB day files. Read `session` first.
"""
