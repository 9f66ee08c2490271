"""Pairs: which mask belongs to which image, by their paths below two folders or archives.

An image and its mask have the same path but for the kind of file and, where a data set has them,
fixed endings of the names (`_leftImg8bit`, `_gtFine_labelIds`).
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from segdata.archive import Member, open_archive
from segdata.errors import SourceError

PICTURES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff"),
    *(".gif", ".ppm", ".pgm", ".jp2", ".avif"),
}
SPLIT_FOLDERS: Mapping[str, str] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
SEPARATOR = re.compile(r"[_.\- ]")
SHOWN = 5  # names that a message lists


@dataclass(frozen=True)
class File:
    """A picture: its name below the root, and where its bytes are."""

    name: str
    member: Member


@dataclass(frozen=True)
class Pair:
    """An image and its mask; `id` is their common path, without endings."""

    id: str
    image: File
    mask: File


@dataclass(frozen=True)
class Pairing:
    """What was found.

    Attributes:
        pairs: sorted by id.
        without_mask: ids of images that no mask belongs to, sorted.
        without_image: ids of masks that no image belongs to, sorted.
        image_suffix: what the images' names end with, which is no part of the ids.
        mask_suffix: likewise.
        notes: what a person should know.
    """

    pairs: Sequence[Pair]
    without_mask: Sequence[str]
    without_image: Sequence[str]
    image_suffix: str
    mask_suffix: str
    notes: Sequence[str] = field(default=())


@dataclass
class _Side:
    """The pictures below one root, by path without the kind of file.

    Attributes:
        what: `image` or `mask`.
        files: by name below the root.
        suffix: what names end with; None while it is not known.
    """

    what: str
    root: Path
    files: dict[str, Member]
    suffix: str | None

    @property
    def stems(self) -> list[str]:
        """Names without the kind of file."""
        return [_stem(name) for name in self.files]

    def by_id(self) -> dict[str, File]:
        """The files whose names end with the suffix, by id.

        Raises:
            SourceError: two have one id.
        """
        suffix = self.suffix or ""
        found: dict[str, File] = {}
        for name, member in self.files.items():
            stem = _stem(name)
            if not stem.endswith(suffix):
                continue
            source_id = stem.removesuffix(suffix)
            if source_id in found:
                raise SourceError(
                    f"two {self.what}s have one name but for the kind of file",
                    where=self.root,
                    found=f"{found[source_id].name} and {name}",
                    advice=f"keep one of them, or tell them apart with --{self.what}-suffix",
                )
            found[source_id] = File(name, member)
        return found


def find_pairs(
    images: Path, masks: Path, image_suffix: str | None = None, mask_suffix: str | None = None
) -> Pairing:
    """Pair the images below one root with the masks below another.

    Args:
        images: folder or archive.
        masks: another, or the same where `mask_suffix` tells the masks from the images.
        image_suffix: what the images' names end with before the kind of file; others are passed
            over. None finds it out.
        mask_suffix: the same of the masks.

    Raises:
        SourceError: a root is missing, empty or broken, or names pair in no way or in several.
    """
    same = images.resolve() == masks.resolve()
    if same and not mask_suffix:
        raise SourceError(
            "images and masks are in the same place, so nothing tells one from the other",
            where=images,
            advice="name two folders, or what the masks' names end with: --mask-suffix _mask",
        )
    left = _Side("image", images, _files(images, masks), image_suffix)
    right = _Side("mask", masks, _files(masks, images), mask_suffix)
    if same:
        ending = str(mask_suffix)
        left.files = {n: m for n, m in left.files.items() if not _stem(n).endswith(ending)}
    else:
        _unwrap(left, right)
    for side in (left, right):
        _refuse_empty(side)
    notes = _detect_suffixes(left, right)
    return _paired(left, right, notes)


def _files(root: Path, other: Path) -> dict[str, Member]:
    """The pictures below a root by name, without those below the other root if that lies within."""
    if not root.exists():
        raise SourceError(
            "a folder or archive does not exist",
            where=root,
            advice="segdata build-folder takes two of them: the images, then the masks",
        )
    inside = root.is_dir() and other.is_dir() and root.resolve() in other.resolve().parents
    found = {}
    for name, member in sorted(open_archive(root).members.items()):
        # An archive may name its files from the root; here they are below the archive's own.
        path = PurePosixPath(unicodedata.normalize("NFC", name).lstrip("/"))
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
        if hidden or path.suffix.lower() not in PICTURES:
            continue
        if inside and Path(member.path).resolve().is_relative_to(other.resolve()):
            continue
        found[str(path)] = member
    return found


def _stem(name: str) -> str:
    return name[: -len(PurePosixPath(name).suffix)]


def _unwrap(left: _Side, right: _Side) -> None:
    """Leave away the folder that an archive has around everything, such as its own name."""
    for side, other in ((left, right), (right, left)):
        while not side.root.is_dir():
            tops, others = _tops(side.files), _tops(other.files)
            if len(tops) != 1 or "" in tops or tops & (others | SPLIT_FOLDERS.keys()):
                break
            side.files = {name.partition("/")[2]: m for name, m in side.files.items()}


def _tops(files: Mapping[str, Member]) -> set[str]:
    """First folders of the names, "" for files outside any."""
    return {name.rpartition("/")[0].partition("/")[0] for name in files}


def _refuse_empty(side: _Side) -> None:
    if not side.files:
        raise SourceError(
            f"there is no {side.what} here",
            where=side.root,
            expected="files that end in .jpg, .png, .webp, .bmp, .tif …",
            found="none",
            advice="segdata build-folder takes two folders or archives: the images, then the masks",
        )


def _detect_suffixes(left: _Side, right: _Side) -> list[str]:
    """Find out what names end with, where it was not said; returns what to tell of it."""
    asked = [side for side in (left, right) if side.suffix is None]
    if not asked:
        return []
    suffixes = [left.suffix] if left.suffix is not None else ["", *_common_endings(left.stems)]
    for suffix in suffixes:
        stems = {stem.removesuffix(suffix) for stem in left.stems if stem.endswith(suffix)}
        endings = _endings(stems, right)
        whole = [ending for ending, ids in endings.items() if len(ids) == len(stems)]
        if "" in endings:
            whole = [""]
        if len(whole) > 1:
            raise SourceError(
                "there are several masks for every image",
                where=right.root,
                expected="one, chosen with --mask-suffix",
                found=f"names that end with {', '.join(sorted(whole))}",
                advice=f"choose, as with --mask-suffix {max(whole)}",
            )
        if whole:
            left.suffix, right.suffix = suffix, whole[0]
            break
    found = [f"{s.what}s' names end with {s.suffix!r}" for s in asked if s.suffix]
    return [f"{' and '.join(found)}: found by comparing them, not part of the ids"] if found else []


def _common_endings(stems: Sequence[str]) -> list[str]:
    """What all names end with, from separators on, shortest first."""
    name = stems[0].rpartition("/")[2]
    endings = [name[cut.start() :] for cut in SEPARATOR.finditer(name)][::-1]
    return [ending for ending in endings if all(stem.endswith(ending) for stem in stems)]


def _endings(ids: set[str], masks: _Side) -> dict[str, set[str]]:
    """By ending of the masks' names, the ids of which there is a mask with that ending."""
    found: dict[str, set[str]] = {}
    for stem in masks.stems:
        for cut in _cuts(stem, masks.suffix):
            if stem[:cut] in ids:
                found.setdefault(stem[cut:], set()).add(stem[:cut])
                break
    return found


