"""Doctor: everything a recording depends on, looked at before it matters.

Owns the checks and what to do about what they find; changes nothing. Read `examine` first.
"""
