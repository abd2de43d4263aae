"""Journal: the truth. A folder of numbered files a date that together hold every entry, in the order of seq.

Owns the bytes (`format`, compressed: `packed`), who appends (`writer`), who reads (`scan` one file, `reader` all of
them, `tail` the newest entries), putting in order what a crash left (`repair`), and what the entries say: `gaps`
decides when a gap begins and ends, `history` makes rows of gaps, connections and subscriptions. Knows nothing about the
broker. One process writes, under the recording lock; any number read at the same time, without a lock. Read `entry`
first, then `format`.
"""

from tickrec.journal.format import Position
from tickrec.journal.reader import Follow, Journal
from tickrec.journal.repair import compress, pack_checked, repair
from tickrec.journal.writer import JournalWriter

__all__ = ["Follow", "Journal", "JournalWriter", "Position", "compress", "pack_checked", "repair"]
