"""Predicting photos of any size and kind: an index PNG and an overlay for each."""

import glob
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from segtrain.checkpoint import find_checkpoint, load_checkpoint
from segtrain.errors import PhotoError
from segtrain.files import Write, check_folder, make_folder, write_together
from segtrain.manifests import ClassInfo
from segtrain.overlays import photo_overlay, shares
from segtrain.photos import load_photo
from segtrain.predictor import Predictor, Views, load_predictor
from segtrain.terminal import percent

STRIP = 64  # rows of a large photo whose scores are enlarged at a time
LEAST = 1e-30  # probability: the logarithm of 0 could not be enlarged
NAMED = 4  # classes that the line about a photo names


class Told(NamedTuple):
    """What is said about one photo: a line about the result, or an error; the other is empty."""

    line: str
    error: str


@dataclass(frozen=True)
class Target:
    """Where the results of one photo go."""

    photo: Path
    mask: Path
    overlay: Path
    probabilities: Path


@dataclass(frozen=True)
class Manner:
    """How photos are predicted.

    Attributes:
        max_side: Longest side that the net sees; a larger photo is reduced for it, antialiased.
        tile: Where not 0, photos are not reduced: those larger than this are seen in squares of
            this side, in pixels.
        probabilities: Whether to keep the probability of each class at each pixel.
    """

    max_side: int = 1024
    tile: int = 0
    probabilities: bool = False


class Part(NamedTuple):
    """Scores of a part of a photo: its corner, and float32 `(C, h, w)` at the photo's size."""

    top: int
    left: int
    scores: Tensor


class Predicted(NamedTuple):
    """Ids of a photo, uint8 `(H, W)`; where asked for, float16 `(C, H, W)` of 0..1, else None."""

    ids: NDArray[np.uint8]
    probabilities: NDArray[np.float16] | None


def taps(start: int, stop: int, n_src: int, n_dst: int) -> tuple[Tensor, Tensor, Tensor]:
    """Bilinear enlargement along one axis: outputs `start..stop-1` of `n_dst` from `n_src` cells.

    Returns:
        int64 lower and upper source index, and float32 weight of the upper, `(stop - start,)` each.
    """
    centre = (torch.arange(start, stop, dtype=torch.float64) + 0.5) * n_src / n_dst - 0.5
    inside = centre.clamp(0, n_src - 1)
    low = inside.floor().long()
    return low, (low + 1).clamp(max=n_src - 1), (inside - low).float()


def enlarged_strips(logits: Tensor, height: int, width: int) -> Iterator[Part]:
    """Scores at a photo's size from smaller ones, bilinearly enlarged strip by strip.

    Whole enlarged scores of a large photo would take gigabytes.

    Args:
        logits: float32 `(C, h, w)`.
        height: Of the photo, at least h.
        width: Of the photo, at least w.
    """
    for top in range(0, height, STRIP):
        bottom = min(height, top + STRIP)
        low, high, share = (t.to(logits.device) for t in taps(top, bottom, logits.shape[1], height))
        rows = torch.lerp(logits[:, low], logits[:, high], share[None, :, None])  # (C, strip, w)
        wide = F.interpolate(
            rows[None], size=(bottom - top, width), mode="bilinear", align_corners=False
        )  # (1, C, strip, width); the rows stay as they are
        yield Part(top, 0, wide[0])


class Span(NamedTuple):
    """Along one axis: the pixels that the net sees, and those of them that are kept."""

    seen: tuple[int, int]
    kept: tuple[int, int]


def spans(side: int, tile: int) -> list[Span]:
    """Divide one axis into what is seen at a time and what of it is kept.

    Each kept pixel has an eighth of the tile or more around it, but at the photo's own border.

    Args:
        side: Of the photo in pixels.
        tile: Of the square that is seen at a time.
    """
    if side <= tile:
        return [Span((0, side), (0, side))]
    margin = tile // 8
    found = []
    for start in range(0, side, tile - 2 * margin):
        first = max(0, min(start - margin, side - tile))
        stop = min(side, start + tile - 2 * margin)
        found.append(Span((first, first + tile), (start, stop)))
    return found


