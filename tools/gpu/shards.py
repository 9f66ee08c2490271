"""Shards of drawn photos, where none are given: plain tars, made known by `segtrain index`."""

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from gpu.bench import CLASSES, Plan
from segtrain.foreign.index import IndexOptions, index

PER_SHARD = 64


def training_shards(plan: Plan) -> Path:
    """The shards that were given, or drawn ones: 500x375 photos of noise and shapes."""
    if plan.shards is not None:
        return plan.shards
    folder = plan.scratch / "shards"
    if not folder.exists():
        size = (80, 60) if plan.quick else (500, 375)
        counts = {"train": 12, "val": 3} if plan.quick else {"train": 256, "val": 16}
        draw_shards(folder, counts, size)
    return folder


def draw_shards(folder: Path, counts: dict[str, int], size: tuple[int, int]) -> None:
    """Draw photos and masks into tars, and index them."""
    folder.mkdir(parents=True)
    names = [f"class {i}" for i in range(1, CLASSES)]
    classes = folder.parent / "classes.txt"
    classes.write_text("\n".join(names) + "\n", "utf-8")
    for split, count in counts.items():
        for first in range(0, count, PER_SHARD):
            path = folder / f"drawn-{split}-{first // PER_SHARD:06d}.tar"
            with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
                for number in range(first, min(count, first + PER_SHARD)):
                    add_sample(tar, f"{split}{number:05d}", number, size)
    index(IndexOptions(folder, str(classes), name="drawn"), lambda *_: None)


def add_sample(tar: tarfile.TarFile, key: str, number: int, size: tuple[int, int]) -> None:
    """One photo with its mask; the colours of the shapes tell their classes."""
    rng = np.random.default_rng([number, len(key)])
    width, height = size
    coarse = rng.normal(120, 40, (height // 4 + 1, width // 4 + 1, 3)).clip(0, 255)
    image = Image.fromarray(coarse.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    mask = Image.new("L", size, 0)
    for _ in range(int(rng.integers(1, 5))):
        label = int(rng.integers(1, CLASSES))
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        side = int(rng.integers(height // 6, height // 2))
        box = (x, y, x + side, y + side)
        color = (label * 12, 255 - label * 12, (label * 60) % 256)
        for canvas, fill, edge in ((image, color, None), (mask, label, 255)):
            ImageDraw.Draw(canvas).ellipse(box, fill=fill, outline=edge, width=3)
    for ext, picture, kind in (("jpg", image, "JPEG"), ("png", mask, "PNG")):
        data = io.BytesIO()
        picture.save(data, kind, **({"quality": 92} if kind == "JPEG" else {}))
        member = tarfile.TarInfo(f"{key}.{ext}")
        member.size, member.mode = data.tell(), 0o644
        data.seek(0)
        tar.addfile(member, data)
