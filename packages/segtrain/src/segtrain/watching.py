"""Photos that a run watches: predicted at every validation, without truth, for people to look at.

What lies in `watch/` of a run's folder is all that it needs of them: `NAME.png`, the photo as the
net sees it, and `NAME/005000.png`, the prediction after that step: a palette PNG whose indices are
the ids and whose colours are those of the classes. `photos.json` tells which are watched.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from segtrain.errors import PhotoError, RunError
from segtrain.files import Write, make_folder, write_beside
from segtrain.manifests import ClassInfo
from segtrain.overlays import palette
from segtrain.photos import load_photo
from segtrain.predict import find_photos
from segtrain.predictor import Predictor

LIST = "photos.json"
FORMAT = "segtrain-watch/1"
LARGEST = 640  # longest side in pixels at which a photo is kept and seen
LONGEST = 60  # characters of a name, so that what is added to it fits everywhere


@dataclass(frozen=True, eq=False)
class Watched:
    """A photo that is watched.

    Attributes:
        name: Its name in the run's folder, that of its file without the ending.
        source: The path that it was given by.
        photo: RGB, upright, its longest side at most 640 pixels; None where it was not read yet.
        file: The name of the file that it was at first, for people; "" where `source` is that.
    """

    name: str
    source: str
    photo: Image.Image | None = None
    file: str = ""

    @property
    def title(self) -> str:
        """What people know it by: the name of its file, also where a copy of it was given."""
        return self.file or Path(self.source).name

    def plain(self) -> dict[str, str]:
        """Name and source, and where it was a copy the first file's name, for JSON."""
        return {"name": self.name, "source": self.source} | (
            {"file": self.file} if self.file else {}
        )


@dataclass(frozen=True)
class WatchFolder:
    """The folder of what a run watches."""

    path: Path

    def photo(self, name: str) -> Path:
        """A photo as the net sees it."""
        return self.path / f"{name}.png"

    def prediction(self, name: str, step: int) -> Path:
        """The prediction of a photo after a step."""
        return self.path / name / f"{step:06d}.png"

    def predictions(self, name: str) -> dict[int, Path]:
        """All predictions of a photo by step, in their order."""
        found = [p for p in (self.path / name).glob("*.png") if p.stem.isdecimal()]
        return {int(p.stem): p for p in sorted(found, key=lambda p: int(p.stem))}

    def copies(self) -> tuple[str, ...]:
        """The paths of the photos that are watched, in this folder.

        Raises:
            RunError: If the list is damaged.
        """
        return tuple(self.photo(one.name).as_posix() for one in self.listed())

    def listed(self) -> list[Watched]:
        """The photos that are watched, not read yet; none where nothing is.

        Raises:
            RunError: If the list is damaged.
        """
        path = self.path / LIST
        if not path.is_file():
            return []
        try:
            photos = json.loads(path.read_text("utf-8"))["photos"]
            return [
                Watched(str(p["name"]), str(p["source"]), file=str(p.get("file", "")))
                for p in photos
            ]
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise RunError(
                f"{path}: is damaged ({error}); give the photos anew with --watch, or delete it"
            ) from error

    def keep(self, photos: Sequence[Watched]) -> None:
        """Write the photos, and the list of them.

        Raises:
            RunError: If that cannot be written.
        """
        make_folder(self.path, "--out")
        for one in photos:
            if one.photo is not None:
                write_beside(self.photo(one.name), png_file(one.photo))
        plain: dict[str, Any] = {"format": FORMAT, "photos": [one.plain() for one in photos]}
        text = json.dumps(plain, indent=2) + "\n"
        write_beside(self.path / LIST, lambda part: part.write_text(text, "utf-8"))


def png_file(picture: Image.Image) -> Write:
    """What writes a picture as PNG."""
    return lambda part: picture.save(part, "PNG")


def seen(photo: Image.Image) -> Image.Image:
    """A photo as it is kept and shown to the net: reduced where it is larger than 640 pixels."""
    scale = LARGEST / max(photo.size)
    if scale >= 1:
        return photo
    width, height = (max(1, round(side * scale)) for side in photo.size)
    return photo.resize((width, height), Image.Resampling.BILINEAR)


