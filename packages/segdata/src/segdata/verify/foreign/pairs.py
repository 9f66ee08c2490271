"""Masks, images and references that belong together by their names."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from segdata.archive import Member, open_archive
from segdata.errors import SourceError, UsageError
from segdata.verify.foreign.decoding import SUFFIXES

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
JPEGS = (".jpg", ".jpeg")
MARKS = (
    *("_gtFine_labelIds", "_labelIds", "_labelTrainIds", "_segmentation", "_label", "_labels"),
    *("_mask", "_masks", "_seg", ".seg", ".mask", "-mask", "-label", "_gt", "_L", "_leftImg8bit"),
)  # what names of masks (or of images) carry beyond the name they share


@dataclass(frozen=True)
class Pair:
    """A mask with what belongs to it.

    Attributes:
        name: what it is called in findings: its path below the folder or in the archive.
    """

    name: str
    mask: Member
    image: Member | None = None
    reference: Member | None = None


@dataclass(frozen=True)
class Pairs:
    """All masks, and what stayed alone.

    Attributes:
        without_image: names of masks.
        without_mask: names of images.
        marks: what was cut off names of masks to find images: `_mask`…
        images: how many images there were; None where none were asked for.
        references: how many references; None where none were asked for.
    """

    pairs: tuple[Pair, ...]
    without_image: tuple[str, ...] = ()
    without_mask: tuple[str, ...] = ()
    without_reference: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    images: int | None = None
    references: int | None = None
    one_image: str = ""


def match(masks: Path, images: Path | None, references: Path | None) -> Pairs:
    """Find the masks and, by name without suffix, their images and references.

    Raises:
        SourceError: a folder or archive is missing, broken, or holds no mask or image.
    """
    found = _files(masks, SUFFIXES, "mask", "--masks")
    marks: set[str] = set()
    images_by = _images(images, masks) if images else None
    refs_by = _by_stem(_files(references, SUFFIXES, "mask", "--reference")) if references else None
    pairs, used = [], set()
    for name, member in found.items():
        image = _partner(name, images_by or {}, marks)
        reference = _partner(name, refs_by or {}, set())
        if image is not None:
            used.add(image.name)
        pairs.append(Pair(name, member, image, reference))
    return Pairs(
        pairs=tuple(pairs),
        without_image=tuple(p.name for p in pairs if p.image is None) if images_by else (),
        without_mask=tuple(
            sorted(m.name for m in (images_by or {}).values() if m.name not in used)
        ),
        without_reference=tuple(p.name for p in pairs if not p.reference) if refs_by else (),
        marks=tuple(sorted(marks)),
        images=None if images_by is None else len(images_by),
        references=None if refs_by is None else len(refs_by),
        one_image=next(iter(m.name for m in (images_by or {}).values()), ""),
    )


def _images(images: Path, masks: Path) -> dict[str, Member]:
    """The images by name; where masks lie among them, the images are the JPEGs."""
    suffixes = JPEGS if images == masks else IMAGES
    return _by_stem(_files(images, suffixes, "image", "--images"))


def _files(path: Path, suffixes: Iterable[str], what: str, option: str) -> dict[str, Member]:
    if path.is_file() and path.suffix.lower() in suffixes:
        return {path.name: Member(str(path), path.name, path.stat().st_size)}
    members = _members(path, option)
    chosen = {
        name: member
        for name, member in sorted(members.items())
        if PurePosixPath(name).suffix.lower() in suffixes
        and not PurePosixPath(name).name.startswith(".")
    }
    if what == "mask":
        chosen = _without_photos(chosen)
    if not chosen:
        some = ", ".join(sorted(members)[:3]) or "nothing"
        raise SourceError(
            f"there is no {what} to check",
            where=path,
            expected=f"files that end in {', '.join(suffixes)}",
            found=f"{len(members):,} files: {some}",
            advice=f"name the folder or archive of the {what}s with {option}",
        )
    return chosen


def _members(path: Path, option: str) -> dict[str, Member]:
    """The files of a folder or an archive, or of a folder within an archive."""
    if path.exists():
        return dict(open_archive(path).members)
    for archive in path.parents:
        if archive.is_file():
            folder = path.relative_to(archive).as_posix() + "/"
            members = open_archive(archive).members
            return {n.removeprefix(folder): m for n, m in members.items() if n.startswith(folder)}
    raise UsageError(
        f"{option} names nothing that exists",
        where=path,
        expected="a folder, an archive, a folder within an archive, or a file",
    )


def _without_photos(members: Mapping[str, Member]) -> dict[str, Member]:
    """Without the JPEGs that lie beside a lossless file of the same name: those are images."""
    lossless = {stem(n).split(".")[0] for n in members if not n.lower().endswith(JPEGS)}
    short = {name for base in lossless for name in (base, *(base.removesuffix(m) for m in MARKS))}
    return {
        name: member
        for name, member in members.items()
        if not name.lower().endswith(JPEGS) or stem(name).split(".")[0] not in short
    }


def stem(name: str) -> str:
    """A file's name without folders and suffix."""
    return os.path.splitext(PurePosixPath(name).name)[0]  # noqa: PTH122 - of a member's name


def _by_stem(members: Mapping[str, Member]) -> dict[str, Member]:
    """By path without suffix and, where it is the only one, by name without folders."""
    counts = Counter(stem(name) for name in members)
    by: dict[str, Member] = {}
    for name, member in members.items():
        key = stem(name)
        by[key if counts[key] == 1 else str(PurePosixPath(name).with_suffix(""))] = member
    return by


def _partner(name: str, others: Mapping[str, Member], marks: set[str]) -> Member | None:
    path = str(PurePosixPath(name).with_suffix(""))
    for candidate in (path, stem(name)):
        if candidate in others:
            return others[candidate]
    for mark in MARKS:
        short = stem(name).removesuffix(mark)
        for candidate in (short, short + "_leftImg8bit"):
            if candidate != stem(name) and candidate in others:
                marks.add(mark)
                return others[candidate]
    return None
