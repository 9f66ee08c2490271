"""One pass over one tar: its samples checked, where their members lie, checksum and counts."""

import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from segtrain.errors import SampleError, ShardsError
from segtrain.masks import read_ids, read_values
from segtrain.members import Layout, MembersError, choose_layout, chosen_members, split_name

BLOCK = 512  # of tar, in bytes
CHUNK = 1 << 20
LONGEST = 200  # of a key, in bytes
MAGIC = {
    b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstandard",
    b"PK\x03\x04": "zip",
}  # fmt: skip
UNDECODABLE = (OSError, ValueError, SyntaxError, UnidentifiedImageError)  # of Pillow


class Member(NamedTuple):
    """A file of a sample: extension as written, place of its data in the tar, size, whole name."""

    extension: str
    offset: int
    size: int
    name: str


class Task(NamedTuple):
    """What a worker is to do.

    Attributes:
        path: The tar.
        layout: Which members are image and mask, and what values mean.
        classes: C, background included.
        pixels: Whether masks are decoded and counted.
    """

    path: Path
    layout: Layout
    classes: int
    pixels: bool


@dataclass
class Scanned:
    """What one tar holds.

    Attributes:
        bytes: Its size.
        sha256: Of the whole file.
        samples: Members of each sample, by key, in order.
        pixels: int64 `(C + 1,)`: mask pixels of class 0..C-1, and of 255; zeros without counting.
        images: int64 `(C,)`: samples in which a class has a pixel.
        extensions: Extensions of the images, lower case.
        sums: CRC-32 of each image, by key.
        incomplete: The first sample that lacks a member: it may still turn up, out of place.
    """

    bytes: int
    sha256: str
    samples: dict[str, list[Member]]
    pixels: NDArray[np.int64]
    images: NDArray[np.int64]
    extensions: set[str] = field(default_factory=set)
    sums: dict[str, int] = field(default_factory=dict)
    incomplete: ShardsError | None = None


class HashedFile(io.RawIOBase):
    """A file that is read once from its beginning to its end, and hashed on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = self.file.read(size)
        self.digest.update(data)
        return data

    def finish(self) -> str:
        """Read what is left; the SHA-256 of everything."""
        while self.read(CHUNK):
            pass
        return self.digest.hexdigest()


def first_layout(path: Path, image: str | None, mask: str | None) -> Layout | None:
    """The layout that the first sample of a tar shows; None if it holds none.

    Raises:
        ShardsError: If it is no plain tar, or image and mask cannot be told.
    """
    refuse_compressed_tar(path)
    try:
        with tarfile.open(path, "r:") as tar:
            found = first_sample(tar)
    except (OSError, tarfile.TarError) as error:
        raise damaged(path, error) from error
    if found is None:
        return None
    key, extensions = found
    try:
        return choose_layout(extensions, image, mask)
    except MembersError as error:
        raise members_error(path, key, extensions, error) from error


def first_sample(tar: tarfile.TarFile) -> tuple[str, list[str]] | None:
    """Key and extensions of the first sample of an open tar; None where it holds none."""
    key, extensions = "", []
    for info in tar:
        split = split_name(info.name) if info.isreg() else None
        if split is None:
            continue
        key = key or split[0]
        if split[0] != key:
            break
        extensions.append(split[1])
    return (key, extensions) if key else None


def members_error(path: Path, key: str, extensions: list[str], error: MembersError) -> ShardsError:
    """The error of a sample whose members do not tell image and mask."""
    return ShardsError(f"{path}: {key} has the members {', '.join(extensions)}: {error}")


def damaged(path: Path, reason: object) -> ShardsError:
    """The error of a file that is no whole tar."""
    return ShardsError(
        f"{path}: is no whole tar ({reason}); bring it here again, or move it out of the directory"
    )


def refuse_compressed_tar(path: Path) -> None:
    """Refuse a file that is compressed or empty, whatever its name says.

    Raises:
        ShardsError: If it is, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise ShardsError(f"{path}: cannot be read: {error.strerror}") from error
    if not head:
        raise damaged(path, "it has 0 bytes")
    for magic, kind in MAGIC.items():
        if head.startswith(magic):
            raise ShardsError(
                f"{path}: is compressed by {kind}, so nothing in it can be read without all before "
                "it; unpack it, or train with `segtrain run --reader webdataset`, which needs no "
                "index"
            )


def scan(task: Task) -> Scanned:
    """Read a tar from beginning to end, check each sample, and count.

    Raises:
        ShardsError: If it is damaged or cut short, holds no sample, or if one of its samples is
            not an image and its mask.
    """
    refuse_compressed_tar(task.path)
    found = Scanned(
        0, "", {}, np.zeros(task.classes + 1, np.int64), np.zeros(task.classes, np.int64)
    )
    try:
        with task.path.open("rb") as file:
            hashed = HashedFile(file)
            with tarfile.open(fileobj=hashed, mode="r|", bufsize=CHUNK) as tar:
                end = read_samples(tar, task, found)
            found.sha256 = hashed.finish()
            found.bytes = file.tell()
            check_end(file, end, task.path)
    except (OSError, tarfile.TarError, EOFError) as error:
        raise damaged(task.path, error) from error
    if not found.samples:
        raise ShardsError(
            f"{task.path}: holds no sample; remove it, or name the shards with --split"
        )
    return found


