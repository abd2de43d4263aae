"""Seal: one date becomes final.

Owns sorting a date's parts into one file a table, building its DuckDB file, counting and verifying what was made,
and for how long journals are kept. Never touches a date that is being recorded. Read `seal` first.
"""
