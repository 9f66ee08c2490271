"""Shards: tars, indices, sidecars and manifests as docs/shards-format.md describes them."""

import errno
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.segdata.samples_of import read_samples

from segdata import shards
from segdata.errors import OutputError, ShardsError
from segdata.masks import count_pixels, encode_png

EXTRA = {"dataset": "x", "split": "train", "left_out": [], "plan_sha256": "p", "made_with": {}}
CLASSES = 3


def record(number: int, *, resized: bool = False) -> shards.Record:
    """A sample of its own size and content; its image need not be a JPEG here."""
    height, width = 3 + number, 5
    mask = np.arange(height * width, dtype=np.uint8).reshape(height, width) % (CLASSES + 1)
    mask[0, number % 5] = 255
    facts = {
        "key": f"x_{number:03d}",
        "dataset": "x",
        "split": "train",
        "source_id": str(number),
        "source_file": f"{number}.jpg",
        "height": height,
        "width": width,
        "source_height": height * (2 if resized else 1),
        "source_width": width,
        "pixels": count_pixels(mask, CLASSES),
        "objects": [number, 0, 1],
        "crowd_pixels": number,
    }
    image = bytes([number]) * (400 + 300 * number)
    files = [(f"x/{number}.jpg", len(image), number)]
    return shards.Record(facts, image, encode_png(mask), mask, [(1, 1), (3, 1000)], files)


RECORDS = [record(0), record(1, resized=True), record(2), record(3)]


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """The tar of a shard of four samples."""
    shards.write_shard(tmp_path, "x-train-000000", RECORDS, CLASSES, EXTRA)
    return tmp_path / "x-train-000000.tar"


def test_members_are_adjacent_and_ordered(shard: Path) -> None:
    """Each sample is its image, its facts and its mask, one after the other."""
    with tarfile.open(shard) as archive:
        names = archive.getnames()
    assert names == [f"{r.key}.{suffix}" for r in RECORDS for suffix in ("jpg", "json", "seg.png")]


def test_headers_are_plain_ustar(shard: Path) -> None:
    """Every header, read as the standard lays it out, has fixed mode, owner and time."""
    data = shard.read_bytes()
    assert len(data) % 10240 == 0
    offset = 0
    while data[offset]:
        header = data[offset : offset + 512]
        assert header[100:108] == b"0000644\0"
        assert header[108:124] == b"0000000\0" * 2  # owner and group
        assert int(header[136:148].rstrip(b"\0 "), 8) == 0  # time
        assert header[156:157] == b"0"  # a regular file: no PAX or GNU record anywhere
        assert header[257:265] == b"ustar\x0000"
        assert header[265:329] == bytes(64)  # no names of owner and group
        size = int(header[124:135], 8)
        offset += 512 + (size + 511) // 512 * 512
    assert data[offset:] == bytes(len(data) - offset)


def test_index_points_at_the_data(shard: Path) -> None:
    """The index's offsets and sizes cut exactly each member's bytes out of the tar."""
    data = shard.read_bytes()
    first, *lines = shard.with_suffix(".idx").read_text().splitlines()
    assert first == "v1.2 4"
    for line, expected in zip(lines, RECORDS, strict=True):
        parts = line.split(" ")
        members = {parts[i]: parts[i + 1 : i + 4] for i in range(0, len(parts), 4)}
        assert list(members) == ["jpg", "json", "seg.png"]
        for suffix, (offset, size, name) in members.items():
            assert name == f"{expected.key}.{suffix}"
            members[suffix] = data[int(offset) : int(offset) + int(size)]
        assert members["jpg"] == expected.image
        assert members["seg.png"] == expected.png
        assert json.loads(members["json"]) == expected.facts


def test_facts_are_sorted_ascii_json(shard: Path) -> None:
    """The facts' fields are sorted, so that equal facts are equal bytes."""
    for _, parts in read_samples(shard):
        fields = json.loads(parts["json"], object_pairs_hook=lambda pairs: [k for k, _ in pairs])
        assert fields == sorted(fields)


