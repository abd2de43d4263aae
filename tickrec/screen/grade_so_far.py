"""Grade so far: how complete a date is that is being recorded, for the header.

A process of its own, `python -m tickrec.screen.grade_so_far DATA DATE`: it asks DuckDB, whose memory is needed for a
moment.
"""

import datetime as dt
import sys
from pathlib import Path


def main() -> None:
    """Print the letter; nothing for a date that has no grade."""
    from tickrec import children
    from tickrec.check.day_check import check_date
    from tickrec.errors import TickrecError
    from tickrec.store.paths import Store

    children.lower_priority()
    _, data, date = sys.argv
    try:
        sys.stdout.write(check_date(Store(Path(data)), dt.date.fromisoformat(date)).grade)
    except TickrecError:
        return


if __name__ == "__main__":
    main()
