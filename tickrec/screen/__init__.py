"""Screen: what people see of a recording: the live table, the status page, the summary of a run.

Owns the layout, the tones and the terminal. Is given values to show, and knows nothing of how they were recorded.
Read `table` first.
"""