def seen(predictor: Predictor, image: Image.Image) -> Tensor:
    """Scores of an image in all the predictor's views, float32 `(C, H, W)`.

    Those of several are logarithms of their mean softmax, of which softmax makes it again.
    """
    if predictor.views.single:
        return predictor.logits(image)
    return predictor.probabilities([image])[0].clamp(min=LEAST).log()


def tiled(predictor: Predictor, photo: Image.Image, tile: int) -> Iterator[Part]:
    """Scores of a photo at its own size, seen square by square.

    Args:
        predictor: The net.
        photo: RGB.
        tile: Side of the squares in pixels.
    """
    for down in spans(photo.height, tile):
        for across in spans(photo.width, tile):
            box = (across.seen[0], down.seen[0], across.seen[1], down.seen[1])
            scores = seen(predictor, photo.crop(box))  # (C, tile, tile)
            rows = slice(down.kept[0] - down.seen[0], down.kept[1] - down.seen[0])
            columns = slice(across.kept[0] - across.seen[0], across.kept[1] - across.seen[0])
            yield Part(down.kept[0], across.kept[0], scores[:, rows, columns])


def scored(predictor: Predictor, photo: Image.Image, manner: Manner) -> Iterator[Part]:
    """Scores of a photo at its own size, in parts that do not overlap."""
    longest = max(photo.size)
    if manner.tile:
        yield from tiled(predictor, photo, manner.tile)
    elif longest <= manner.max_side:
        yield Part(0, 0, seen(predictor, photo))
    else:
        sides = (max(1, round(side * manner.max_side / longest)) for side in photo.size)
        width, height = sides
        small = photo.resize((width, height), Image.Resampling.BILINEAR)
        yield from enlarged_strips(seen(predictor, small), photo.height, photo.width)


def predict_photo(predictor: Predictor, photo: Image.Image, manner: Manner) -> Predicted:
    """Class ids of a photo, at its size, and probabilities where they are asked for.

    Args:
        predictor: The net.
        photo: RGB of W x H pixels.
        manner: How.
    """
    shape = (photo.height, photo.width)
    ids = np.empty(shape, np.uint8)
    kept = None
    if manner.probabilities:
        kept = np.empty((len(predictor.classes), *shape), np.float16)
    for top, left, scores in scored(predictor, photo, manner):
        rows, columns = (slice(top, top + scores.shape[1]), slice(left, left + scores.shape[2]))
        ids[rows, columns] = scores.argmax(0).to("cpu", torch.uint8).numpy()
        if kept is not None:
            kept[:, rows, columns] = scores.softmax(0).to("cpu", torch.float16).numpy()
    return Predicted(ids, kept)


def find_photos(given: Sequence[Path]) -> list[Path]:
    """The photos that words of a command line mean: files, folders, and patterns.

    Of a folder, all files directly in it whose names end as images do. A pattern (`*`, `?`,
    `[...]`, `**`) is looked up here where no file has its name, for not every shell does it.

    Returns:
        Each once, in the order given; those of one folder or pattern by name.

    Raises:
        PhotoError: If a folder holds no photo or nothing fits a pattern.
    """
    endings = frozenset(Image.registered_extensions())
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            files = [p for p in path.iterdir() if p.suffix.lower() in endings and p.is_file()]
            lack = "holds no photo; name one that does, or a pattern such as photos/**/*.jpg"
        elif any(sign in str(path) for sign in "*?[") and not path.exists():
            # pathlib's own takes no absolute patterns
            names = glob.glob(str(path), recursive=True)  # noqa: PTH207
            files = [Path(name) for name in names if Path(name).is_file()]
            lack = "no file fits this pattern"
        else:
            files, lack = [path], ""
        if not files:
            raise PhotoError(f"{path}: {lack}")
        found += sorted(files)
    return list(dict.fromkeys(found))


