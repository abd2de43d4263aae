from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tickrec import schema
from tickrec.errors import DataError
from tickrec.store import parquet
from tickrec.store.parquet import UnreadableFile

ROWS = pa.Table.from_pylist(
    [{"seq": seq, "size": seq * 7, "error": f"message {seq} of the day"} for seq in range(40)], schema=schema.REJECTED
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "rejected.parquet"
    parquet.write_small(ROWS, path, {"tickrec.first_seq": "1"})
    return path


def test_a_file_is_read_as_it_was_written(path: Path) -> None:
    parquet.require_whole(path)
    assert parquet.read(path, schema.REJECTED).equals(ROWS)


def test_every_flipped_bit_is_found(path: Path) -> None:
    whole = path.read_bytes()
    passed = []
    for offset in range(len(whole)):
        changed = bytearray(whole)
        changed[offset] ^= 1 << offset % 8
        path.write_bytes(changed)
        try:
            parquet.require_whole(path)
        except UnreadableFile:
            continue
        passed.append(offset)
    # Where the file says that it has a checksum: without that it is taken for one of an older version.
    assert passed == list(range(whole.rindex(b"tickrec-crc32"), whole.rindex(b"tickrec-crc32") + 13))


@pytest.mark.parametrize("length", [0, 3, 8, 11, 1000, -1])
def test_a_file_that_was_cut_is_none(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match=r"cannot be read.*rejected.parquet"):
        parquet.read(path, schema.REJECTED)


def test_a_flipped_value_is_found_by_the_checksum_of_its_page(path: Path) -> None:
    changed = bytearray(path.read_bytes())
    changed[changed.index(b"\x28\xb5\x2f\xfd") + 20] ^= 1  # inside the first page, which zstd begins like this
    path.write_bytes(changed)
    with pytest.raises(UnreadableFile, match="CRC"):
        parquet.read(path, schema.REJECTED)


def test_a_file_without_a_checksum_passes(tmp_path: Path) -> None:
    path = tmp_path / "old.parquet"
    pq.write_table(ROWS, path)
    parquet.require_whole(path)
    assert parquet.read(path, schema.REJECTED).equals(ROWS)


def test_columns_that_were_never_written_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "strange.parquet"
    pq.write_table(ROWS.rename_columns(["seq", "recv_ts", "size", "errox"]), path)
    with pytest.raises(UnreadableFile, match="errox is no column"):
        parquet.read(path, schema.REJECTED)
    pq.write_table(ROWS.drop_columns(["error"]), path)
    assert parquet.read(path, schema.REJECTED)["error"].null_count == 40