def test_sidecar_sums_the_samples(shard: Path) -> None:
    """The sidecar holds counts and checksums of exactly these samples, recomputed here."""
    found = json.loads(shard.with_name("x-train-000000.stats.json").read_bytes())
    facts = [r.facts for r in RECORDS]
    sizes = [[0] * 21 for _ in range(CLASSES)]
    sizes[0][0] = sizes[2][9] = 4  # 1 is in [2^0, 2^1), 1000 in [2^9, 2^10)
    expected = {
        "format": "segdata/1",
        "shard": shard.name,
        "samples": 4,
        "bytes": shard.stat().st_size,
        "sha256": hashlib.sha256(shard.read_bytes()).hexdigest(),
        "pixels": [sum(column) for column in zip(*(f["pixels"] for f in facts), strict=True)],
        "crowd_pixels": 6,
        "objects": [6, 0, 4],
        "object_sizes": sizes,
        "images": [sum(f["pixels"][i] > 0 for f in facts) for i in (1, 2, 3)],
        "members": [list(r.files[0]) for r in RECORDS],
        **EXTRA,
    }
    assert {k: v for k, v in found.items() if k != "content_sha256"} == expected


def test_content_sha256_is_as_documented(shard: Path) -> None:
    """The content's hash covers key, size, mask, and the image where it is the source's own."""
    digest = hashlib.sha256()
    for number, r in enumerate(RECORDS):
        height, width = r.mask.shape
        digest.update(r.key.encode() + b"\0" + f"{height}x{width}".encode() + b"\0")
        digest.update(bytes(r.mask.ravel().tolist()))
        if number != 1:
            digest.update(r.image)
    found = json.loads(shard.with_name("x-train-000000.stats.json").read_bytes())
    assert found["content_sha256"] == digest.hexdigest()


@given(st.integers(1, 10**9))
def test_object_sizes_are_powers_of_two(area: int) -> None:
    """An object of an area in [2^k, 2^(k+1)) counts in bin k, and the last bin holds the rest."""
    tally = shards._Tally(CLASSES)
    one = record(0)
    tally.add(shards.Record(one.facts, one.image, one.png, one.mask, [(2, area)]))
    k = next(k for k in range(40) if area < 2 ** (k + 1))
    assert tally.sizes[1].tolist() == [int(i == min(k, 20)) for i in range(21)]


def test_read_samples_round_trip(shard: Path) -> None:
    """Reading a shard gives the keys and members that were written."""
    read = dict(read_samples(shard))
    assert list(read) == [r.key for r in RECORDS]
    assert all(read[r.key]["jpg"] == r.image and read[r.key]["seg.png"] == r.png for r in RECORDS)


def failing(after: int) -> Iterator[shards.Record]:
    """Records that end in an interrupt."""
    yield from RECORDS[:after]
    raise KeyboardInterrupt


@pytest.mark.parametrize("after", [0, 1, 4])
def test_an_interrupt_leaves_nothing(tmp_path: Path, after: int) -> None:
    """Whenever a shard is interrupted, no file of it is there under any name."""
    with pytest.raises(KeyboardInterrupt):
        shards.write_shard(tmp_path, "x", failing(after), CLASSES, EXTRA)
    assert not list(tmp_path.iterdir())


def test_a_rewritten_shard_is_not_done(shard: Path) -> None:
    """An interrupted second writing takes the sidecar away and leaves the old tar whole."""
    before = shard.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        shards.write_shard(shard.parent, "x-train-000000", failing(2), CLASSES, EXTRA)
    assert {p.name for p in shard.parent.iterdir()} == {"x-train-000000.tar", "x-train-000000.idx"}
    assert shard.read_bytes() == before


