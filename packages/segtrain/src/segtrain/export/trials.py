"""Trials: does a file answer as the net does, on images of many sizes?"""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from segtrain.checkpoint import Checkpoint
from segtrain.errors import ExportError, ShardsError
from segtrain.photos import load_photo
from segtrain.places import Places
from segtrain.predict import find_photos
from segtrain.predictor import Predictor
from segtrain.samples import load
from segtrain.shards import open_shards

T = TypeVar("T")
TOLERANCE = 1e-4  # of the span of an input's logits
IMAGES = 4  # that trials are made on
LONGEST = 512  # side of them in pixels
# height and width of the parts of images that are tried: below, at and above multiples of 32
PARTS = ((1, 1), (1, 97), (31, 64), (33, 32), (63, 95))
BATCHES = ((3, 65, 101), (2, 1, 1))  # images, height and width

Pixels = NDArray[np.uint8]  # (N, H, W, 3), RGB
Answers = tuple[NDArray[np.uint8], NDArray[np.float32]]  # (N, H, W) and (N, C, H, W)
Run = Callable[[Pixels], Answers]


class Photos(NamedTuple):
    """Images for trials.

    Attributes:
        words: What they are, for people.
        images: RGB, one at least.
    """

    words: str
    images: list[Image.Image]


class Truth(NamedTuple):
    """One trial: pixels, and what the net itself answers."""

    pixels: Pixels
    logits: NDArray[np.float32]

    @property
    def words(self) -> str:
        """Its size for people: `1 image of 97x1 pixels`."""
        count, height, width, _ = self.pixels.shape
        return f"{count} image{'s' * (count > 1)} of {width}x{height} pixels"


class Difference(NamedTuple):
    """How a file's answers differ from the net's.

    Attributes:
        relative: The largest difference of two logits, in parts of the span from the trial's
            lowest logit to its highest; only differences of logits decide and make probabilities.
        absolute: The largest difference of two logits.
        ids: Pixels whose class is another.
        pixels: All pixels.
        where: The trial with the largest relative difference.
    """

    relative: float
    absolute: float
    ids: int
    pixels: int
    where: str


def choose_photos(
    checkpoint: Checkpoint, given: Sequence[Path], shards: Sequence[str] | None
) -> Photos:
    """Images for trials: those given, else of the run's validation split, else generated ones.

    Args:
        checkpoint: Of the run.
        given: Photos, folders and patterns; none to look for shards.
        shards: Directories or URLs of shards; None takes the run's, where they lie on this
            machine.

    Raises:
        PhotoError: If a photo that was given cannot be read.
        ShardsError: If shards that were given cannot be.
    """
    if given:
        paths = spread(find_photos(given))
        return Photos(", ".join(map(str, paths)), [reduced(load_photo(path)) for path in paths])
    if shards is not None:
        return stored_photos(tuple(shards), checkpoint.train_config.val_split)
    config = checkpoint.train_config
    why = "they lie at a URL"
    if not any("://" in str(place) for place in config.shards):
        try:
            return stored_photos(config.shards, config.val_split)
        except ShardsError as error:
            why = str(error)
    made = [painted(seed) for seed in range(IMAGES)]
    return Photos(f"{IMAGES} generated images; the run's shards were not taken ({why})", made)


def stored_photos(places: Places, split: str) -> Photos:
    """Images of the first data set's validation split, spread over it.

    Raises:
        ShardsError: If there are none, or they cannot be read.
    """
    opened = open_shards(places)
    samples = opened.sets(split)[0]
    images = [reduced(load(samples, number).image) for number in spread(range(len(samples)))]
    words = f"{len(images)} images of {samples.datasets[0]} {split} ({opened.where})"
    return Photos(words, images)