def _cuts(stem: str, suffix: str | None) -> Iterator[int]:
    """Where the id in a mask's name may end, the longest first."""
    if suffix is not None:
        if stem.endswith(suffix):
            yield len(stem) - len(suffix)
        return
    yield len(stem)
    yield from [cut.start() for cut in SEPARATOR.finditer(stem)][::-1]


def _paired(left: _Side, right: _Side, notes: list[str]) -> Pairing:
    images, masks = left.by_id(), right.by_id()
    for side, ids in ((left, images), (right, masks)):
        passed = len(side.files) - len(ids)
        if passed:
            notes.append(f"{passed:,} files below {side.root} do not end with {side.suffix!r} "
                         "and are passed over")  # fmt: skip
    return Pairing(
        [Pair(i, images[i], masks[i]) for i in sorted(images.keys() & masks.keys())],
        sorted(images.keys() - masks.keys()),
        sorted(masks.keys() - images.keys()),
        left.suffix or "",
        right.suffix or "",
        notes,
    )


def refuse_unpaired(pairing: Pairing, images: Path, masks: Path) -> None:
    """Refuse a pairing in which something is left over.

    Raises:
        SourceError: it names the first few and their number.
    """
    for ids, what, where in (
        (pairing.without_mask, "images have no mask", f"{images}, masks below {masks}"),
        (pairing.without_image, "masks have no image", f"{masks}, images below {images}"),
    ):
        if ids:
            more = ", …" if len(ids) > SHOWN else ""
            raise SourceError(
                f"some {what}" if pairing.pairs else f"no names agree: {what}",
                where=where,
                expected="the same path below both, but for the kind of file and the suffixes",
                found=f"{len(ids):,} without, {len(pairing.pairs):,} pairs: "
                f"{', '.join(ids[:SHOWN])}{more}",
                advice="--image-suffix and --mask-suffix say how names end; --unpaired skip "
                "leaves the rest out and records it"
                if pairing.pairs
                else "say how names end with --image-suffix and --mask-suffix",
            )
