"""Market: what is traded, and when.

Owns the instruments of a day, what selectors mean, the calendar and the hours of each exchange. Asks nobody itself:
the broker's answers are handed in. Read `calendar` first.
"""
