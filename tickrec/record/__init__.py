"""Record: the run of `tickrec record`, from the store's lock to the last flush.

Owns what is recorded (plan, planning, choice, selection), the time before it can be (waiting), the dates that are
being written (day, rollover), when they are flushed, what a run has counted (progress), what goes on beside it
(background, stale, following, latecomers), what needs a person and who is told (alert_rules, alerts, owner, evening),
and how it all ends (ending, run). Knows the broker only through `upstox`, and nothing of SQL: DuckDB files, sealing
and checking are left to child processes. Read `start` first, then `run`.
"""
