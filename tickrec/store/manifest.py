"""Manifest: what was sealed of a date, in numbers that can be checked.

Owns the JSON file. It is written last when a date is sealed, so its being there says that everything it names was
complete and agreed with the journal.
"""

import contextlib
import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import pyarrow as pa

from tickrec.clock import from_datetime, ist
from tickrec.errors import DataError, to_run
from tickrec.files import publish_bytes
from tickrec.journal.scan import journal_source
from tickrec.store.paths import Store

_CHUNK: Final = 1024 * 1024
_NUMBERS: Final = ("schema_version", "first_seq", "last_seq", "messages", "message_bytes")
_TEXTS: Final = ("date", "sealed_at")
_LATER: Final = ("grade", "why", "source")
"""What the manifests of earlier versions do not say."""
_COUNTS: Final = ("rows", "instruments")


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file as it was sealed."""

    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read a file whole. Raises OSError."""
        digest = hashlib.sha256()
        size = 0
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
        return cls(size, digest.hexdigest())

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Self:
        """Raises ValueError or KeyError when they are none."""
        size, digest = facts["bytes"], facts["sha256"]
        _require(type(size) is int and isinstance(digest, str), "files are no files")
        return cls(size, digest)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was sealed of a date. The order of the fields is that of the file."""

    schema_version: int
    date: str
    sealed_at: str
    """When, IST."""
    versions: Mapping[str, str]
    """Of what made the files: python, tickrec, pyarrow, duckdb."""
    first_seq: int
    last_seq: int
    """The journal entries that are covered."""
    messages: int
    message_bytes: int
    rows: Mapping[str, int]
    """By table."""
    missing: Sequence[Sequence[int]]
    """Ranges of seq that the journal had lost to damage."""
    gaps: Sequence[Mapping[str, Any]]
    files: Mapping[str, FileFacts]
    """By path inside the store."""
    instruments: Mapping[str, int]
    """Ticks of each instrument."""
    grade: str | None = None
    """How complete the day is, from A to F; None where nobody could tell, or an earlier version sealed it."""
    why: str = ""
    """Why it has this grade, in words."""
    source: str = ""
    """Where its messages came from, as the journal said; empty: an earlier version sealed it."""

    def to_json(self) -> bytes:
        """The content of the file."""
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Raises ValueError, KeyError or TypeError when it is none."""
        facts = json.loads(data)
        _require(isinstance(facts, dict), "it is no object")
        known = {name: facts[name] for name in cls.__dataclass_fields__ if name in facts or name not in _LATER}
        _require(all(type(known[name]) is int for name in _NUMBERS), f"one of {', '.join(_NUMBERS)} is no number")
        _require(all(isinstance(known[name], str) for name in _TEXTS), f"one of {', '.join(_TEXTS)} is no text")
        _require(known.get("grade") is None or isinstance(known["grade"], str), "grade is no text")
        _require(all(isinstance(known.get(name, ""), str) for name in ("why", "source")), "why or source is no text")
        for name in _COUNTS:
            _require(_maps_to(known[name], int), f"{name} are no counts")
        _require(_maps_to(known["versions"], str), "versions are no texts")
        _require(_lists(known["gaps"], dict), "gaps are no rows")
        _require(_lists(known["missing"], list) and all(map(_is_range, known["missing"])), "missing are no ranges")
        _require(_maps_to(known["files"], dict), "files are no files")
        known["files"] = {path: FileFacts.from_json(file) for path, file in known["files"].items()}
        return cls(**known)

    def publish(self, store: Store) -> None:
        """Write the date's manifest. Raises OSError."""
        publish_bytes(store.manifest_path(dt.date.fromisoformat(self.date)), self.to_json())


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


def _maps_to(value: object, kind: type) -> bool:
    return isinstance(value, dict) and all(type(each) is kind for each in value.values())


def _lists(value: object, kind: type) -> bool:
    return isinstance(value, list) and all(type(each) is kind for each in value)


def _is_range(value: Sequence[object]) -> bool:
    return len(value) == 2 and all(type(each) is int for each in value)


def plain(rows: pa.Table) -> list[dict[str, Any]]:
    """Rows as JSON values; instants as text, IST."""
    return [
        {
            name: ist(from_datetime(value)).isoformat() if isinstance(value, dt.datetime) else value
            for name, value in row.items()
        }
        for row in rows.to_pylist()
    ]


def stored_source(store: Store) -> str | None:
    """Where the messages in a store come from, as the journal of its newest date says, or else its manifest.

    None: no date says it. Raises DataError for a journal of a newer format, OSError.
    """
    for date in reversed(store.dates()):
        if source := journal_source(store.journal(date)):
            return source
        with contextlib.suppress(DataError):  # it is for `verify` to tell
            if sealed := load(store, date):
                return sealed.source or None
    return None


def load(store: Store, date: dt.date) -> Manifest | None:
    """The date's manifest; None when it was never sealed. Raises DataError when it cannot be read, OSError."""
    path = store.manifest_path(date)
    try:
        return Manifest.from_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        hint = f"{to_run('rebuild', date)} makes it anew"
        raise DataError(f"the manifest cannot be read: {error}", where=str(path), hint=hint) from error
