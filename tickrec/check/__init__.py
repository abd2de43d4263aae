"""Check: is a day complete?

Owns the grades, and what an instrument and a day have to be graded by: how much of the session and of the volume was
not recorded. What is missing is for `query.missing` to say. Reads files only, of a date that is sealed, that is not, or
that is being recorded; but for `backfill`, which fetches the exchange's candles, with which `bar_differences` compares.
Read `completeness` first; `evidence` asks the store, `reasons` has the words, `strip` the day as a line of characters.
"""
