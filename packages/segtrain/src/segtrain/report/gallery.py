"""Pictures of the page: sheets of validations and the user's own photos, over the steps."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError, features

from segtrain.errors import RunError
from segtrain.manifests import ClassInfo
from segtrain.overlays import palette, shares
from segtrain.report.record import RunRecord

WIDE = 1000  # pixels: widest sheet in the page
NAMED = 6  # classes that are named of a prediction
QUALITY = 70


def chosen(steps: Sequence[int], most: int, wanted: Sequence[int] = ()) -> list[int]:
    """Steps to show, spread evenly: always the last, the first, and those that are wanted.

    Args:
        steps: All of them, rising.
        most: How many at most.
        wanted: Such as that of the best validation.
    """
    if len(steps) <= most:
        return list(steps)
    if most < 2:
        return [steps[-1]] * most
    spread = (round(i * (len(steps) - 1) / (most - 1)) for i in range(most))
    places = {len(steps) - 1, *spread}
    extra = [step for step in wanted if step in steps and step not in {steps[i] for i in places}]
    inner = sorted(places - {0, len(steps) - 1})
    for step in extra[: len(inner)]:
        near = min(inner, key=lambda i: abs(steps[i] - step))
        inner.remove(near)
        places = places - {near} | {steps.index(step)}
    return [steps[i] for i in sorted(places)]


def uri(picture: Image.Image, kind: str, **options: int) -> str:
    """A picture as a data URI."""
    data = io.BytesIO()
    picture.save(data, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(data.getvalue()).decode()}"


def photo_uri(picture: Image.Image) -> str:
    """A photo as a data URI, in WebP where this Pillow has it."""
    if features.check("webp"):
        return uri(picture.convert("RGB"), "WEBP", quality=QUALITY, method=4)
    return uri(picture.convert("RGB"), "JPEG", quality=QUALITY)


def opened(path: Path) -> Image.Image:
    """A picture of the run's folder, read.

    Raises:
        RunError: If it cannot be read.
    """
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture.copy()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError,
            Image.DecompressionBombError) as error:  # fmt: skip
        raise RunError(f"{path.name}: cannot be read as a picture, and is left out") from error


def sheets(run: RunRecord, most: int) -> list[dict[str, Any]]:
    """The sheets of the validations, by data set; those that cannot be read are remarked on."""
    found = []
    best = [run.best["step"]] if run.best else []
    for name in run.datasets:
        paths = run.pictures(name)
        frames = []
        for step in chosen(sorted(paths), most, best):
            try:
                picture = opened(paths[step])
            except RunError as error:
                run.remarks.append(str(error))
                continue
            if picture.width > WIDE:
                height = round(picture.height * WIDE / picture.width)
                picture = picture.resize((WIDE, height), Image.Resampling.LANCZOS)
            alt = f"{name} at step {step:,}: photos, their truth, and what the net predicts"
            frames.append({"step": step, "uri": photo_uri(picture), "alt": alt,
                           "width": picture.width, "height": picture.height})  # fmt: skip
        if frames:
            found.append({"dataset": name, "frames": frames, "all": len(paths)})
    return found


def watched(run: RunRecord, most: int) -> list[dict[str, Any]]:
    """The photos that the run watches, each with its predictions over the steps."""
    try:
        listed = run.folder.watch.listed()
    except RunError as error:
        run.remarks.append(str(error))
        return []
    found = []
    for one in listed:
        paths = run.folder.watch.predictions(one.name)
        steps = [step for step in paths if step <= run.step]
        try:
            photo = opened(run.folder.watch.photo(one.name)).convert("RGB")
        except RunError as error:
            run.remarks.append(str(error))
            continue
        frames = []
        for step in chosen(steps, most):
            try:
                frames.append(mask_frame(opened(paths[step]), step, run.classes))
            except RunError as error:
                run.remarks.append(str(error))
        size = {"width": photo.width, "height": photo.height}
        found.append(size | {"name": one.title, "key": one.name, "frames": frames,
                             "uri": photo_uri(photo)})  # fmt: skip
    return found


def mask_frame(mask: Image.Image, step: int, classes: Sequence[ClassInfo]) -> dict[str, Any]:
    """A prediction as a picture in the classes' colours, background clear, and in words."""
    ids = np.asarray(mask)
    picture = Image.fromarray(ids).convert("L")
    picture.putpalette(palette(classes).ravel().tolist())
    entries = shares(ids, classes)
    objects = [entry for entry in entries if entry.name != classes[0].name]
    named = [f"{entry.name} {share_words(entry.share)}" for entry in objects[:NAMED]]
    if len(objects) > NAMED:
        named.append(f"{len(objects) - NAMED} more")
    words = ", ".join(named) or "nothing but background"
    return {"step": step, "uri": uri(picture, "PNG", transparency=0, optimize=1), "words": words,
            "classes": objects[:NAMED]}  # fmt: skip


def share_words(share: float) -> str:
    """A share of the pixels in per cent."""
    return f"{100 * share:.1f} %" if share >= 0.001 else "under 0.1 %"
