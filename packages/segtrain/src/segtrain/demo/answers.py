"""What the page is told of a photo: from its bytes to its mask, one photo at a time."""

import io
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from PIL import Image

from segtrain.errors import PhotoError
from segtrain.manifests import ClassInfo
from segtrain.overlays import (
    LARGEST,
    SMALLEST,
    Entry,
    Ids,
    fitted,
    overlay,
    palette,
    resized_pair,
    shares,
    with_legend,
)
from segtrain.photos import read_photo
from segtrain.predict import Manner, predict_photo
from segtrain.predictor import Predictor

# kinds that are tried, by content; PDF and EPS are left out, for Pillow hands these to others
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
HEIF_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"})
LONGEST_NAME = 80  # characters of a photo's name that are shown


@dataclass(frozen=True)
class Limits:
    """How large a photo may be.

    Attributes:
        megabytes: Of its file, 2**20 bytes each.
        megapixels: Of its picture, a million pixels each.
    """

    megabytes: int = 20
    megapixels: int = 50


@dataclass(frozen=True)
class Answer:
    """A photo's prediction, as small as the page needs it.

    Attributes:
        name: The photo's name without its ending, fit for names of files.
        size: Width and height of the photo in pixels, upright.
        photo: RGB, its longest side in 480..2048 pixels.
        ids: uint8 `(H, W)` of that size: the prediction.
        entries: The classes found, with their shares of the photo's own pixels.
        mask: The file of an 8-bit greyscale PNG of the photo's own size, whose values are ids.
        notes: What else is to be said, a sentence each.
    """

    name: str
    size: tuple[int, int]
    photo: Image.Image
    ids: Ids
    entries: tuple[Entry, ...]
    mask: bytes
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answerer:
    """The net behind the page; it predicts one photo at a time, whoever asks.

    Attributes:
        predictor: The net.
        manner: How photos are predicted.
        limits: How large they may be.
        lock: Held while a photo is decoded and predicted, so that memory is that of one.
    """

    predictor: Predictor
    manner: Manner = field(default_factory=Manner)
    limits: Limits = field(default_factory=Limits)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def classes(self) -> Sequence[ClassInfo]:
        """The net's classes in the order of their ids."""
        return self.predictor.classes

    def answer(self, data: bytes, name: str) -> Answer:
        """Predict a photo; waits while another one is predicted.

        Args:
            data: Its file.
            name: Its file's name, by which nothing is decided.

        Raises:
            PhotoError: If it is too large, no photo of the kinds taken, or damaged.
        """
        shown = plain_name(name)
        most = self.limits.megabytes
        if len(data) > most * 2**20:
            raise PhotoError(f"{shown}: has {len(data) / 2**20:.1f} MB; at most {most} are taken")
        if data[4:8] == b"ftyp" and data[8:12] in HEIF_BRANDS:
            raise PhotoError(
                f"{shown}: is a HEIC photo, as iPhones make them; export it as JPEG first"
            )
        limit = self.limits.megapixels * 10**6
        with self.lock:
            file = io.BytesIO(data)
            photo, several = read_photo(file, shown, formats=formats(), max_pixels=limit)
            return self.predicted(photo, stem(shown), several=several)

    def predicted(self, photo: Image.Image, name: str, *, several: bool) -> Answer:
        """The answer about an RGB photo, which may be the first of several."""
        ids, _ = predict_photo(self.predictor, photo, self.manner)
        shown, small = resized_pair(photo, ids, fitted(photo.size, SMALLEST, LARGEST))
        found = tuple(shares(ids, self.classes))
        mask = encoded(Image.fromarray(ids), "PNG")
        notes = tuple(self.notes(photo.size, several=several))
        return Answer(name, photo.size, shown, small, found, mask, notes)

    def notes(self, size: tuple[int, int], *, several: bool) -> list[str]:
        """What is to be said about how a photo was seen."""
        said = ["The file holds several pictures; this is the first."] if several else []
        most = self.manner.max_side
        if max(size) > most:
            said.append(
                f"The net saw the photo with its longest side reduced to {most:,} pixels; small "
                "things may be lost."
            )
        return said

    def overlay(self, answer: Answer, opacity: float) -> Image.Image:
        """The photo with its mask in colours of this opacity, 0..1; RGB, as large as `photo`."""
        return overlay(answer.photo, answer.ids, self.classes, opacity)

    def colored(self, answer: Answer) -> Image.Image:
        """The mask in its classes' colours alone; RGB, as large as `photo`."""
        return Image.fromarray(palette(self.classes)[answer.ids])

    def overlay_file(self, answer: Answer, opacity: float) -> bytes:
        """A JPEG of the overlay with a legend, as `segtrain predict` writes it."""
        drawn = with_legend(self.overlay(answer, opacity), answer.entries)
        return encoded(drawn, "JPEG", quality=92, subsampling=0)

    def colored_file(self, answer: Answer) -> bytes:
        """A PNG of the photo's own size with the ids as its palette's indices."""
        with Image.open(io.BytesIO(answer.mask)) as mask:
            mask.load()
            mask.putpalette(palette(self.classes).tobytes())
            return encoded(mask, "PNG")


@cache
def formats() -> tuple[str, ...]:
    """The kinds taken that this Pillow knows, by its own names."""
    Image.init()
    return tuple(kind for kind in FORMATS if kind in Image.OPEN)


def encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    """The bytes of an image's file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def plain_name(name: str) -> str:
    """A file's name without folders, of any system, and without characters that print nothing."""
    base = re.split(r"[/\\]", name)[-1]
    return "".join(c for c in base if c.isprintable())[:LONGEST_NAME] or "photo"


def stem(name: str) -> str:
    """A photo's name for downloads: letters, digits, `-` and `_` of it, without its ending."""
    return re.sub(r"[^\w-]+", "-", name.rpartition(".")[0] or name).strip("-") or "photo"
