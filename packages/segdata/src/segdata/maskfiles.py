"""Mask files of any kind into class ids: index or colour, each value looked up in a label map.

A palette PNG and a greyscale file hold indices, an RGB file colours; `--masks-as` overrides that.
Lossy formats are refused: their pixels are no longer the values that somebody drew.
"""

import io
from collections.abc import Callable, Sequence
from typing import Literal, NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segdata.archive import Member
from segdata.classes import IGNORE
from segdata.errors import SampleError
from segdata.images import UNDECODABLE
from segdata.labelmap import UNKNOWN, Color, LabelMap, hex_color

MasksAs = Literal["auto", "index", "color"]
LOSSLESS = ("PNG", "TIFF", "BMP")
COMPRESSION, BITS = 259, 258  # tags of TIFF
LOSSY = (6, 7, 34892, 50001)  # what the first says of JPEG (three ways) and WebP
SPREAD = {2: 85, 4: 17}  # Pillow spreads grey values of few bits over 0..255 by these factors
INDEX_MODES = ("P", "L", "LA", "1", "I;16", "I;16B", "I;16L", "I")
COLOR_MODES = ("RGB", "RGBA")
BINARY = "write ids = [255] for the class in a class file of TOML"
SHOWN = 12  # known values that a message lists

Ids = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.int32]


def read_mask(
    data: bytes, member: Member, label_map: LabelMap, masks_as: MasksAs
) -> NDArray[np.uint8]:
    """A mask file as class ids, uint8 (H, W): 0 background, 1..C, 255 ignore.

    Args:
        data: the file.
        member: where it comes from, for messages.
        label_map: the ids and colours that masks may hold.
        masks_as: what the pixels are; `auto` goes by the kind of file.

    Raises:
        SampleError: it is no lossless image, or holds a value that the label map does not know.
    """
    return _MaskFile(member, label_map, masks_as).read(data)


