"""Market: what is traded, and when.

Owns the instruments of a day (`instruments`, which fills up what is a `short_list`), what selectors mean (`selectors`,
`watchlists`), which strikes are near the money (`chains`), the calendar (`calendar`) and the hours of each exchange
(`hours`), and the numbers by which silence is strange (`silence_rule`). Asks nobody itself: the broker's answers are
handed in. Read `calendar` first.
"""
