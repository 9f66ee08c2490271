"""Sources in miniature: VOC, SBD and COCO of a few images under the official names."""

import io
import json
import tarfile
import warnings
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as rasteriser
from scipy.io import savemat
from scipy.sparse import csc_matrix

NAMES = ["person", "dog", "sofa"]  # VOC's ids 15, 12, 18; COCO's 1, 18, 63
VOC_IDS = {15: 1, 12: 2, 18: 3, 255: 255}
COCO_IDS = {1: 1, 18: 2, 63: 3}
COLORS = [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
SIZE, QUALITY, MIN_AREA = 32, 92, 50
YEARS = {"voc2012": 2012, "coco2017": 2017}
VOC = {
    "train": {"2007_000001": (30, 40), "2007_000002": (20, 24), "2008_000003": (40, 30)},
    "val": {"2009_000004": (30, 40), "2009_000005": (20, 20)},
}  # (height, width)
SBD = {
    "train": {"2007_000001": (30, 40), "2009_000004": (30, 40), "2010_000006": (24, 31)},
    "val": {"2010_000007": (41, 20)},
}  # VOC lists the first for train, the second for val
COCO = {
    "train": {"1": (36, 48), "2": (30, 32), "3": (50, 34), "4": (30, 30)},
    "val": {"5": (36, 48), "6": (20, 28)},
}
Members = list[tuple[tarfile.TarInfo, bytes]]


def picture(seed: int, height: int, width: int) -> bytes:
    """A JPEG of soft blobs and a little noise."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    pixels = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), dtype=np.int16)
    noisy = np.clip(pixels + rng.integers(-9, 10, pixels.shape), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noisy).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def voc_indices(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    """VOC's ids in blocks: some chosen, one not, and void."""
    rng = np.random.default_rng(seed)
    blocks = rng.choice(np.array([0, 0, 3, 12, 15, 18, 255], dtype=np.uint8), (5, 5))
    return np.kron(blocks, np.ones((10, 10), dtype=np.uint8))[:height, :width]


def palette_png(indices: NDArray[np.uint8]) -> bytes:
    image = Image.fromarray(indices)
    image.putpalette(bytes(range(256)) * 3)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def sbd_indices(name: str, height: int, width: int) -> NDArray[np.uint8]:
    """SBD's ids in blocks, drawn otherwise than VOC's, without void."""
    indices = voc_indices(int(name[-2:]) + 50, height, width)
    return np.where(indices == 255, 0, indices).astype(np.uint8)


def sbd_mat(indices: NDArray[np.uint8]) -> bytes:
    """A `cls/ID.mat` with the fields of SBD's own."""
    present = np.setdiff1d(indices, [0])[:, None]
    edges = np.empty((20, 1), object)
    for index in range(20):
        edges[index, 0] = csc_matrix(indices == index + 1)
    buffer = io.BytesIO()
    struct = {"Boundaries": edges, "Segmentation": indices, "CategoriesPresent": present}
    savemat(buffer, {"GTcls": struct}, do_compression=True)
    return b"MATLAB 5.0 MAT-file".ljust(116) + buffer.getvalue()[116:]  # without the time of day


def coco_annotations(image_id: int, height: int, width: int) -> list[dict[str, Any]]:
    """Overlapping polygons, one of two parts, one of another class, and a crowd; 4 has crumbs."""
    if image_id == 4:
        outlines = [(1, [[2.0, 2.0, 5.0, 2.0, 4.0, 6.0]], 9.0)]
    else:
        w, h = float(width), float(height)
        outlines = [
            (18, [[1.5, 2.0, w - 4, 3.0, w / 2, h - 2.5]], w * h / 3),
            (1, [[w / 3, h / 3, w - 2, h / 2, w / 2, h], [0.0, h - 6, 7.0, h - 5, 3.0, h]], 300.0),
            (44, [[0.0, 0.0, w, 0.0, w, h]], 500.0),
            (63, [[w / 2, 4.0, w / 2 + 9, 5.0, w / 2 + 2, 13.5, w / 2 - 5, 12.0]], 70.25),
        ]
    rows = [{"category_id": c, "segmentation": s, "area": a, "iscrowd": 0} for c, s, a in outlines]
    if image_id in (2, 5):
        counts = [height * 3 + 2, 9, height - 9, 9, height * (width - 4) - 11]
        region = {"size": [height, width], "counts": counts}
        rows.append({"category_id": 1, "segmentation": region, "area": 18.0, "iscrowd": 1})
    return [{"id": image_id * 100 + i, "image_id": image_id, **r} for i, r in enumerate(rows)]


def drawn(segmentation: object, height: int, width: int) -> NDArray[np.bool_]:
    """Pixels by the COCO API."""
    with warnings.catch_warnings():
        # pycocotools answers NumPy 2's array protocol in the old way
        warnings.simplefilter("ignore", DeprecationWarning)
        rle = rasteriser.frPyObjects(segmentation, height, width)
        whole = rasteriser.merge(rle) if isinstance(rle, list) else rle
        return rasteriser.decode(whole).astype(bool)


def describe(name: str, data: bytes) -> list[Any]:
    return [name, len(data), zlib.crc32(data)]


def instances(split: str) -> bytes:
    """An annotation file of COCO."""
    images = [
        {"id": int(name), "file_name": f"{name:0>12}.jpg", "height": h, "width": w}
        for name, (h, w) in COCO[split].items()
    ]
    annotations = [
        row for name, size in COCO[split].items() for row in coco_annotations(int(name), *size)
    ]
    names = {1: "person", 18: "dog", 44: "bottle", 63: "couch"}
    categories = [{"id": i, "name": name} for i, name in names.items()]
    record = {"images": images, "annotations": annotations, "categories": categories}
    return json.dumps(record).encode()


def tar_bytes(members: Members) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()
