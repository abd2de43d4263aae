"""The manifest of a sealed date: what was sealed, in numbers that can be checked.

Owns the JSON file. It is written last when a date is sealed, so its being there says that everything it names was
complete and agreed with the journal.
"""

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from tickrec.errors import DataError
from tickrec.files import publish_bytes
from tickrec.layout import Store

_CHUNK: Final = 1024 * 1024


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

    def to_json(self) -> bytes:
        """The content of the file."""
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Raises ValueError, KeyError or TypeError when it is none."""
        facts = json.loads(data)
        files = {path: FileFacts(**file) for path, file in facts.pop("files").items()}
        known = {name: facts[name] for name in cls.__dataclass_fields__ if name != "files"}
        return cls(files=files, **known)

    def publish(self, store: Store) -> None:
        """Write the date's manifest. Raises OSError."""
        publish_bytes(store.manifest_path(dt.date.fromisoformat(self.date)), self.to_json())


def load(store: Store, date: dt.date) -> Manifest | None:
    """The date's manifest; None when it was never sealed. Raises DataError when it cannot be read, OSError."""
    path = store.manifest_path(date)
    try:
        return Manifest.from_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        hint = f"`tickrec rebuild {date}` makes it anew"
        raise DataError(f"the manifest cannot be read: {error}", where=str(path), hint=hint) from error