def spread(items: Sequence[T]) -> list[T]:
    """At most IMAGES of these, from the first to the last."""
    count = min(IMAGES, len(items))
    return [items[k * (len(items) - 1) // max(1, count - 1)] for k in range(count)]


def reduced(image: Image.Image) -> Image.Image:
    """An image whose longest side is at most LONGEST."""
    small = image.copy()
    small.thumbnail((LONGEST, LONGEST))
    return small


def painted(seed: int) -> Image.Image:
    """An image with edges, areas and blur, of contrasts as photos have them."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(20, 236, (6, 8, 3), np.uint8)
    image = Image.fromarray(coarse).resize((200, 151), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    for _ in range(8):
        x, y, side = (int(n) for n in rng.integers(0, 140, 3))
        color = tuple(int(n) for n in rng.integers(0, 256, 3))
        pen.ellipse((x, y, x + side, y + side), fill=color)
    soft = np.asarray(image.filter(ImageFilter.GaussianBlur(1)), np.float64)
    return Image.fromarray((soft + rng.normal(0, 6, soft.shape)).clip(0, 255).astype(np.uint8))


def trial_pixels(images: Sequence[Image.Image]) -> Iterator[Pixels]:
    """What is tried: each image whole, parts of the first, and batches of parts of all."""
    arrays = [np.array(image) for image in images]
    yield from (array[None] for array in arrays)
    for height, width in PARTS:
        yield part(arrays[0], height, width)[None]
    for count, height, width in BATCHES:
        chosen = [arrays[k % len(arrays)] for k in range(count)]
        yield np.stack([part(array, height, width) for array in chosen])


def part(array: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """The middle of an image, repeated where it is smaller: uint8 `(height, width, 3)`."""
    down, across = -(-height // array.shape[0]), -(-width // array.shape[1])
    wide = np.tile(array, (down, across, 1))
    top, left = (wide.shape[0] - height) // 2, (wide.shape[1] - width) // 2
    return wide[top : top + height, left : left + width]


def truths(predictor: Predictor, photos: Photos) -> list[Truth]:
    """What the net itself answers at each trial.

    Raises:
        ExportError: If it answers with NaN or infinity.
    """
    found = []
    for pixels in trial_pixels(photos.images):
        truth = Truth(pixels, predicted(predictor, pixels))
        if not np.isfinite(truth.logits).all():
            raise ExportError(
                f"the net itself answers with NaN or infinity on {truth.words}; use another "
                "checkpoint of the run"
            )
        found.append(truth)
    return found


def predicted(predictor: Predictor, pixels: Pixels) -> NDArray[np.float32]:
    """Logits `(N, C, H, W)` of a net whose weights lie channel after channel in memory."""
    model = predictor.model
    hook = model.register_forward_pre_hook(lambda _, given: tuple(x.contiguous() for x in given))
    with hook:
        scores = predictor.batch_logits([Image.fromarray(image) for image in pixels])
    return np.stack([each.numpy() for each in scores])


def compared(run: Run, known: Sequence[Truth], path: Path) -> Difference:
    """Compare a file's answers with the net's.

    Args:
        run: What answers by the file.
        known: The trials.
        path: The file, for messages.

    Raises:
        ExportError: If it answers otherwise than the net, in numbers or in shape, or its ids are
            not the classes of its highest logits.
    """
    worst = Difference(-1.0, 0.0, 0, 0, "")
    largest, ids, pixels = 0.0, 0, 0
    for truth in known:
        got, logits = run(truth.pixels)
        if logits.shape != truth.logits.shape or not np.array_equal(got, logits.argmax(1)):
            raise ExportError(
                f"{path.name}: answers {truth.words} with logits of shape {logits.shape}, expected "
                f"{truth.logits.shape}, and ids of shape {got.shape}, expected the place of the "
                "highest logit of each pixel; nothing was kept"
            )
        absolute = float(np.abs(logits - truth.logits).max())
        span = float(np.ptp(truth.logits))
        relative = absolute / span if span else absolute
        largest, pixels = max(largest, absolute), pixels + got.size
        ids += int(np.count_nonzero(got != truth.logits.argmax(1)))
        relative = relative if math.isfinite(relative) else math.inf
        if relative > worst.relative:
            worst = Difference(relative, absolute, 0, 0, truth.words)
    if worst.relative > TOLERANCE:
        raise ExportError(
            f"{path.name}: its logits differ from the net's by up to {worst.absolute:.2g}, "
            f"{worst.relative:.2g} of their span (on {worst.where}); at most {TOLERANCE:g} is "
            "taken for rounding; nothing was kept; other versions of torch, onnx or onnxruntime "
            "may do better"
        )
    return worst._replace(absolute=largest, ids=ids, pixels=pixels)
