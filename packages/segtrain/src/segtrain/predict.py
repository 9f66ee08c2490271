"""Predicting photos of any size and kind: an index PNG and an overlay for each."""

import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from segtrain.checkpoint import find_checkpoint, load_checkpoint, write_beside
from segtrain.errors import PhotoError, RunError
from segtrain.overlays import photo_overlay, shares
from segtrain.predictor import Predictor, load_predictor
from segtrain.terminal import percent

STRIP = 64  # rows of a large photo whose scores are enlarged at a time
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


def eight_bits(image: Image.Image) -> Image.Image:
    """An image of 16 or 32 bits a pixel as 8-bit greyscale; others as they are.

    16-bit greys are 0..65535; floats are taken as 0..1 where none is larger, else as 0..255.
    """
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.float64)
        values = values / 257 if values.max() > 255 or image.mode != "I" else values
    elif image.mode == "F":
        values = np.nan_to_num(np.asarray(image, np.float64))
        values = values * 255 if values.max() <= 1 else values
    else:
        return image
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))


def to_rgb(image: Image.Image) -> Image.Image:
    """Any photo as upright RGB: EXIF orientation applied, transparent parts laid on white."""
    upright = eight_bits(ImageOps.exif_transpose(image))
    if upright.has_transparency_data:
        clear = upright.convert("RGBA")
        paper = Image.new("RGBA", clear.size, "white")
        return Image.alpha_composite(paper, clear).convert("RGB")
    return upright.convert("RGB")


def load_photo(path: Path) -> Image.Image:
    """Read a photo.

    Raises:
        PhotoError: If it is missing, no image, damaged, or of more pixels than Pillow takes for
            safe (179 million).
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns from half its limit on, and of odd metadata: neither spoils the pixels
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                return to_rgb(image)
    except FileNotFoundError as error:
        raise PhotoError(f"{path}: there is no such file") from error
    except IsADirectoryError as error:
        raise PhotoError(f"{path}: is a folder; name the photos in it") from error
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise PhotoError(f"{path}: has more than {limit:,} pixels; reduce it first") from error
    except UnidentifiedImageError as error:
        raise PhotoError(f"{path}: is no image that Pillow can read") from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise PhotoError(f"{path}: cannot be decoded: {error}") from error


def taps(start: int, stop: int, n_src: int, n_dst: int) -> tuple[Tensor, Tensor, Tensor]:
    """Bilinear enlargement along one axis: outputs `start..stop-1` of `n_dst` from `n_src` cells.

    Returns:
        int64 lower and upper source index, and float32 weight of the upper, `(stop - start,)` each.
    """
    centre = (torch.arange(start, stop, dtype=torch.float64) + 0.5) * n_src / n_dst - 0.5
    inside = centre.clamp(0, n_src - 1)
    low = inside.floor().long()
    return low, (low + 1).clamp(max=n_src - 1), (inside - low).float()


def enlarged_argmax(logits: Tensor, height: int, width: int) -> NDArray[np.uint8]:
    """Class ids at a photo's size from smaller logits, bilinearly enlarged strip by strip.

    Whole enlarged logits of a large photo would take gigabytes.

    Args:
        logits: float32 `(C, h, w)`.
        height: Of the photo, at least h.
        width: Of the photo, at least w.

    Returns:
        uint8 `(height, width)`.
    """
    ids = np.empty((height, width), np.uint8)
    for top in range(0, height, STRIP):
        bottom = min(height, top + STRIP)
        low, high, share = (t.to(logits.device) for t in taps(top, bottom, logits.shape[1], height))
        rows = torch.lerp(logits[:, low], logits[:, high], share[None, :, None])  # (C, strip, w)
        wide = F.interpolate(
            rows[None], size=(bottom - top, width), mode="bilinear", align_corners=False
        )  # (1, C, strip, width); the rows stay as they are
        ids[top:bottom] = wide[0].argmax(0).to("cpu", torch.uint8).numpy()
    return ids


def predict_photo(predictor: Predictor, photo: Image.Image, max_side: int) -> NDArray[np.uint8]:
    """Class ids of a photo, at its size.

    Args:
        predictor: The net.
        photo: RGB of W x H pixels.
        max_side: Longest side that the net sees; a larger photo is reduced for it, antialiased.

    Returns:
        uint8 `(H, W)`.
    """
    longest = max(photo.size)
    if longest <= max_side:
        return predictor.predict(photo).to("cpu", torch.uint8).numpy()
    width, height = (max(1, round(side * max_side / longest)) for side in photo.size)
    small = photo.resize((width, height), Image.Resampling.BILINEAR)
    return enlarged_argmax(predictor.logits(small), photo.height, photo.width)


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
        target = Target(photo, out / f"{name}.png", out / f"{name}.overlay.jpg")
        if {target.mask.resolve(), target.overlay.resolve()} & inputs:
            raise PhotoError(f"{photo}: its result would overwrite a photo; name another --out")
        targets.append(target)
    return targets


def write_image(path: Path, image: Image.Image, **options: int) -> None:
    """Write a picture, whole or not at all."""
    data = io.BytesIO()
    image.save(data, {".png": "PNG", ".jpg": "JPEG"}[path.suffix], **options)
    write_beside(path, lambda part: part.write_bytes(data.getvalue()))


def predict_one(predictor: Predictor, target: Target, max_side: int) -> str:
    """Predict one photo and write its results.

    Returns:
        A line about it: size, classes by share, and where the results are.

    Raises:
        PhotoError: If the photo cannot be read.
        RunError: If a result cannot be written.
    """
    photo = load_photo(target.photo)
    mask = predict_photo(predictor, photo, max_side)
    write_image(target.mask, Image.fromarray(mask))
    drawn = photo_overlay(photo, mask, predictor.classes)
    write_image(target.overlay, drawn, quality=92, subsampling=0)
    found = shares(mask, predictor.classes)
    words = [f"{entry.name} {percent(entry.share)} %" for entry in found[:NAMED]]
    if len(found) > NAMED:
        words.append(f"{len(found) - NAMED} more")
    size = f"{photo.width}x{photo.height}"
    return f"{target.photo}  {size}  {', '.join(words)}  -> {target.mask}"


def predict_photos(
    run: Path, photos: Sequence[Path], out: Path, max_side: int, device: str
) -> Iterator[Told]:
    """Predict photos one after the other; one that cannot be read does not stop the others.

    Args:
        run: A run's folder (its best.pt, else its last.pt) or a checkpoint.
        photos: The photos.
        out: Folder for the results; made if need be.
        max_side: See `predict_photo`.
        device: `auto`, `cpu`, `cuda` or `mps`.

    Yields:
        A line or an error for each photo, in order.

    Raises:
        CheckpointError: If there is no checkpoint, or it is damaged.
        PhotoError: If a result would overwrite a photo.
        RunError: If the folder or a result cannot be written.
    """
    path = find_checkpoint(run)
    predictor = load_predictor(load_checkpoint(path), path, device)
    targets = place_results(photos, out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{out}: cannot be made: {error}") from error
    for target in targets:
        try:
            yield Told(predict_one(predictor, target, max_side), "")
        except PhotoError as error:
            yield Told("", str(error))
