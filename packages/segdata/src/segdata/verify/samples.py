"""One stored sample: its facts, image and mask against each other and against the format."""

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segdata.verify import contract, jpegs
from segdata.verify.cutouts import cut_out
from segdata.verify.findings import Log
from segdata.verify.labels import IGNORE, fitted

UNDECODABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
PNG_GREY_8_BIT = (8, 0)  # bit depth and colour type in the IHDR chunk


@dataclass(frozen=True)
class Rules:
    """What a data set's manifest asks of the samples of one split.

    Attributes:
        dataset: name of the data set.
        split: `train` or `val`.
        key_prefix: what every key begins with.
        classes: C, the number of classes without background.
        size: longest side in pixels, 0 for native.
    """

    dataset: str
    split: str
    key_prefix: str
    classes: int
    size: int

    def valid_id(self, ids: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Where ids are 0…C or 255."""
        valid: NDArray[np.bool_] = (ids <= self.classes) | (ids == IGNORE)
        return valid

    def invalid(self, counts: NDArray[np.int64]) -> bool:
        """Whether counts of the values 0 to 255 are of other ids, too."""
        return bool(counts[self.classes + 1 : IGNORE].any())


@dataclass(frozen=True)
class Parts:
    """The three members of a sample as stored."""

    image: bytes
    facts: bytes
    mask: bytes


@dataclass(frozen=True)
class Checked:
    """What a sample holds.

    Attributes:
        facts: None where they are unreadable.
        mask: uint8 (H, W), None where it is unreadable.
        counts: pixels of each value of the mask, int64 (256,); none without it.
    """

    facts: contract.Sample | None
    mask: NDArray[np.uint8] | None
    counts: NDArray[np.int64]


def check_sample(key: str, parts: Parts, rules: Rules, log: Log) -> Checked:
    """Check one sample.

    Args:
        key: its key, from the names of its members.
        parts: its members.
        rules: what the manifest asks.
        log: receives the findings.
    """
    _check_key(key, rules, log)
    image_size = _check_image(key + ".jpg", parts.image, log)
    mask = decode_mask(key + ".seg.png", parts.mask, log)
    counts = np.zeros(256, dtype=np.int64) if mask is None else count_values(mask)
    if mask is not None and rules.invalid(counts):
        _report_ids(key + ".seg.png", mask, parts.image, rules, log)
    try:
        facts = contract.parse_sample(parts.facts)
    except ValueError as error:
        log.add(
            "sample-json", f"expected the fields of the format, found: {error}", at=f"{key}.json"
        )
        return Checked(None, mask, counts)
    _check_facts(key, facts, rules, log)
    expected = f"{facts.width}x{facts.height} as in its .json"
    if image_size not in (None, (facts.width, facts.height)):
        log.add("image-size", f"expected {expected}, found {_size(image_size)}", at=key + ".jpg")
    if mask is not None:
        if mask.shape != (facts.height, facts.width):
            found = _size((mask.shape[1], mask.shape[0]))
            log.add("mask-size", f"expected {expected}, found {found}", at=key + ".seg.png")
        _check_counts(key, facts, counts, rules, log)
    return Checked(facts, mask, counts)


def _size(size: tuple[int, int] | None) -> str:
    return "none" if size is None else f"{size[0]}x{size[1]}"


def _check_key(key: str, rules: Rules, log: Log) -> None:
    known = contract.KEY.fullmatch(key) and len(key) <= contract.KEY_BYTES
    if not known or not key.startswith(rules.key_prefix) or key == rules.key_prefix:
        detail = (
            f"expected {rules.key_prefix}ID of the characters A-Z a-z 0-9 _ -, at most"
            f" {contract.KEY_BYTES} bytes, found {key!r}"
        )
        log.add("key-invalid", detail, at=key)


def _check_image(name: str, data: bytes, log: Log) -> tuple[int, int] | None:
    """(width, height) of a JPEG that decodes to its end, else None.

    One that is sound by its markers is not decoded: that alone would take longer than all the rest.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.format not in ("JPEG", "MPO"):  # the latter holds further pictures at its end
                log.add("image-broken", f"expected a JPEG, found {image.format}", at=name)
                return None
            if not jpegs.is_sound(data):
                image.load()
            return image.size
    except UNDECODABLE as error:
        log.add("image-broken", f"expected a JPEG that decodes, found: {_text(error)}", at=name)
        return None


def decode_mask(name: str, data: bytes, log: Log) -> NDArray[np.uint8] | None:
    """The ids of a mask, uint8 (H, W), or None where it is no 8-bit greyscale PNG."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            kind = image.format
            found = tuple(data[24:26])  # signature 8, length 4, "IHDR" 4, width 4, height 4
            if kind != "PNG" or found != PNG_GREY_8_BIT:
                detail = (
                    f"found {kind}, bit depth and colour type {found}" if kind == "PNG" else kind
                )
                log.add("mask-format", f"expected an 8-bit greyscale PNG (8, 0), {detail}", at=name)
                return None
            return np.array(image, dtype=np.uint8)  # (H, W)
    except UNDECODABLE as error:
        log.add("mask-broken", f"expected a PNG that decodes, found: {_text(error)}", at=name)
        return None


def _text(error: BaseException) -> str:
    """An error's text without the address of the buffer that it names."""
    return str(error).split(" <_io.")[0].split("<_io.")[0] or type(error).__name__


def _report_ids(name: str, mask: NDArray[np.uint8], image: bytes, rules: Rules, log: Log) -> None:
    wrong = ~rules.valid_id(mask)
    y, x = (int(v) for v in np.argwhere(wrong)[0])
    ids = ", ".join(str(i) for i in np.unique(mask[wrong]))
    detail = (
        f"expected ids 0 to {rules.classes} or {IGNORE}, found {mask[y, x]} first"
        f" (in all {ids} on {np.count_nonzero(wrong)} pixels)"
    )
    log.add(
        "mask-ids",
        detail,
        at=name,
        place=(x, y),
        view=lambda: cut_out((x, y), mask, image=image),
    )


def _check_facts(key: str, facts: contract.Sample, rules: Rules, log: Log) -> None:
    at = f"{key}.json"
    expected = {"key": key, "dataset": rules.dataset, "split": rules.split}
    for field, value in expected.items():
        found = getattr(facts, field)
        if found != value:
            log.add("sample-identity", f"{field}: expected {value}, found {found}", at=at)
    if key.partition("_")[2] not in contract.key_endings(facts.source_id):
        detail = f"source_id: expected that of key {key}, found {facts.source_id}"
        log.add("sample-identity", detail, at=at)
    size = fitted(facts.source_height, facts.source_width, rules.size)
    if (facts.height, facts.width) != size:
        detail = (
            f"expected {size[1]}x{size[0]} from a source of"
            f" {facts.source_width}x{facts.source_height} at size {rules.size or 'native'},"
            f" found {facts.width}x{facts.height}"
        )
        log.add("fit-size", detail, at=at)


def count_values(mask: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Pixels of each value of a mask, int64 (256,); Pillow counts bytes as they are."""
    if not mask.size:
        return np.zeros(256, dtype=np.int64)
    return np.array(Image.fromarray(mask).histogram(), dtype=np.int64)


def by_id(counts: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Of counts of values those of id 0…C, then of 255: C + 2. Ids in between are left out."""
    return np.append(counts[: classes + 1], counts[IGNORE])


def _check_counts(
    key: str, facts: contract.Sample, counts: NDArray[np.int64], rules: Rules, log: Log
) -> None:
    at = f"{key}.json"
    found = by_id(counts, rules.classes).tolist()
    log.compare("pixel-counts", "pixels", found, facts.pixels, at=at)
    if len(facts.objects) != rules.classes:
        detail = f"objects: expected {rules.classes} numbers, found {len(facts.objects)}"
        log.add("sample-json", detail, at=at)
    if facts.crowd_pixels > counts.sum():
        detail = f"crowd_pixels: {facts.crowd_pixels} of a mask of {counts.sum()} pixels"
        log.add("pixel-counts", detail, at=at)
