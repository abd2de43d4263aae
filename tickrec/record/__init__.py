"""Record: the run of `tickrec record`, from the store's lock to the last flush.

Owns what is recorded (plan, selection), the day that is being written, when it is flushed, what a run has counted
(progress), when somebody is alerted, and how it all ends. Knows the broker only through `upstox`, and nothing of SQL:
DuckDB files and sealing are left to child processes. Read `start` first, then `run`.
"""
