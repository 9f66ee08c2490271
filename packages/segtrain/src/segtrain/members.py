"""Members of a shard: which of a sample's files is its image and which its mask.

Shards of segdata hold `jpg`, `json`, `seg.png`. Those that others made hold what they like: the
manifest that `segtrain index` writes for them tells which members are meant.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

IMAGE_KINDS = ("jpg", "jpeg", "png", "webp")
IMAGE_WORDS = ("image", "img", "photo", "rgb", "input")
IMAGE_NAMES = (*IMAGE_KINDS, *(f"{word}.{kind}" for word in IMAGE_WORDS for kind in IMAGE_KINDS))
MASK_NAMES = tuple(
    f"{word}.png"
    for word in ("seg", "mask", "cls", "label", "labels", "gt", "target", "segmentation",
                 "semantic", "annotation")
)  # fmt: skip
NAME = re.compile(r"(?P<key>(?:.*/)?[^./][^./]*)\.(?P<ext>[^/]*)", re.DOTALL)
META = re.compile(r"__[^/]*__($|/)")  # what webdataset keeps for notes of its own
T = TypeVar("T")


class MembersError(ValueError):
    """The members of a sample do not tell its image and its mask; the message says what to do."""


@dataclass(frozen=True)
class Layout:
    """How samples lie in the shards of a data set.

    Attributes:
        image: Extensions of images, lower case, without the leading dot; a sample has one of them.
        mask: Extension of masks.
        ids: 256 entries: our id of each value of a mask, -1 where it is unknown. Empty for shards
            of segdata, whose masks hold our ids already.
    """

    image: tuple[str, ...] = ("jpg",)
    mask: str = "seg.png"
    ids: tuple[int, ...] = ()

    @property
    def foreign(self) -> bool:
        """Whether others made the shards: their masks may be palette PNGs, and so on."""
        return bool(self.ids)


OWN = Layout()


def split_name(name: str) -> tuple[str, str] | None:
    """Key and extension of a member: the name up to the first dot of its last part, and the rest.

    Returns:
        The key with its folders, and the extension as it is written. None for what belongs to no
        sample: hidden files, names without a dot, webdataset's own notes.
    """
    plain = name.removeprefix("./")
    match = NAME.fullmatch(plain)
    if match is None or META.match(plain):
        return None
    return match["key"], match["ext"]


def choose_mask(extensions: Iterable[str], layout_image: str | None) -> str:
    """The extension of masks, from those of one sample.

    Args:
        extensions: Lower case.
        layout_image: The image's, where that is known.

    Raises:
        MembersError: If none or several may be meant.
    """
    pngs = [e for e in extensions if e == "png" or e.endswith(".png")]
    pngs = [e for e in pngs if e != layout_image and e.split(".")[0] not in IMAGE_WORDS]
    named = [e for e in pngs if e in MASK_NAMES]
    found = named or [e for e in pngs if e != "png"] or pngs
    if len(found) != 1:
        what = f"{' and '.join(found)} may be the mask" if found else "none is a PNG mask"
        raise MembersError(f"{what}; name its ending with --mask-ext")
    return found[0]


def choose_layout(extensions: Sequence[str], image: str | None, mask: str | None) -> Layout:
    """The layout of a data set, from the members of one sample and what the user has said.

    Args:
        extensions: Of the sample's members.
        image: `--image-ext`, None where it was not given.
        mask: `--mask-ext`, likewise.

    Raises:
        MembersError: If image or mask cannot be told.
    """
    lowered = [e.lower() for e in extensions]
    image, mask = (e.lower().lstrip(".") if e else None for e in (image, mask))
    mask = mask or choose_mask(lowered, image)
    names = (image,) if image else tuple(name for name in IMAGE_NAMES if name != mask)
    layout = Layout(names, mask)
    chosen_members({e: e for e in extensions}, layout)
    return layout


def chosen_members(members: Mapping[str, T], layout: Layout) -> tuple[T, T]:
    """What a layout takes of the members of one sample.

    Args:
        members: Anything by extension, as written.
        layout: The data set's.

    Returns:
        That of the image and that of the mask.

    Raises:
        MembersError: If one of them is not there, or several images are.
    """
    lowered = {extension.lower(): value for extension, value in members.items()}
    images = [name for name in layout.image if name in lowered]
    if len(images) > 1:
        both = " and ".join(images)
        raise MembersError(f"{both} may be the image; name its ending with --image-ext")
    if not images:
        wanted = ", ".join(layout.image[: len(IMAGE_KINDS)])
        raise MembersError(f"none is an image ({wanted}); name its ending with --image-ext")
    if layout.mask not in lowered:
        raise MembersError(f"none is the mask ({layout.mask}); name its ending with --mask-ext")
    return lowered[images[0]], lowered[layout.mask]
