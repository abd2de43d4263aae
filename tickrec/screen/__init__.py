"""Screen: what people see of a recording.

Owns the layout, the tones, the keys and the terminal. The viewer is a process of its own that reads files (`watch`,
`last_values`), draws the live table (`live_table`, with `header`, `instrument_rows`, `chain` and `detail`) and listens
(`keys`, `view`) on a `terminal`, or a `windows_console`; `beside` is how a recorder has one. What takes long it asks of
another process (`side_process`): what parts have of instruments (`stored_values`), the `grade_so_far`. The pages that
are printed once are `report` (status and summary) and `check_page`, of `lines` that fit, put out by `display`. Knows
nothing of how anything was recorded. Read `viewer` first.
"""