class FullDisk:
    """Stands in for the disk: takes so many bytes, then says that it is full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int, code: int) -> None:
        self.room, self.code = room, code
        opened = Path.open
        monkeypatch.setattr(Path, "open", lambda *a, **k: _Limited(opened(*a, **k), self))


class _Limited:
    def __init__(self, file: Any, disk: FullDisk) -> None:  # noqa: ANN401 - any file
        self.file, self.disk = file, disk

    def write(self, data: bytes) -> int:
        self.disk.room -= len(data)
        if self.disk.room < 0:
            raise OSError(self.disk.code, os.strerror(self.disk.code))
        return int(self.file.write(data))

    def __enter__(self) -> "_Limited":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the file has
        return getattr(self.file, name)


TAR_BYTES = 20480
ROOMS = [0, 700, 10000, TAR_BYTES, TAR_BYTES + 10, TAR_BYTES + 1000]


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EFBIG])
def test_a_full_disk_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int, code: int
) -> None:
    """Wherever the disk runs full, the error says so, no half file is there, the sidecar is not."""
    with monkeypatch.context() as patch:
        FullDisk(patch, room, code)
        with pytest.raises(OutputError, match="the disk is full") as error:
            shards.write_shard(tmp_path, "x", RECORDS, CLASSES, EXTRA)
    assert "finished shards are kept" in str(error.value.advice)
    names = {path.name for path in tmp_path.iterdir()}
    assert names <= {"x.tar", "x.idx"}
    shards.write_shard(tmp_path / "..", "y", RECORDS, CLASSES, EXTRA)
    for name in names:
        suffix = name.partition(".")[2]
        assert (tmp_path / name).read_bytes() == (tmp_path / ".." / f"y.{suffix}").read_bytes()


def test_rooms_cover_the_tar(shard: Path) -> None:
    """The rooms above end inside the tar, after it, in the index and in the sidecar."""
    assert shard.stat().st_size == TAR_BYTES
    index = shard.with_suffix(".idx").stat().st_size
    assert TAR_BYTES + 10 < TAR_BYTES + index < TAR_BYTES + 1000


def test_other_refusals_are_told(tmp_path: Path) -> None:
    """A directory in the way of a shard's name is told with what the system said."""
    (tmp_path / "x.tar").mkdir()
    with pytest.raises(OutputError, match="cannot be written") as error:
        shards.write_shard(tmp_path, "x", RECORDS, CLASSES, EXTRA)
    assert error.value.found
    assert [p.name for p in tmp_path.iterdir()] == ["x.tar"]


def test_sweep_takes_only_partials_of_its_data_set(tmp_path: Path) -> None:
    """What a killed writer left is removed, what others write is not."""
    for name in ("voc2012-train-000000.tar.7.partial", "coco2017.json.8.partial", "voc2012.json"):
        (tmp_path / name).write_bytes(b"")
    shards.sweep(tmp_path, "voc2012")
    assert {p.name for p in tmp_path.iterdir()} == {"coco2017.json.8.partial", "voc2012.json"}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=4), values, max_size=5), st.randoms())
def test_json_depends_on_content_alone(value: dict[str, Any], random: Any) -> None:  # noqa: ANN401 - hypothesis' own
    """JSON reads back equal, and the order in which fields were set does not show."""
    items = list(value.items())
    random.shuffle(items)
    data = shards.to_json(value)
    assert shards.to_json(dict(items)) == data
    assert json.loads(data) == value
    usual = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False)
    assert data == f"{usual}\n".encode()


files = st.lists(
    st.tuples(
        st.sampled_from(["a/1.jpg", "a/2.jpg", "b/1.png", "b/c/2.png"]),
        st.integers(0, 9),
        st.integers(0, 2**32 - 1),
    ),
    max_size=8,
)


