"""Pictures of samples for a page: which ones to show of each class, drawn small, as data URIs."""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from segdata import overlays, stored
from segdata.census import SplitCensus

SIDE = 300  # longest side of a picture on a sheet, pixels
HERO_SIDE = 560
HEROES = 6
VISIBLE = 0.02  # share of the pixels from which on a class counts as seen
A_CLASS = 6  # pictures of a class, at most
QUALITY = 72

Classes = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Choice:
    """One sample to show: its split's number in the census, and its own in the split."""

    split: int
    number: int


@dataclass(frozen=True)
class Picture:
    """A drawn sample.

    Attributes:
        key: the sample's.
        uri: `data:image/...;base64,...`.
        width: pixels.
        height: pixels.
        alt: what is on it, in words.
    """

    key: str
    uri: str
    width: int
    height: int
    alt: str


def choose(census: Sequence[SplitCensus], most: int) -> dict[int, list[Choice]]:
    """Samples to show of each class that has any, the rarest class first.

    A class shows samples from those in which it is large to those in which it is small, at equal
    steps of their ranks; a sample that another class shows already is taken only where there is
    no other.

    Args:
        census: all splits.
        most: pictures in all. Each class gets an equal part, `A_CLASS` at most and one at least;
            where there are more classes than pictures, the rarest are shown.
    """
    rows = np.concatenate([_shares(split) for split in census])  # (N, C)
    owner = np.concatenate([np.full(len(s.places), i) for i, s in enumerate(census)])
    first = np.concatenate([np.arange(len(s.places)) for s in census])
    images = (rows > 0).sum(0)
    rarest = [int(c) for c in np.lexsort((np.arange(len(images)), images)) if images[c]][:most]
    each = max(1, min(A_CLASS, most // max(1, len(rarest))))
    used: set[int] = set()
    chosen: dict[int, list[Choice]] = {}
    for column in rarest:
        ranked = np.lexsort((np.arange(len(rows)), -rows[:, column]))[: images[column]].tolist()
        picked = list(_spread(ranked, each, used))
        used.update(picked)
        chosen[column + 1] = [Choice(int(owner[i]), int(first[i])) for i in picked]
    return chosen


def _shares(split: SplitCensus) -> NDArray[np.float64]:
    """Each sample's share of pixels of class 1..C, float64 (N, C)."""
    total = np.maximum(1, split.pixels.sum(1, dtype=np.int64))
    return np.asarray(split.pixels[:, 1:-1] / total[:, None], np.float64)


def _spread(ranked: Sequence[int], count: int, used: set[int]) -> Iterator[int]:
    """`count` of `ranked` at equal steps, fresh ones where the neighbourhood has any."""
    taken: set[int] = set()
    for step in range(min(count, len(ranked))):
        begin = step * len(ranked) // min(count, len(ranked))
        end = (step + 1) * len(ranked) // min(count, len(ranked))
        part = [i for i in ranked[begin:end] if i not in taken]
        fresh = [i for i in part if i not in used]
        picked = (fresh or part)[len(fresh or part) // 3]
        taken.add(picked)
        yield picked


def heroes(census: Sequence[SplitCensus]) -> list[Choice]:
    """A few samples with much to see, from the splits in turn, each with classes still unseen."""
    splits = [(number, _shares(split)) for number, split in enumerate(census) if len(split.places)]
    chosen: list[Choice] = []
    unseen = np.ones(splits[0][1].shape[1] if splits else 0)
    for number, shares in (splits * HEROES)[:HEROES]:
        shown = shares > VISIBLE
        score = shown @ unseen + np.minimum(shown.sum(1), 4) + 4 * np.minimum(shares.sum(1), 0.5)
        score[[c.number for c in chosen if c.split == number]] = -1
        best = int(np.argmax(score))
        if score[best] >= 0:
            chosen.append(Choice(number, best))
            unseen[shown[best]] = 0
    return chosen


def draw(census: Sequence[SplitCensus], choice: Choice, classes: Classes) -> Picture:
    """The overlay of a sample, `SIDE` pixels long.

    Raises:
        ShardsError: it cannot be read or decoded.
    """
    key, image, mask = _read(census, choice)
    image, mask = _reduced(image, mask, SIDE)
    return _picture(key, overlays.overlay(image, mask, classes), mask, classes)


def draw_hero(census: Sequence[SplitCensus], choice: Choice, classes: Classes) -> Picture:
    """A sample whose left is the photo and whose right is the overlay, parted by a slant line."""
    key, image, mask = _read(census, choice)
    image, mask = _reduced(image, mask, HERO_SIDE)
    drawn = np.array(overlays.overlay(image, mask, classes))
    height, width = mask.shape
    y, x = np.mgrid[0:height, 0:width]
    line = x - width / 2 + (y - height / 2) * 0.35  # pixels to the right of the parting line
    left = line < 0
    drawn[left] = np.asarray(image)[left]
    drawn[np.abs(line) < max(1.0, width / 300)] = 255
    return _picture(key, Image.fromarray(drawn), mask, classes)


def _read(
    census: Sequence[SplitCensus], choice: Choice
) -> tuple[str, Image.Image, NDArray[np.uint8]]:
    split = census[choice.split]
    shard, row = split.places[choice.number]
    found = stored.index(split.tars[shard])[row]
    return found.key, *overlays.decoded(found.key, found.members())


def _reduced(
    image: Image.Image, mask: NDArray[np.uint8], side: int
) -> tuple[Image.Image, NDArray[np.uint8]]:
    """Both, no longer than `side`; a preview only, so Pillow's nearest rule will do."""
    scale = min(1.0, side / max(image.size))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    small = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    return small, np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))


def _picture(key: str, picture: Image.Image, mask: NDArray[np.uint8], classes: Classes) -> Picture:
    kind = "WEBP" if features.check("webp") else "JPEG"
    buffer = io.BytesIO()
    picture.save(buffer, kind, quality=QUALITY)
    data = base64.b64encode(buffer.getvalue()).decode()
    uri = f"data:image/{kind.lower()};base64,{data}"
    names = ", ".join(text for _, text in overlays.shares(mask, classes)) or "background only"
    return Picture(key, uri, picture.width, picture.height, f"{key}: {names}")
