"""Store source: where the messages of a run come from, and which store may take them.

A store never holds messages of two sources: a replay left in the configuration must not write among the broker's.
"""

from tickrec.errors import UsageError
from tickrec.store.manifest import stored_source
from tickrec.store.paths import Store
from tickrec.upstox.rest import SOURCE


def check_origin(store: Store, source: str, *, now: bool) -> None:
    """Raise UsageError when a store may not take messages of a source; `now`: the calendar is not consulted.

    Raises DataError for a journal of a newer format, OSError.
    """
    if source != SOURCE and not now:
        raise UsageError(
            f"the broker's address leads to a {source}, not to the broker",
            hint="Give --now to record it, and a --data folder of its own; or take api_url out of the configuration",
        )
    stored = stored_source(store) or SOURCE  # where no date says it, an earlier version sealed them all
    if store.dates() and stored != source:
        hint = "Give it a --data folder of its own, or look at api_url in the configuration"
        raise UsageError(f"the store holds data of {stored}, not of {source}", where=str(store.root), hint=hint)
