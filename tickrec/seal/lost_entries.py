"""Lost entries: what the journal has lost to damage, and files that may still have their ticks.

Owns the one rule of damaged data: a file that was set aside is removed only if the journal lost nothing in its range,
and ticks that only such a file has, or one that a rebuild would replace, keep a date from being sealed.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from tickrec.seal.counts import orphans
from tickrec.store.parquet import UnreadableFile
from tickrec.store.parts import set_aside
from tickrec.store.paths import DAMAGED_SUFFIX

log = logging.getLogger("tickrec")

Ranges: TypeAlias = Sequence[Sequence[int]]
"""First and last seq of the entries that are lost, in order."""

_RANGE: Final = re.compile(r"part-(\d{12})-(\d{12})")


def may_have(path: Path, lost: Ranges) -> bool:
    """Whether a file of a date, by its name, may have something of the lost entries."""
    match = _RANGE.search(path.name)
    return any(not match or (first <= int(match[2]) and last >= int(match[1])) for first, last in lost)


def only_elsewhere(paths: Iterable[Path], lost: Ranges, kept: Path) -> Iterator[str]:
    """The files that have ticks of lost entries which the new file `kept` does not have, in words.

    One that cannot be read may have some: it is set aside, and stays. Raises OSError.
    """
    if not lost:
        return
    held = orphans([kept], lost)
    for path in filter(lambda path: may_have(path, lost), paths):
        if only := _beyond(path, lost, held):
            hint = " (move it away to seal the date without them)" if path.name.endswith(DAMAGED_SUFFIX) else ""
            yield f"the journal has lost {only} ticks that are still stored in {path}{hint}"


def _beyond(path: Path, lost: Ranges, held: Counter[int]) -> int:
    """How many ticks of lost entries a file has beyond those that are held."""
    try:
        return (orphans([path], lost) - held).total()
    except UnreadableFile as error:
        if not path.name.endswith(DAMAGED_SUFFIX):
            set_aside(error)
        log.warning("the journal has lost entries; %s, which cannot be read, may have them and stays", path)
        return 0
