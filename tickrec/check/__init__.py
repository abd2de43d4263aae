"""Check: is a day complete?

Owns the grades: `grades` has the limits and the rule, `day_check` applies it to a date, for which `evidence` asks the
store, `reasons` has the words and `strip` a line of characters. What is missing is for `query.missing` to say.
`backfill` fetches the exchange's candles, `bar_differences` compares with them. Reads files only, of a date that is
sealed, that is not, or that is being recorded. Read `day_check` first.
"""