class _MaskFile:
    def __init__(self, member: Member, label_map: LabelMap, masks_as: MasksAs) -> None:
        self.where = member.where
        self.label_map = label_map
        self.masks_as = masks_as

    def refuse(self, what: str, *, place: str = "", **parts: object) -> NoReturn:
        raise SampleError(what, where=self.where + place, **parts)  # type: ignore[arg-type] # texts

    def read(self, data: bytes) -> NDArray[np.uint8]:
        try:
            with Image.open(io.BytesIO(data)) as opened:
                self._check_kind(opened)
                bits = _grey_bits(opened, data)
                opened.load()
                return self._ids(opened, bits)
        except UNDECODABLE as error:
            self.refuse(
                "a mask does not decode",
                expected="a PNG, TIFF or BMP",
                found=str(error).split(" <_io.")[0],
                advice="restore it, or leave it out with --on-error skip",
            )

    def _check_kind(self, opened: Image.Image) -> None:
        kind = str(opened.format)
        if kind == "TIFF":
            packed = opened.tag_v2.get(COMPRESSION)  # type: ignore[attr-defined] # a TIFF has it
            kind = f"TIFF packed as {packed}" if packed in LOSSY else kind
        if kind not in LOSSLESS:
            self.refuse(
                "a mask is in a format that may be lossy, so its values may not be those drawn",
                expected="PNG, TIFF or BMP",
                found=kind,
                advice="export the masks again as PNG; a converted copy keeps the damage",
            )
        if getattr(opened, "n_frames", 1) > 1:
            self.refuse(
                "a mask file holds several pictures",
                expected="one",
                found=f"{opened.n_frames}",  # type: ignore[attr-defined] # there
                advice="export each mask to a file of its own",
            )

    def _ids(self, image: Image.Image, bits: int) -> NDArray[np.uint8]:
        as_colors = self.masks_as == "color" or (
            self.masks_as == "auto" and image.mode in COLOR_MODES
        )
        if image.mode not in (*INDEX_MODES, *COLOR_MODES) or (
            bits > 8 and (as_colors or image.mode not in INDEX_MODES)
        ):
            self.refuse(
                "a mask holds pixels that are neither ids nor colours",
                expected="palette, greyscale of 8 or 16 bits, or RGB(A) of 8 bits a channel",
                found=f"mode {image.mode}" + (f", {bits} bits a channel" if bits > 8 else ""),
                advice="export the masks as PNG of ids, or of colours of 8 bits a channel",
            )
        self._refuse_translucent(image)
        image.info.pop("transparency", None)  # a palette's colours and indices count alone
        if as_colors:
            return self._of_colors(np.asarray(image.convert("RGB")))
        ids = self._indices(image)
        if bits in SPREAD:
            ids = ids // SPREAD[bits]
        mask = self._of_ids(ids)
        if self.masks_as == "auto" and image.mode == "P":
            self._refuse_contradiction(image, ids, mask)
        return mask

    def _refuse_translucent(self, image: Image.Image) -> None:
        if image.mode not in ("LA", "RGBA"):
            return
        alpha = np.asarray(image.getchannel("A"))
        if (alpha < 255).any():
            y, x = _first(alpha < 255)
            self.refuse(
                "a mask is translucent",
                place=f", pixel x={x} y={y}",
                expected="opaque pixels: an alpha of 255",
                found=f"an alpha of {alpha[y, x]}",
                advice="export the masks without transparency",
            )

    def _indices(self, image: Image.Image) -> Ids:
        """The pixels as unsigned numbers, (H, W)."""
        if image.mode in COLOR_MODES:
            channels = np.asarray(image.convert("RGB"))
            differs = (channels != channels[..., :1]).any(axis=2)
            if differs.any():
                y, x = _first(differs)
                self.refuse(
                    "a mask holds colours, not ids",
                    place=f", pixel x={x} y={y}",
                    expected="a palette or greyscale file, or three equal channels",
                    found=hex_color(_color(channels[y, x])),
                    advice='give each class its "colors" in the class file, and leave --masks-as '
                    "away",
                )
            return channels[..., 0]
        pixels = np.asarray(image.getchannel("L") if image.mode == "LA" else image)
        return pixels.astype(np.uint8) if pixels.dtype == np.bool_ else pixels

    def _of_ids(self, ids: Ids) -> NDArray[np.uint8]:
        known = self.label_map.ids
        if known is None:
            self.refuse(
                "a mask holds ids, and the class file names none",
                expected='"ids" for every class, [] where the masks have none',
                found='classes without "ids"',
                advice="add them; or --masks-as color, to go by the colours of its palette",
            )
        table = self.label_map.id_table
        mask = table[np.clip(ids, 0, len(table) - 1)] if ids.dtype == np.int32 else table[ids]
        if ids.dtype == np.int32:  # of more than 16 bits, so clipped
            mask[(ids < 0) | (ids >= len(table))] = UNKNOWN
        if (mask == UNKNOWN).any():
            self._refuse_unknown("an id", ids, mask == UNKNOWN, sorted(known), str)
        if self.label_map.implied and _looks_binary(ids) and (ids == IGNORE).any():
            y, x = _first(ids == IGNORE)
            self.refuse(
                "a mask looks like a binary one, whose 255 is a class",
                place=f", pixel x={x} y={y}",
                expected=f"ids {_listed(sorted(known), str)}",
                found="nothing but 0 and 255",
                advice=f"{BINARY}; or, if 255 means ignore, write ignore = [255] there",
            )
        return mask.astype(np.uint8)

    def _of_colors(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        known = self.label_map.colors
        if known is None:
            grey = bool((pixels == pixels[..., :1]).all())
            self.refuse(
                "a mask holds colours, and the class file names none",
                expected='"colors" (or "color") for every class',
                found="three equal channels" if grey else "colours",
                advice="read it as ids with --masks-as index" if grey else "add the colours",
            )
        packed = pixels[..., 0].astype(np.uint32)
        for channel in (1, 2):
            packed <<= 8
            packed |= pixels[..., channel]
        mask = self.label_map.color_table[packed]
        if (mask == UNKNOWN).any():
            listed = sorted(r << 16 | g << 8 | b for r, g, b in known)
            self._refuse_unknown("a colour", packed, mask == UNKNOWN, listed, _hex)
        return mask.astype(np.uint8)

    def _refuse_unknown(
        self,
        kind: str,
        values: Ids | NDArray[np.uint32],
        wrong: NDArray[np.bool_],
        known: Sequence[int],
        text: Callable[[int], str],
    ) -> NoReturn:
        """Refuse values that nothing is said of; `text` writes one as the class file would."""
        y, x = _first(wrong)
        unknown = np.unique(values[wrong]).tolist()
        written = text(unknown[0]) if kind == "an id" else f'"{text(unknown[0])}"'
        advice = (
            'add it to a class, to "background" or to "ignore" in the class file, which is TOML or '
            f"CSV then (ignore = [{written}] ignores it)"
        )
        if kind == "an id" and _looks_binary(values):
            advice = f"this looks like a binary mask of 0 and 255: {BINARY}"
        elif kind == "a colour" and np.count_nonzero(wrong) < wrong.size // 50:
            advice += "; few pixels of other colours come from smoothed edges: export without them"
        self.refuse(
            f"a mask holds {kind} that the class file does not name",
            place=f", pixel x={x} y={y}",
            expected=_listed(known, text),
            found=f"{text(int(values[y, x]))}; unknown in all: {_listed(unknown, text)} "
            f"({int(np.count_nonzero(wrong)):,} pixels)",
            advice=advice,
        )

    def _refuse_contradiction(self, image: Image.Image, ids: Ids, mask: NDArray[np.uint8]) -> None:
        """Refuse a palette whose colours say another class than its indices do."""
        known = self.label_map.colors or {}
        palette = image.getpalette("RGB") or []
        for index in np.unique(ids).tolist() if known else ():
            color = palette[3 * index : 3 * index + 3]
            meant = known.get(_color(color)) if color else None  # palettes may be short
            y, x = _first(ids == index)
            if meant is not None and meant != mask[y, x]:
                self.refuse(
                    "a palette mask says two things: its index is one class, its colour another",
                    place=f", pixel x={x} y={y}",
                    expected=f"index {index} to have the colour of {self._name(int(mask[y, x]))}",
                    found=f"{hex_color(_color(color))}, the colour of {self._name(meant)}",
                    advice="say which is right with --masks-as index or --masks-as color",
                )

    def _name(self, ours: int) -> str:
        named = {0: "background", IGNORE: "ignore", **dict(enumerate(self.label_map.names, 1))}
        return named[ours]


def _grey_bits(opened: Image.Image, data: bytes) -> int:
    """Bits of a channel as the file stores them, 8 where nothing else is said."""
    if opened.format == "PNG":
        return data[24] if opened.mode != "P" and data[24] != 1 else 8
    if opened.format == "TIFF":
        found = opened.tag_v2.get(BITS, 8)  # type: ignore[attr-defined] # a TIFF has it
        bits = max(found) if isinstance(found, tuple) else int(found)
        return bits if opened.mode != "P" and bits != 1 else 8
    return 8


def _looks_binary(ids: Ids | NDArray[np.uint32]) -> bool:
    return bool(((ids == 0) | (ids == IGNORE)).all())


def _listed(values: Sequence[int], text: Callable[[int], str]) -> str:
    shown = ", ".join(text(value) for value in values[:SHOWN])
    return f"{shown} … ({len(values)} in all)" if len(values) > SHOWN else shown or "none"


def _first(where: NDArray[np.bool_]) -> tuple[int, int]:
    """Row and column of the first true pixel."""
    y, x = divmod(int(where.argmax()), where.shape[1])
    return y, x


def _hex(packed: int) -> str:
    return f"#{packed:06x}"


def _color(values: NDArray[np.uint8] | list[int]) -> Color:
    red, green, blue = (int(v) for v in values)
    return red, green, blue
