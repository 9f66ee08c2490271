"""What people do to masks, done with the tools that they do it with."""

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from segdata.classes import voc_color

Mask = NDArray[np.uint8]
SIZE = (96, 128)  # rows and columns
COUNT = 24
PALETTE = np.array([voc_color(i) for i in range(256)], np.uint8)


def drawn_mask(seed: int, size: tuple[int, int] = SIZE) -> Mask:
    """A scene of VOC ids: an object or two with a void border, and a thin line."""
    rng = np.random.default_rng(seed)
    height, width = size
    image = Image.new("L", (width, height), 0)
    pen = ImageDraw.Draw(image)
    for number in range(2):
        x, y = rng.integers(8, width // 2), rng.integers(8, height // 2)
        right, bottom = x + rng.integers(20, width // 2), y + rng.integers(20, height // 2)
        box = (int(x), int(y), int(min(right, width - 8)), int(min(bottom, height - 8)))
        shape = pen.ellipse if (seed + number) % 2 else pen.rectangle
        shape(box, fill=1 + int(rng.integers(0, 20)), outline=255, width=3)
    line = [(int(rng.integers(0, width)), 0), (int(rng.integers(0, width)), height)]
    pen.line(line, fill=2, width=1 + seed % 2)
    return np.array(image)


def photo(mask: Mask, seed: int) -> Image.Image:
    """An image whose edges are its mask's, void taken for a part of what it surrounds."""
    rng = np.random.default_rng(seed)
    shown = np.where(mask == 255, 0, mask)
    grey = (shown.astype(int) * 37 + 60) % 200
    return Image.fromarray((grey + rng.integers(0, 9, mask.shape)).astype(np.uint8))


@dataclass
class Set:
    """A set in memory: encoded files by name, to be written as three folders."""

    masks: dict[str, bytes] = field(default_factory=dict)
    images: dict[str, bytes] = field(default_factory=dict)
    reference: dict[str, bytes] = field(default_factory=dict)
    clean: dict[str, Mask] = field(default_factory=dict)
    classes: str | None = "voc"

    def write(self, folder: Path) -> dict[str, Path]:
        """The folders that hold anything, by option."""
        parts = {"masks": self.masks, "images": self.images, "reference": self.reference}
        for name, files in parts.items():
            for file, data in files.items():
                path = folder / name / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        return {name: folder / name for name, files in parts.items() if files}


def png(pixels: Mask | NDArray[np.uint16] | Image.Image) -> bytes:
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, "PNG")
    return buffer.getvalue()


def jpeg(image: Image.Image, quality: int = 75, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, **options)
    return buffer.getvalue()


def decoded(data: bytes) -> Mask:
    return np.array(Image.open(io.BytesIO(data)))


def make(masks: dict[str, Mask], images: dict[str, Image.Image] | None = None) -> Set:
    made = Set(clean=masks)
    for name, mask in masks.items():
        made.masks[f"{name}.png"] = png(mask)
        if images is not None:
            made.images[f"{name}.jpg"] = jpeg(images[name], 95)
    return made


def generated(*, images: bool = True) -> Set:
    masks = {f"2007_{i:06d}": drawn_mask(i) for i in range(COUNT)}
    return make(
        masks, {n: photo(m, i) for i, (n, m) in enumerate(masks.items())} if images else None
    )


def changed(change: Callable[[Mask], Mask | Image.Image], made: Set) -> Set:
    """Every mask by the same function; images stay."""
    masks = {f"{name}.png": png(change(mask)) for name, mask in made.clean.items()}
    return replace(made, masks=masks)


def against(change: Callable[[Mask], Mask], made: Set) -> Set:
    """Every mask changed, the original as reference, without images."""
    reference = {f"{name}.png": png(mask) for name, mask in made.clean.items()}
    return replace(changed(change, made), reference=reference, images={})


def first_only(change: Callable[[Set, str], None], made: Set) -> Set:
    change(made, min(made.clean))
    return made


def scaled(factor: float, kernel: Image.Resampling) -> Callable[[Mask], Mask]:
    def change(mask: Mask) -> Mask:
        size = round(mask.shape[1] * factor), round(mask.shape[0] * factor)
        return np.array(Image.fromarray(mask).resize(size, kernel))

    return change


def floor_nearest(mask: Mask) -> Mask:
    """As OpenCV's INTER_NEAREST and torch's `nearest` do it."""
    rows, columns = ((np.arange(m := round(n * 0.8)) * n / m).astype(int) for n in mask.shape)
    return mask[rows[:, None], columns]


def corner_nearest(mask: Mask) -> Mask:
    """As scipy.ndimage.zoom does it: the corner pixels' centres stay."""
    rows, columns = (np.linspace(0, n - 1, round(n * 0.7)) for n in mask.shape)
    return mask[np.rint(rows).astype(int)[:, None], np.rint(columns).astype(int)]


def colored(mask: Mask) -> Mask:
    colors = PALETTE.copy()
    colors[255] = (224, 224, 192)
    return colors[mask]


def as_palette(mask: Mask) -> Image.Image:
    image = Image.fromarray(mask)
    image = Image.frombytes("P", image.size, mask.tobytes())
    image.putpalette(colored(np.arange(256, dtype=np.uint8)[None]).tobytes())
    return image


def mapped(**changes: int) -> Callable[[Mask], Mask]:
    table = np.arange(256, dtype=np.uint8)
    for old, new in changes.items():
        table[int(old[1:])] = new
    return lambda mask: table[mask]


def _seed(mask: Mask) -> int:
    return zlib.crc32(mask.tobytes()) % 1000


def instances(mask: Mask) -> Mask:
    """Boxes numbered from 1, as VOC's SegmentationObject numbers objects."""
    out = np.zeros_like(mask)
    for number in range(2 + _seed(mask) % 6):
        row, column = divmod(number, 4)
        out[84 + _seed(mask) % 7 :, _seed(mask) % 100 :] = 1
        out[10 + 40 * row : 40 + 40 * row, 4 + 30 * column : 24 + 30 * column] = number + 1
    return out


@dataclass(frozen=True)
class Planted:
    """A set with a defect: what must be found, and in what value the place must lie.

    Attributes:
        make: the set.
        defects: all that is to be found.
        changed: whether the pixel at the place differs from the clean mask of the same size.
    """

    make: Callable[[], Set]
    defects: frozenset[str]
    changed: bool = False
    text: str = ""


PLANTS: dict[str, Planted] = {}


def plant(
    name: str,
    make: Callable[[], Set],
    *defects: str,
    changed: bool = False,
    text: str = "",
) -> None:
    assert name not in PLANTS
    PLANTS[name] = Planted(make, frozenset(defects), changed, text)


def without_images(made: Set) -> Set:
    return replace(made, images={})


def resized(factor: float, kernel: Image.Resampling) -> Callable[[], Set]:
    return lambda: without_images(changed(scaled(factor, kernel), generated(images=False)))


KERNELS = Image.Resampling
BOTH = ("bilinear", KERNELS.BILINEAR), ("bicubic", KERNELS.BICUBIC), ("lanczos", KERNELS.LANCZOS)
for _name, _kernel in (*BOTH, ("area", KERNELS.BOX)):
    plant(f"{_name} down", resized(0.7, _kernel), "interpolated-ids")
for _name, _kernel in BOTH[:2]:
    plant(f"{_name} up", resized(1.5, _kernel), "interpolated-ids")
plant("bicubic kernel named", resized(2.0, KERNELS.BICUBIC), "interpolated-ids", text="bicubic")
plant(
    "rotated with bilinear",
    lambda: changed(
        lambda m: np.array(Image.fromarray(m).rotate(3, KERNELS.BILINEAR)), generated()
    ),
    "interpolated-ids",
    changed=True,
)


def through_jpeg(quality: int) -> Callable[[Mask], Mask]:
    return lambda mask: decoded(jpeg(Image.fromarray(mask), quality))


for _quality in (95, 75, 50):
    plant(
        f"png of a jpeg of quality {_quality}",
        lambda q=_quality: changed(through_jpeg(q), generated()),  # type: ignore[misc] # early bound
        "jpeg-noise",
        changed=True,
    )


def jpeg_files() -> Set:
    made = generated(images=False)
    return replace(
        made, masks={f"{n}.jpg": jpeg(Image.fromarray(m)) for n, m in made.clean.items()}
    )


plant("jpeg files", jpeg_files, "jpeg-file")
plant("colours for ids", lambda: changed(colored, generated()), "colours-for-ids")
plant("bgr colours", lambda: changed(lambda m: colored(m)[..., ::-1], generated()), "channel-order")


def smooth_colours(mask: Mask) -> Mask:
    large = Image.fromarray(colored(mask)).resize((256, 192), KERNELS.NEAREST)
    return np.array(large.resize((180, 135), KERNELS.BILINEAR))


plant(
    "anti-aliased colours",
    lambda: changed(smooth_colours, generated(images=False)),
    "antialiased-colours",
)
plant(
    "jpeg colours",
    lambda: changed(lambda m: decoded(jpeg(Image.fromarray(colored(m)), 80)), generated()),
    "jpeg-colours",
)


def wide_unknown(mask: Mask) -> Mask:
    out = colored(mask)
    out[40:60, 50:80] = (255, 105, 180)
    return out


plant("a colour too many", lambda: changed(wide_unknown, generated()), "unknown-colours")


def panoptic(mask: Mask) -> Mask:
    cells = np.add.outer(np.arange(SIZE[0]) // 12 * 40, np.arange(SIZE[1]) // 12)
    codes = (cells + _seed(mask)) * 7919 + 4001
    return np.stack([codes % 256, codes // 256 % 256, codes // 65536], -1).astype(np.uint8)


plant("panoptic colours", lambda: changed(panoptic, generated()), "instance-colours")
plant(
    "palette through luminance",
    lambda: changed(lambda m: np.array(as_palette(m).convert("L")), generated()),
    "palette-as-luminance",
    changed=True,
)
plant(
    "palette through luminance, classes unknown",
    lambda: replace(
        changed(lambda m: np.array(as_palette(m).convert("L")), generated()), classes=None
    ),
    "palette-as-luminance",
    changed=True,
)
plus_one = mapped(**{f"_{i}": i + 1 for i in range(21)})
plant("ids plus one", lambda: changed(plus_one, generated()), "ids-off-by-one", changed=True)
plant(
    "ids minus one", lambda: changed(lambda m: m - np.uint8(1), generated()), "background-as-ignore"
)
plant("ids beyond the classes", lambda: changed(mapped(_2=77), generated()), "ids-beyond-classes")
plant("void as 21", lambda: changed(mapped(_255=21), generated()), "ignore-as-other-value")
plant(
    "void as 200, classes unknown",
    lambda: replace(changed(mapped(_255=200), generated()), classes=None),
    "ignore-as-other-value",
    changed=True,
)
plant(
    "binary",
    lambda: changed(lambda m: np.where(m > 0, np.uint8(255), np.uint8(0)), generated()),
    "binary-mask",
)
plant("all background", lambda: changed(np.zeros_like, generated()), "all-background")
plant("one class", lambda: changed(lambda m: (m > 0).astype(np.uint8), generated()), "single-class")
times_ten = mapped(**{f"_{i}": i * 10 for i in range(21)})
plant("ids times ten", lambda: changed(times_ten, generated()), "scaled-ids", changed=True)
stretched = mapped(**{f"_{i}": round(i * 255 / 20) for i in range(21)})
plant("ids stretched", lambda: changed(stretched, generated()), "scaled-ids", changed=True)
plant("instance ids", lambda: changed(instances, generated(images=False)), "instance-ids")


def wide_ids(mask: Mask) -> Image.Image:
    return Image.fromarray(mask.astype(np.uint16) * 1000 + 3)


plant("class times thousand", lambda: changed(wide_ids, generated()), "instance-ids")
plant(
    "sixteen bits",
    lambda: changed(lambda m: Image.fromarray(m.astype(np.uint16)), generated()),
    "needless-depth",
)
plant(
    "one bit",
    lambda: changed(lambda m: Image.fromarray(m > 0), generated()),
    "scaled-by-decoders",
    "binary-mask",
)


def with_alpha(mask: Mask) -> Image.Image:
    image = Image.fromarray(mask).convert("LA")
    image.putalpha(Image.fromarray(np.where(mask == 255, np.uint8(0), np.uint8(255))))
    return image


plant("alpha", lambda: changed(with_alpha, generated()), "alpha-channel")


def half_a_file(made: Set, name: str) -> None:
    made.masks[f"{name}.png"] = made.masks[f"{name}.png"][:90]


def another_size(made: Set, name: str) -> None:
    made.masks[f"{name}.png"] = png(made.clean[name][:-5])


def turned_by_exif(made: Set, name: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    made.images[f"{name}.jpg"] = jpeg(photo(made.clean[name], 0), 95, exif=exif)
    made.masks[f"{name}.png"] = png(np.rot90(made.clean[name], -1).copy())


def same_mask_twice(made: Set, name: str) -> None:
    made.masks[f"{max(made.clean)}.png"] = made.masks[f"{name}.png"]


def no_image(made: Set, name: str) -> None:
    del made.images[f"{name}.jpg"]


def no_mask(made: Set, name: str) -> None:
    del made.masks[f"{name}.png"]


def half_an_image(made: Set, name: str) -> None:
    made.images[f"{name}.jpg"] = made.images[f"{name}.jpg"][:700]


for _change, _defect in (
    (half_a_file, "mask-broken"),
    (another_size, "size-differs"),
    (turned_by_exif, "exif-orientation"),
    (same_mask_twice, "duplicate-mask"),
    (no_image, "image-missing"),
    (no_mask, "mask-missing"),
    (half_an_image, "image-broken"),
):
    plant(
        _change.__name__.replace("_", " "),
        lambda c=_change: first_only(c, generated()),  # type: ignore[misc] # early bound
        _defect,
    )


def other_names() -> Set:
    made = generated()
    return replace(made, images={f"IMG-{n}": data for n, data in made.images.items()})


plant("names of another kind", other_names, "names-differ")


def fractions() -> Set:
    made = generated(images=False)
    masks = {}
    for name, mask in made.clean.items():
        buffer = io.BytesIO()
        np.save(buffer, mask.astype(np.float32) / 255)
        masks[f"{name}.npy"] = buffer.getvalue()
    return replace(made, masks=masks, classes=None)


plant("floats", fractions, "fractions")

# against a reference
for _name, _turn, _text in (
    ("flipped", lambda m: m[:, ::-1], "mirrored left to right"),
    ("upside down", lambda m: m[::-1], "mirrored top to bottom"),
    ("turned round", lambda m: m[::-1, ::-1], "rotated by 180"),
    ("transposed", lambda m: m.T, "transposed"),
    ("rotated", np.rot90, "90 degrees counterclockwise"),
):
    plant(
        _name,
        lambda t=_turn: against(lambda m: t(m).copy(), generated()),  # type: ignore[misc] # early bound
        "mask-turned",
        text=_text,
    )
plant(
    "one pixel to the right",
    lambda: against(lambda m: np.roll(m, 1, 1), generated()),
    "mask-shifted",
    changed=True,
    text="+1 px to the right, +0 px down",
)
plant(
    "three up and two left",
    lambda: against(lambda m: np.roll(m, (-3, -2), (0, 1)), generated()),
    "mask-shifted",
    changed=True,
    text="-2 px to the right, -3 px down",
)
plant(
    "floor-nearest",
    lambda: against(floor_nearest, generated()),
    "nearest-off-centre",
    text="floor-nearest (OpenCV INTER_NEAREST, torch nearest): samples -0.62 px",
)
plant(
    "corner-aligned",
    lambda: against(corner_nearest, generated()),
    "nearest-off-centre",
    text="corner-aligned",
)
plant("void lost", lambda: against(mapped(_255=0), generated()), "ignore-lost", text="became 0")
plant(
    "constant offset",
    lambda: against(plus_one, generated()),
    "ids-off-by-one",
    changed=True,
    text="every id changed by +1",
)
shuffled = mapped(**{f"_{i}": 1 + (i * 7) % 20 for i in range(1, 21)})
plant("classes in another order", lambda: against(shuffled, generated()), "ids-renumbered")


def one_pixel(made: Set, name: str) -> None:
    mask = made.clean[name].copy()
    mask[50, 60] = 9 if mask[50, 60] != 9 else 8
    made.masks[f"{name}.png"] = png(mask)


plant(
    "one pixel of another id",
    lambda: first_only(one_pixel, against(lambda m: m, generated())),
    "reference-differs",
    changed=True,
)


def no_reference(made: Set, name: str) -> None:
    del made.reference[f"{name}.png"]


plant(
    "a reference is missing",
    lambda: first_only(no_reference, against(lambda m: m, generated())),
    "reference-missing",
)

# against images alone
plant(
    "off the images",
    lambda: changed(lambda m: np.roll(m, 3, 1), generated()),
    "shifted-from-images",
)
plant(
    "flipped off the images",
    lambda: changed(lambda m: m[:, ::-1].copy(), generated()),
    "mirrored-from-images",
)
