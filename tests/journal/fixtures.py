"""Small journals for tests, and child processes that write or read them."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen

import tickrec
from tickrec.clock import SECOND
from tickrec.journal import Journal, JournalWriter
from tickrec.journal.entry import Entry, EntryKind

ROOT = Path(tickrec.__file__).parents[1]
NINE = 1_795_404_600 * SECOND
"""2026-11-23 09:00 IST."""
SOURCE = "upstox.v3"


def message(payload: bytes, after_ms: int = 0, conn: int = 1, text: bool = False) -> Entry:
    """A message received some time after nine."""
    return Entry(EntryKind.MESSAGE, conn, NINE + after_ms * 1_000_000, 5 * SECOND + after_ms * 1_000_000, payload, text)


def write(folder: Path, entries: Sequence[Entry], *, next_seq: int = 1, segment_bytes: int = 1 << 28) -> list[Entry]:
    """Append entries in one run and return them as they must be read."""
    writer = JournalWriter(folder, source=SOURCE, next_seq=next_seq, start_ns=NINE, segment_bytes=segment_bytes)
    seqs = [writer.append(entry) for entry in entries]
    writer.close()
    assert seqs == list(range(next_seq, next_seq + len(entries)))
    return [entry._replace(seq=seq) for entry, seq in zip(entries, seqs, strict=True)]


def messages(count: int, size: int = 13) -> list[Entry]:
    """Different messages whose sizes leave every padding."""
    return [message(bytes([65 + i % 26]) * (size + i % 8), i, 1 + i % 2, i % 3 == 0) for i in range(count)]


def seqs(folder: Path) -> list[int]:
    """What a whole pass finds."""
    return [entry.seq for entry in Journal(folder).entries()]


@contextmanager
def child(script: str, *args: object) -> Iterator[Popen[str]]:
    """A Python process that runs `script` with pipes to its stdin and stdout; killed at the end."""
    command = [sys.executable, "-c", script, *map(str, args)]
    with Popen(command, cwd=ROOT, stdin=PIPE, stdout=PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()