def free_name(stem: str, taken: Iterable[str]) -> str:
    """A name for a photo that no other has, also where file names do not differ by case.

    It does not end in `.png`: the folder of its predictions would be the file of another photo.
    """
    used = {name.lower() for name in taken}
    short = stem.encode()[:LONGEST].decode(errors="ignore")
    base = re.sub(r"(\.png|[ .])+$", "", short, flags=re.IGNORECASE).lstrip(" .") or "photo"
    name, number = base, 1
    while name.lower() in used:
        number += 1
        name = f"{base}-{number}"
    return name


def read_photos(given: Sequence[str], kept: Sequence[Watched] = ()) -> list[Watched]:
    """The photos that `--watch` names, read and reduced.

    Args:
        given: Files, folders and patterns.
        kept: Those that the run keeps already: they stay as they are, even where their file is
            gone.

    Raises:
        PhotoError: If one is missing or no image, a folder holds none, or nothing fits a pattern.
    """
    known = {one.source: one for one in kept}
    found: list[Watched] = []
    names = [one.name for one in kept]
    for word in given:
        if word in known:
            found.append(known[word])
            continue
        for path in find_photos([Path(word)]):
            source = path.as_posix()
            if source not in known:
                name = free_name(path.stem, names)
                known[source] = Watched(name, source, watched_photo(path), first_file(path))
                names.append(known[source].name)
            found.append(known[source])
    return list({one.source: one for one in found}.values())


def first_file(path: Path) -> str:
    """The name of the file that a run's copy of a photo was made from; "" for any other photo."""
    try:
        listed = WatchFolder(path.parent).listed()
    except RunError:  # a photos.json of somebody else's
        return ""
    return {one.name: one.title for one in listed}.get(path.stem, "")


def watched_photo(path: Path) -> Image.Image:
    """A photo for `--watch`.

    Raises:
        PhotoError: If it cannot be read; with what to do.
    """
    try:
        return seen(load_photo(path))
    except PhotoError as error:
        raise PhotoError(f"{error}; --watch takes photos that can be read now") from error


def resume_watching(
    place: WatchFolder,
    given: Sequence[str] | None,
    first: Sequence[str] | None,
    tell: Callable[[str], None],
) -> list[Watched]:
    """The photos of a resumed run: the copies in its folder, wherever their files are by now.

    A copy that is gone is made anew from its file; where that is gone, too, it is told, and the
    photo is not watched any more.

    Args:
        place: The run's folder of photos.
        given: What `--watch` names now; None goes on with those that the run watches.
        first: What it named when the run began, for a run that was killed before they were kept.
        tell: Called with a remark for people.

    Raises:
        PhotoError: If a photo that is new to the run cannot be had.
        RunError: If the list of photos is damaged.
    """
    kept = place.listed()
    if given is None and not (place.path / LIST).exists():
        given = first
    wanted = kept if given is None else read_photos(given, kept)
    found = []
    for one in wanted:
        try:
            found.append(one if one.photo is not None else restored(place, one))
        except PhotoError as error:
            tell(f"{one.source} is not watched any more: {error}")
    return found


def restored(place: WatchFolder, one: Watched) -> Watched:
    """A photo from its copy in the run's folder, or where that is gone from its file.

    Raises:
        PhotoError: If neither can be read.
    """
    try:
        return replace(one, photo=load_photo(place.photo(one.name)))
    except PhotoError as error:
        try:
            return replace(one, photo=seen(load_photo(Path(one.source))))
        except PhotoError:
            raise error from None


@torch.inference_mode()
def predictions(predictor: Predictor, photos: Sequence[Watched]) -> list[NDArray[np.uint8]]:
    """Ids of each photo, uint8 `(H, W)`, by the net as it is judged."""
    training = predictor.model.training
    predictor.model.eval()
    try:
        read = [one.photo for one in photos if one.photo is not None]
        return [predictor.predict(photo).to("cpu", torch.uint8).numpy() for photo in read]
    finally:
        predictor.model.train(training)


def colored(ids: NDArray[np.uint8], classes: Sequence[ClassInfo]) -> Image.Image:
    """Ids as a palette picture whose colours are those of the classes.

    Args:
        ids: uint8 `(H, W)`.
        classes: The classes in the order of their ids.
    """
    picture = Image.fromarray(ids).convert("L")
    picture.putpalette(palette(classes).ravel().tolist())
    return picture
