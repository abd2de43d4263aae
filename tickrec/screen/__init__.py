"""Screen: what people see of a recording: the viewer, the status page, the summary of a run.

Owns the layout, the tones, the keys and the terminal. The viewer is a process of its own that reads files (`watch`,
`live`), shows them (`frame` and what it is made of) and listens (`keys`, `view`); `beside` is how a recorder has one.
Knows nothing of how anything was recorded. Read `viewer` first.
"""
