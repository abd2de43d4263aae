"""Doctor: everything a recording depends on, looked at before it matters.

Owns the checks and what to do about what they find (`findings`): of the broker (`broker`, by `reach`), of this machine
(`machine`), of what starts the recorder (`scheduled`), and of the user's own `commands`. Changes nothing. Read
`examine` first.
"""
