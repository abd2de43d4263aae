"""Record: the run of `tickrec record`, from the store's lock to the last flush.

Owns what is recorded (`plan`, made by `plan_making` from the user's `choice`; `selection` is what `tickrec symbols`
answers), the time before it can be (`waiting`), the dates that are being written (`day`, `rollover`; `store_source`
lets a store have one source), when they are flushed (`flush`), what a run has counted (`progress`), and how it all ends
(`signals`, `ending`, `run`). In the `background`, `stale` names who has stopped ticking, `following` adds strikes as
the money moves, and `latecomers` what the list lacked at first. `alert_rules` decide what needs a person, `alerts` tell
it, `done_message` the good end; `owner_command` runs the command. Knows the broker only through `upstox`, and nothing
of SQL: DuckDB files, sealing and checking are left to child processes. What all of it is made with is the `setup`. Read
`start` first, then `run`.
"""