def check_end(file: BinaryIO, end: int, path: Path) -> None:
    """Refuse a tar without the empty block that ends one: what follows is lost or damaged.

    Raises:
        ShardsError: If it is not there at byte `end`.
    """
    file.seek(end)
    block = file.read(BLOCK)
    if len(block) < BLOCK:
        raise damaged(path, f"it ends at byte {end + len(block):,} without a tar's end mark")
    if any(block):
        raise damaged(path, f"at byte {end:,} there is neither a member nor the end")


def read_samples(tar: tarfile.TarFile, task: Task, found: Scanned) -> int:
    """Take in all samples of an open tar; returns the byte after its last member."""
    end, current = 0, ""
    data: dict[str, bytes] = {}
    for info, content in contents(tar):
        end = info.offset_data + (-(-info.size // BLOCK) * BLOCK if info.isreg() else 0)
        split = split_name(info.name) if info.isreg() else None
        if split is None:
            continue
        key, extension = split
        if key != current:
            if current:
                take_sample(current, data, task, found)
            current, data = key, {}
            begin_sample(key, task.path, found)
        if extension in data:
            raise ShardsError(f"{task.path}: holds {info.name} twice; remove one of them")
        data[extension] = content
        member = Member(extension, info.offset_data, info.size, info.name)
        found.samples[key].append(member)
    if current:
        take_sample(current, data, task, found)
    if found.incomplete:
        raise found.incomplete
    return end


def contents(tar: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """Every member with its content; empty for what is no file."""
    for info in tar:
        file = tar.extractfile(info) if info.isreg() else None
        data = file.read() if file else b""
        if file and len(data) != info.size:
            raise tarfile.ReadError(f"it ends within {info.name}")
        yield info, data
        tar.members = []  # type: ignore[attr-defined]  # else it would keep millions


def begin_sample(key: str, path: Path, found: Scanned) -> None:
    """Enter a new key.

    Raises:
        ShardsError: If it was there before, or cannot be a key.
    """
    if key in found.samples:
        raise ShardsError(
            f"{path}: the members of {key} are not side by side; write the tar in the order of "
            "names (`tar --sort=name`)"
        )
    if not key.isprintable() or len(key.encode("utf-8", "replace")) > LONGEST:
        raise ShardsError(
            f"{path}: the key {key[:60]!r} cannot be used; keys are printable and have at most "
            f"{LONGEST} bytes: rename its files"
        )
    found.samples[key] = []


def take_sample(key: str, data: dict[str, bytes], task: Task, found: Scanned) -> None:
    """Check one sample and count its pixels.

    Raises:
        SampleError: If image or mask is not what it should be.
    """
    try:
        named = {extension: extension for extension in data}
        image, mask = chosen_members(named, task.layout)
    except MembersError as error:
        found.incomplete = found.incomplete or members_error(task.path, key, list(data), error)
        return
    found.extensions.add(image.lower())
    found.sums[key] = zlib.crc32(data[image])
    try:
        size = image_size(data[image])
        ids = read_ids(data[mask], task.layout) if task.pixels else None
        shape = ids.shape[::-1] if ids is not None else mask_size(data[mask])
        check_sizes(size, shape)
    except UNDECODABLE as error:
        reason = "image or mask cannot be decoded" if "BytesIO" in str(error) else str(error)
        raise SampleError(f"{task.path}: {key}: {reason}") from error
    if ids is not None:
        counts = np.bincount(ids.ravel(), minlength=256)
        found.pixels += [*counts[: task.classes], counts[255]]
        found.images += counts[: task.classes] > 0


def image_size(data: bytes) -> tuple[int, int]:
    """Width and height of an image as stored; its header is read only.

    Raises:
        OSError: If it is of no known kind.
    """
    with Image.open(io.BytesIO(data), formats=["JPEG", "PNG", "WEBP"]) as image:
        return image.size


def mask_size(data: bytes) -> tuple[int, int]:
    """Width and height of a mask, its pixels not counted.

    Raises:
        ValueError: If it is no index PNG.
        OSError: If it cannot be decoded.
    """
    height, width = read_values(data).shape
    return width, height


def check_sizes(image: tuple[int, ...], mask: tuple[int, ...]) -> None:
    """Refuse an image and a mask of different sizes.

    Raises:
        ValueError: With both sizes.
    """
    if image != mask:
        turned = image == mask[::-1] and image[0] != image[1]
        hint = "; is the mask drawn on the upright photo? EXIF orientation is not applied"
        raise ValueError(
            f"the image has {image[0]}x{image[1]} pixels, its mask {mask[0]}x{mask[1]}"
            + hint * turned
        )
