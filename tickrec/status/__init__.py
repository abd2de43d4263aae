"""Status: how a store is doing, told from files alone.

Owns what a run says about itself (runstatus), what was recorded of each date (totals) and what that takes on disk.
Knows neither the process that records nor how it is shown. Read `status` first.
"""
