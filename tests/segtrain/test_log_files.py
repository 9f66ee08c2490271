"""Tests of segtrain.log_files."""

import csv
import errno
import io
import json
from collections.abc import Callable
from io import FileIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segtrain import log_files
from segtrain.log_files import (
    CsvTable,
    GrowingFile,
    columns,
    flat,
    json_record,
    lines_before,
    read_lines,
    write_whole,
)

RECORDS = [b"one\n", b"two two\n", b"three\n", b"4\n", b"five\n"]


def failing(after: int) -> Callable[[FileIO, bytes], None]:
    """A `write_whole` for a disk that takes `after` bytes more and is full then."""

    def write(file: FileIO, data: bytes) -> None:
        write_whole(file, data[:after])
        raise OSError(errno.ENOSPC, "No space left on device")

    return write


@given(st.sets(st.integers(0, 4)), st.integers(0, 30))
def test_a_file_is_whole_records_whenever_the_disk_was_full(
    tmp_path_factory: pytest.TempPathFactory, full: set[int], taken: int
) -> None:
    """At no time it holds half a record or a gap, and all of them once there is room."""
    file = GrowingFile(tmp_path_factory.mktemp("full") / "log")
    done = 0
    for number, record in enumerate(RECORDS):
        with pytest.MonkeyPatch.context() as patch:
            if number in full:
                patch.setattr(log_files, "write_whole", failing(taken))
                with pytest.raises(OSError, match="No space"):
                    file.append(record)
            else:
                file.append(record)
                done = number + 1
        found = file.path.read_bytes() if file.path.exists() else b""
        assert found == b"".join(RECORDS[:done])
    file.flush()
    assert file.path.read_bytes() == b"".join(RECORDS)


def test_a_disk_that_takes_a_part_gets_the_rest() -> None:
    """A write that takes only some bytes is gone on with."""

    class Slow(io.BytesIO):
        def write(self, data: bytes) -> int:
            return super().write(bytes(data)[:3])

    slow = Slow()
    write_whole(slow, b"0123456789")  # type: ignore[arg-type]
    assert slow.getvalue() == b"0123456789"


@pytest.mark.parametrize("end", ["", '{"step": 1', '{"loss": 1}\n{"step": 9}\n', "[]\n", "\0\0\n"])
def test_a_log_is_read_up_to_what_a_kill_left(tmp_path: Path, end: str) -> None:
    """Whole lines are read; from a damaged one on nothing is."""
    lines = [{"step": 2, "loss": 1.5}, {"step": 4}]
    (tmp_path / "log").write_bytes(b"".join(map(json_record, lines)) + end.encode())
    assert read_lines(tmp_path / "log") == lines
    assert read_lines(tmp_path / "nothing") == []


def test_a_log_is_rewound_to_its_checkpoint() -> None:
    """Lines past the step are dropped, with `due` that of the step itself, too."""
    lines = [{"step": step} for step in (2, 4, 6, 8)]
    assert lines_before(lines, 6, due=False) == lines[:3]
    assert lines_before(lines, 6, due=True) == lines[:2]
    assert lines_before(lines, 5, due=False) == lines[:2]


def test_a_nested_line_becomes_flat() -> None:
    """Names of nested figures are joined by dots."""
    assert flat({"a": 1, "b": {"c": {"d": 2}, "e": None}}) == {"a": 1, "b.c.d": 2, "b.e": None}


def test_a_table_has_the_same_columns_in_every_line() -> None:
    """A line without a validation leaves its columns empty; numbers keep all their digits."""
    table = CsvTable(columns(["voc2012", "a,b"]))
    loss = 0.1 + 0.2
    plain = {"step": 2, "loss": loss, "train_iou": None}
    judged = {"step": 4, "val": {"voc2012": {"mean_iou": 0.25, "resized_targets": False}}}
    text = table.header() + table.record(plain) + table.record(judged)
    rows = list(csv.DictReader(io.StringIO(text.decode())))
    assert [None not in row and len(row) for row in rows] == [len(table.names)] * 2
    assert float(rows[0]["loss"]) == loss
    assert rows[0]["train_iou"] == rows[0]["val.voc2012.mean_iou"] == ""
    assert rows[1]["val.voc2012.mean_iou"] == "0.25"
    assert rows[1]["val.voc2012.resized_targets"] == "False"
    assert "final.a,b.mean_iou" in rows[0]
    mixed = CsvTable(columns([], ["voc2012"]))
    assert mixed.names[-1] == "epochs.voc2012"
    assert mixed.record({"step": 1, "epochs": {"voc2012": 0.5}}).endswith(b",0.5\n")


def test_every_field_of_a_log_has_its_column_and_its_words(trained: Path) -> None:
    """What a run writes is described, unit and all, and log.csv has a place for it."""
    lines = [json.loads(text) for text in (trained / "log.jsonl").read_text().splitlines()]
    named = columns(["voc2012", "coco2017"])
    for line in lines:
        line["val_few"] = None  # no interval: too few images
        assert {n for n in flat(line) if not n.endswith("mean_iou_interval")} - {"val_few"} <= set(
            named
        )
    indexed = set(log_files.FIELDS) - {"order_from"}  # only a stream has it
    assert indexed <= {name for line in lines for name in flat(line)}


def test_the_page_on_runs_describes_every_field() -> None:
    """docs/runs.md has each field of the log with its unit and meaning, in these words."""
    page = Path(__file__).resolve().parents[2] / "docs" / "runs.md"
    text = page.read_text("utf-8")
    for name, meaning in log_files.FIELDS.items():
        assert f"| `{name}` | {meaning} |" in text
    for name, meaning in log_files.RESULT_FIELDS.items():
        assert f"| `val.NAME.{name}` | {meaning} |" in text