@given(files, st.randoms())
def test_sources_digest(rows: list[tuple[str, int, int]], random: Any) -> None:  # noqa: ANN401 - hypothesis' own
    """Sources are summed by first folder over sorted lines; order and repetition do not show."""
    shuffled = [*rows, *rows[:2]]
    random.shuffle(shuffled)
    found = shards.sources_digest(shuffled)
    for entry in found:
        mine = sorted({row for row in rows if row[0].split("/")[0] == entry["name"]})
        lines = b"".join(b"%s %d %08x\n" % (n.encode(), size, crc) for n, size, crc in mine)
        assert entry == {
            "name": entry["name"],
            "members": len(mine),
            "bytes": sum(size for _, size, _ in mine),
            "sha256": hashlib.sha256(lines).hexdigest(),
        }
    assert [e["name"] for e in found] == sorted({row[0].split("/")[0] for row in rows})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ("{", "cannot be read"),
        ("\udcff", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ('{"format": "segdata/2"}', "no shards directory that this version can read"),
    ],
)
def test_foreign_json_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """A damaged or foreign file, or one of a later format, is refused by its path."""
    path = tmp_path / "voc2012.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ShardsError, match=message) as error:
        shards.manifests(tmp_path)
    assert error.value.where == str(path)
    assert error.value.advice


@pytest.mark.parametrize("text", ["[]", "{}", '{"format": 1}', '{"format": "other/1"}'])
def test_json_of_others_is_no_manifest(tmp_path: Path, text: str) -> None:
    """A well-formed file that does not call itself ours is not taken for a manifest."""
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(ShardsError, match="holds no manifest"):
        shards.manifests(tmp_path)


def test_hidden_files_are_no_manifests(tmp_path: Path) -> None:
    """A `._NAME` of macOS beside a manifest is passed over."""
    (tmp_path / "._voc2012.json").write_bytes(b"\0\5\x16\7")
    assert shards.read_manifest(tmp_path / "._voc2012.json") is None


@pytest.mark.parametrize("names", [[], ["info.json"], ["x-train-000000.stats.json"]])
def test_a_directory_without_manifests_is_refused(tmp_path: Path, names: Sequence[str]) -> None:
    """A directory without a manifest has no finished shards; a missing one is told as missing."""
    for name in names:
        (tmp_path / name).write_text('{"format": "segdata/1"}')
    with pytest.raises(ShardsError, match="no manifest"):
        shards.manifests(tmp_path)
    with pytest.raises(ShardsError, match="no shards directory"):
        shards.manifests(tmp_path / "absent")


@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789_-.", min_size=1, max_size=100), st.binary())
def test_tar_is_that_of_tarfile(name: str, data: bytes) -> None:
    """A tar has the bytes that Python's own `tarfile` gives it in the USTAR format."""
    ours, theirs = shards._Tar(), io.BytesIO()
    ours.file = io.BytesIO()
    with tarfile.open(fileobj=theirs, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for content in (data, b"x" * 30_000):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    begins = ours.append([(name, data), (name, b"x" * 30_000)])
    ours.close()
    written = ours.file.getvalue()
    assert written == theirs.getvalue()
    assert written[begins[0] : begins[0] + len(data)] == data
    assert (ours.size, ours.sha256.digest()) == (len(written), hashlib.sha256(written).digest())


def test_tar_ends_as_that_of_tarfile() -> None:
    """The zeros at the end fill a record, and are two blocks at least, wherever the data end."""
    for blocks in range(tarfile.RECORDSIZE // tarfile.BLOCKSIZE + 1):
        data = bytes([7]) * (blocks * tarfile.BLOCKSIZE)
        ours, theirs = shards._Tar(), io.BytesIO()
        ours.file = io.BytesIO()
        with tarfile.open(fileobj=theirs, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            info = tarfile.TarInfo("key.jpg")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        ours.append([("key.jpg", data)])
        ours.close()
        assert ours.file.getvalue() == theirs.getvalue()


@given(st.integers(0, 8**11 - 1))
def test_tar_header_of_any_size(size: int) -> None:
    """A member's header is that of `tarfile` for every size that the format can say."""
    info = tarfile.TarInfo("key.jpg")
    info.size = size
    assert shards._header("key.jpg", size) == info.tobuf(tarfile.USTAR_FORMAT)
