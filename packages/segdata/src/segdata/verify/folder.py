"""Folders of images and masks, paired and mapped a second time.

What the class file said is read from the manifest: `labels.mapping` lists the ids and colours that
each class was made from, `options.folder` how names ended and how images were divided.
"""

import hashlib
import io
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segdata.archive import Member, open_archive
from segdata.errors import SourceError
from segdata.verify import contract
from segdata.verify.contract import FolderOptions, Manifest, Mapped
from segdata.verify.labels import IGNORE, Labelled, Labels, Region
from segdata.verify.records import SourceFile, SourceSplit, describe

KINDS = (
    *("jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "tif", "tiff", "gif", "ppm", "pgm"),
    *("jp2", "avif"),
)
SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
BITS_PER_SAMPLE = 258  # of TIFF
NOTHING = -1

Roots = tuple[Path, Path]  # images and masks
Files = Mapping[str, Member]  # by name below the root


@dataclass(frozen=True)
class FolderRecord:
    """An image with its mask.

    Attributes:
        image_name: below the root of the images.
        mask_name: likewise; empty where there is none.
        mapping: which ids and colours become which class.
        masks_as: `auto`, `index` or `color`.
        keyless: whether its id is too long for a key, so that no sample can be made of it.
    """

    source_id: str
    image: Member | None
    image_name: str
    mask: Member | None
    mask_name: str
    mapping: Mapped
    masks_as: str
    keyless: bool

    @property
    def areas(self) -> Sequence[tuple[int, bool, float]]:
        """None: pixels are labelled, not objects."""
        return ()

    def labelled(self, labels: Labels) -> tuple[Labelled, list[Region]]:
        """The mask with its ids or colours mapped."""
        del labels  # the masks leave nothing to decide
        if self.mask is None or self.keyless:
            raise ValueError("its mask is missing" if self.mask is None else "its id is too long")
        mask = mapped(self.mask.read(), self.mapping, self.masks_as)
        count = int(np.count_nonzero((mask != 0) & (mask != IGNORE)))
        return Labelled(mask, np.zeros(mask.shape, dtype=bool), count), []

    def doubtful(self) -> bool:
        """Whether a build that leaves broken samples out may refuse it, though it can be read.

        Such are masks that two readings fit, or whose values may not be those drawn, and images
        whose values have no known range.

        Raises:
            SourceError: a file cannot be read.
            OSError: one does not decode.
        """
        if self.image is None or self.mask is None:
            return True
        with Image.open(io.BytesIO(self.image.read())) as image:
            values = np.asarray(image) if image.mode in ("I", "F") else np.zeros(1)
            unbounded = image.mode == "F" or values.min() < 0 or values.max() > 65535
        return bool(unbounded) or _two_readings(self.mask.read(), self.mapping, self.masks_as)

    def files(self) -> list[SourceFile]:
        """The image and the mask."""
        parts = (
            (f"images/{self.image_name}", self.image),
            (f"masks/{self.mask_name}", self.mask),
        )
        return [describe(name, member.read()) for name, member in parts if member is not None]


def mapped(data: bytes, mapping: Mapped, masks_as: str) -> NDArray[np.uint8]:
    """A mask file with its values mapped, uint8 (H, W).

    Raises:
        OSError: it does not decode.
        ValueError: it is in a lossy format, or holds a value that nothing is said of.
    """
    values, colors = _values(data, masks_as)
    entries = [(0, mapping.background), (IGNORE, mapping.ignore)]
    entries += enumerate(mapping.classes.values(), 1)  # `open_folders` has ordered them by id
    mask = np.full(values.shape, NOTHING, dtype=np.int16)
    for ours, entry in entries:
        listed = [int(c[1:], 16) for c in entry.colors or ()] if colors else entry.ids or ()
        for value in listed:
            mask[values == value] = ours
    if (mask == NOTHING).any():
        y, x = (int(v) for v in np.argwhere(mask == NOTHING)[0])
        raise ValueError(f"its mask holds {values[y, x]} at x={x} y={y}, which nothing maps")
    return mask.astype(np.uint8)


def _two_readings(data: bytes, mapping: Mapped, masks_as: str) -> bool:
    """Whether a mask file is translucent, of several pictures, lossy, binary or contradictory."""
    with Image.open(io.BytesIO(data)) as image:
        pages = getattr(image, "n_frames", 1)
        lossy = image.format == "TIFF" and "jpeg" in str(image.info.get("compression"))
        deep_colors = image.format == "PNG" and data[24] == 16 and data[25] != 0  # of IHDR
        bands = np.asarray(image)
        alpha = bands[..., -1] if image.mode in ("LA", "RGBA") else np.array([255])
        if pages > 1 or lossy or deep_colors or (alpha < 255).any():
            return True
        if masks_as == "color" or (masks_as == "auto" and image.mode in ("RGB", "RGBA")):
            return False
        if bands.ndim == 3 and image.mode != "LA" and np.ptp(bands[..., :3], axis=2).any():
            return True  # colours where ids were asked for
        palette = image.getpalette("RGB") if image.mode == "P" else None
    found = set(np.unique(_values(data, masks_as)[0]).tolist())
    binary = 255 in found and found <= {0, 255}
    if not palette or masks_as != "auto":
        return binary
    colors = {i: "#" + bytes(palette[3 * i : 3 * i + 3]).hex() for i in found}
    entries = [mapping.background, mapping.ignore, *mapping.classes.values()]
    return binary or any(
        colors[i] in (entry.colors or ()) and i not in (entry.ids or ())
        for entry in entries
        for i in found
    )


def _values(data: bytes, masks_as: str) -> tuple[NDArray[np.int64], bool]:
    """Ids, or red·65536 + green·256 + blue, int64 (H, W), and whether they are colours."""
    with Image.open(io.BytesIO(data)) as image:
        if image.format not in ("PNG", "TIFF", "BMP"):
            raise ValueError(f"its mask is a {image.format}")
        grey_levels = _grey_levels(image, data)
        if masks_as == "color" or (masks_as == "auto" and image.mode in ("RGB", "RGBA")):
            opaque = image.convert("RGBA") if image.mode == "P" else image
            rgb = np.asarray(opaque.convert("RGB"), dtype=np.int64)
            return rgb @ np.array([65536, 256, 1]), True
        pixels = np.asarray(image, dtype=np.int64)
        if pixels.ndim == 3:  # equal channels, or grey with alpha
            pixels = pixels[..., 0]
        return pixels // (255 // (grey_levels - 1)) if grey_levels else pixels, False


def _grey_levels(image: Image.Image, data: bytes) -> int:
    """4 or 16 where a decoder spreads so few grey values over 0 to 255, else 0."""
    bits = 8
    if image.mode == "L" and image.format == "PNG":
        bits = data[24]  # of IHDR: signature 8, length 4, type 4, width 4, height 4
    elif image.mode == "L" and image.format == "TIFF":
        bits = image.tag_v2[BITS_PER_SAMPLE][0]  # type: ignore[attr-defined] # a TIFF has it
    return 1 << bits if bits in (2, 4) else 0


def open_folders(roots: Sequence[Roots], manifest: Manifest) -> dict[str, FolderRecord]:
    """All images below the given roots with their masks, by id.

    The manifest is one of the policy `folder`.

    Raises:
        SourceError: a root is missing or broken.
    """
    options, mapping = manifest.options.folder, manifest.labels.mapping
    assert isinstance(options, FolderOptions)  # noqa: S101 - of the policy `folder`
    assert isinstance(mapping, Mapped)  # noqa: S101 - likewise
    ordered = {row.name: mapping.classes[row.name] for row in manifest.classes[1:]}
    mapping = Mapped(mapping.background, mapping.ignore, ordered)
    return {
        record.source_id: record
        for images, masks in roots
        for record in _records(images, masks, manifest, options, mapping)
    }


def _records(
    images: Path, masks: Path, manifest: Manifest, options: FolderOptions, mapping: Mapped
) -> Iterator[FolderRecord]:
    pictures, drawn = _pictures(images, masks), _pictures(masks, images)
    if images.resolve() == masks.resolve():
        pictures = {n: m for n, m in pictures.items() if not _bare(n).endswith(options.mask_suffix)}
    else:
        pictures, drawn = _inner(pictures, drawn, images, masks)
    by_id = {i: name for name in drawn if (i := _id(name, options.mask_suffix)) is not None}
    for name, member in pictures.items():
        source_id = _id(name, options.image_suffix)
        if source_id is None:
            continue
        mask_name = by_id.get(source_id, "")
        yield FolderRecord(
            source_id,
            member,
            name,
            drawn.get(mask_name),
            mask_name,
            mapping,
            options.masks_as,
            keyless=len(f"{manifest.dataset}_{source_id}") > contract.KEY_BYTES,
        )


def _pictures(root: Path, other: Path) -> dict[str, Member]:
    if not root.exists():
        raise SourceError(
            "a folder or archive does not exist",
            where=root,
            advice="name images and masks as at the build: --folder NAME=IMAGES,MASKS",
        )
    within = root.is_dir() and other.is_dir() and root.resolve() in other.resolve().parents
    found = {}
    for raw, member in open_archive(root).members.items():
        name = unicodedata.normalize("NFC", raw)
        parts = [part for part in name.split("/") if part not in {"", "."}]
        if not parts:
            continue
        if any(part[0] == "." or part == "__MACOSX" for part in parts):
            continue
        if within and other.resolve() in Path(member.path).resolve().parents:
            continue
        if parts[-1].rpartition(".")[2].lower() in KINDS and "." in parts[-1]:
            found["/".join(parts)] = member
    return found


def _inner(
    pictures: dict[str, Member], drawn: dict[str, Member], images: Path, masks: Path
) -> tuple[dict[str, Member], dict[str, Member]]:
    """Both without the folders that an archive has around all of its files."""
    sides = [(pictures, images), (drawn, masks)]
    for index, (_, root) in enumerate(sides):
        while not root.is_dir():
            here, there = sides[index][0], sides[1 - index][0]
            first = {name.split("/")[0] if "/" in name else "" for name in here}
            others = {name.split("/")[0] for name in there if "/" in name}
            known = {word for words in SPLITS.values() for word in words}
            if len(first) != 1 or "" in first or first & (others | known):
                break
            sides[index] = ({name.split("/", 1)[1]: m for name, m in here.items()}, root)
    return sides[0][0], sides[1][0]


def _bare(name: str) -> str:
    return name.rpartition(".")[0]


def _id(name: str, suffix: str) -> str | None:
    bare = _bare(name)
    return bare[: len(bare) - len(suffix)] if bare.endswith(suffix) else None


def split_records(
    records: Mapping[str, FolderRecord],
    manifest: Manifest,
    split: str,
    stored: Mapping[str, set[str]],
) -> SourceSplit:
    """The records of one split.

    Folders and held-out shares are divided anew. Where a list or a word divided the images, the
    shards are taken at their word: what is nowhere counts for val as long as that lacks images,
    else for train.

    Args:
        records: all of the data set.
        manifest: of the data set.
        split: `train` or `val`.
        stored: by split, source ids of the samples in the shards.
    """
    options = manifest.options.folder
    assert isinstance(options, FolderOptions)  # noqa: S101 - of the policy `folder`
    if options.split == "folders":
        chosen = {i for i in records if i.partition("/")[0].lower() in SPLITS[split] and "/" in i}
    elif options.split == "share":
        paired = [i for i, record in records.items() if record.mask is not None]
        val = held_out(paired, options, manifest.seed)
        chosen = val if split == "val" else set(records) - val
    else:
        chosen = _claimed(records, manifest, split, stored)
    return SourceSplit({i: record for i, record in records.items() if i in chosen})


def held_out(ids: Sequence[str], options: FolderOptions, seed: int) -> set[str]:
    """The ids of val: whole groups, by the hash of seed and group, until the share is reached.

    Groups that alone hold more than the share come last, and only if nothing was taken before.
    """
    groups: dict[str, set[str]] = {}
    for source_id in ids:
        match = re.search(options.group, source_id) if options.group else None
        groups.setdefault(match[1] if match else source_id, set()).add(source_id)
    wanted = options.val_share * len(ids)

    def place(group: str) -> bytes:
        return hashlib.blake2b(f"holdout/{seed}/{group}".encode(), digest_size=16).digest()

    small = sorted((g for g in groups if len(groups[g]) <= wanted), key=place)
    large = sorted((g for g in groups if len(groups[g]) > wanted), key=place)
    chosen: set[str] = set()
    for group in small:
        if len(chosen) < wanted:
            chosen |= groups[group]
    return chosen or set().union(*(groups[g] for g in large[:1] if wanted > 0))


def _claimed(
    records: Mapping[str, FolderRecord],
    manifest: Manifest,
    split: str,
    stored: Mapping[str, set[str]],
) -> set[str]:
    claims = {
        name: stored[name] | {i for group in entry.left_out.values() for i in group.ids}
        for name, entry in manifest.splits.items()
    }
    nowhere = sorted(set(records) - set().union(*claims.values()))
    if len(claims) == 1:
        return claims[split] | set(nowhere)  # type: ignore[index] # names of this manifest
    lacking = manifest.splits["val"].available - len(claims["val"] & set(records))
    cut = max(0, lacking)
    return claims[split] | set(nowhere[:cut] if split == "val" else nowhere[cut:])  # type: ignore[index] # likewise
