"""Seal: one date becomes final.

Owns the order of the steps (`seal`), sorting a date's parts into one file a table (`sort`), building the new files
beside the published ones (`build`), counting the journal and the ticks (`counts`; what a journal lost: `lost_entries`),
the grade that the manifest keeps (`grading`), holding all that is stored against each other (`verify`), what killed
processes left (`leftovers`), and for how long journals are kept (`retention`). Never touches a date that is being
recorded. Read `seal` first.
"""
