"""Status: how a store is doing, told from files alone.

Owns what a run says about itself (`runstatus`), what was recorded of each date (`totals`), what that takes on disk
(`disk_use`), whether an exchange is open meanwhile (`next_session`), and all of it as JSON (`as_json`). Knows neither
the process that records nor how it is shown. Read `status` first.
"""