def place_results(photos: Sequence[Path], out: Path) -> list[Target]:
    """Where each photo's results go; photos of the same name get -2, -3, ... behind it.

    Raises:
        PhotoError: If a result would overwrite one of the photos.
    """
    inputs = {photo.resolve() for photo in photos}
    taken: set[str] = set()
    targets = []
    for photo in photos:
        name, number = photo.stem, 1
        while name.lower() in taken:  # file names differ by more than case on some systems only
            number += 1
            name = f"{photo.stem}-{number}"
        taken.add(name.lower())
        files = (out / f"{name}{end}" for end in (".png", ".overlay.jpg", ".npz"))
        target = Target(photo, *files)
        if {target.mask.resolve(), target.overlay.resolve()} & inputs:
            raise PhotoError(f"{photo}: its result would overwrite a photo; name another --out")
        targets.append(target)
    return targets


def picture_file(image: Image.Image, kind: str, **options: int) -> Write:
    """What writes a picture."""
    return lambda part: image.save(part, kind, **options)


def probabilities_file(probabilities: NDArray[np.float16], classes: Sequence[ClassInfo]) -> Write:
    """What writes `probabilities`, float16 `(C, H, W)`, and `classes`, their names, as one .npz."""
    data = io.BytesIO()  # to a path of another ending, numpy would add its own
    names = np.array([known.name for known in classes])
    np.savez_compressed(data, probabilities=probabilities, classes=names)
    return lambda part: part.write_bytes(data.getvalue())


def predict_one(predictor: Predictor, target: Target, manner: Manner) -> str:
    """Predict one photo and write its results, all of them or none.

    Returns:
        A line about it: size, classes by share, and where the results are.

    Raises:
        PhotoError: If the photo cannot be read, or is too small for statistics of its own.
        RunError: If a result cannot be written.
    """
    photo = load_photo(target.photo)
    try:
        mask, probabilities = predict_photo(predictor, photo, manner)
    except PhotoError as error:
        size = f"{photo.width}x{photo.height}"
        raise PhotoError(f"{target.photo}: has {size} pixels; {error}") from error
    drawn = photo_overlay(photo, mask, predictor.classes)
    files = {
        target.mask: picture_file(Image.fromarray(mask), "PNG"),
        target.overlay: picture_file(drawn, "JPEG", quality=92, subsampling=0),
    }
    if probabilities is not None:
        files[target.probabilities] = probabilities_file(probabilities, predictor.classes)
    write_together(files)
    found = shares(mask, predictor.classes)
    words = [f"{entry.name} {percent(entry.share)} %" for entry in found[:NAMED]]
    if len(found) > NAMED:
        words.append(f"{len(found) - NAMED} more")
    size = f"{photo.width}x{photo.height}"
    return f"{target.photo}  {size}  {', '.join(words)}  -> {target.mask}"


def predict_photos(
    run: Path,
    photos: Sequence[Path],
    out: Path,
    manner: Manner,
    device: str,
    views: Views | None = None,
) -> Iterator[Told]:
    """Predict photos one after the other; one that cannot be read does not stop the others.

    Args:
        run: A run's folder (its best.pt, else its last.pt) or a checkpoint.
        photos: The photos, folders of them, and patterns.
        out: Folder for the results; made if need be.
        manner: How they are predicted.
        device: `auto`, `cpu`, `cuda` or `mps`.
        views: In which forms the net sees each; as it is by default.

    Yields:
        A line or an error for each photo, in order.

    Raises:
        CheckpointError: If there is no checkpoint, or it is damaged.
        PhotoError: If a result would overwrite a photo, or a folder or pattern has none.
        RunError: If the folder or a result cannot be written.
    """
    path = find_checkpoint(run)
    check_folder(out, "--out")
    predictor = load_predictor(load_checkpoint(path), path, device, views)
    targets = place_results(find_photos(photos), out)
    make_folder(out, "--out")
    for target in targets:
        try:
            yield Told(predict_one(predictor, target, manner), "")
        except PhotoError as error:
            yield Told("", str(error))
