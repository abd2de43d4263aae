"""The journal of a date: a folder of numbered files that together hold every entry, in the order of seq.

`format` specifies the bytes, `packed` is their compressed form, `writer` appends, `scan` reads a single file, `reader`
reads and follows all of them, `repair` puts a journal in order after a crash and compresses it when the day is sealed.
Knows nothing about the broker.

One process writes, under the recording lock; any number read at the same time, without a lock.
"""

from tickrec.journal.format import MAX_PAYLOAD, Damage, Ending, Position
from tickrec.journal.reader import Follow, Journal
from tickrec.journal.repair import Repair, SetAside, compress, repair
from tickrec.journal.writer import SEGMENT_BYTES, JournalWriter

__all__ = [
    "MAX_PAYLOAD",
    "SEGMENT_BYTES",
    "Damage",
    "Ending",
    "Follow",
    "Journal",
    "JournalWriter",
    "Position",
    "Repair",
    "SetAside",
    "compress",
    "repair",
]
