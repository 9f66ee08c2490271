"""The loaders that `loader.py` compares, each as its user would write it; one job per process.

All give batches of the same kind: uint8 `(N, 3, S, S)` and uint8 `(N, S, S)`. Each sample is scaled
by a factor drawn uniformly in its logarithm from 0.5..2 (images with antialiasing, masks by a
nearest rule), cut to a random square of S pixels, 0 and 255 outside of it, and mirrored half of the
time.
"""

import argparse
import io
import json
import math
import os
import random
import tarfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

SEED = 0
WARM = 4  # batches before the clock starts, so that all workers run


def tars(shards: Path) -> list[Path]:
    """The train shards of a directory."""
    return sorted(shards.glob("*-train-*.tar"))


def samples(shards: Path) -> Iterator[tuple[str, bytes, bytes]]:
    """Key, JPEG and PNG of each train sample, in the order of the tars."""
    for path in tars(shards):
        parts: dict[str, bytes] = {}
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, kind = member.name.partition(".")
                file = tar.extractfile(member)
                parts[kind] = file.read() if file else b""
                if {"jpg", "seg.png"} <= parts.keys():
                    yield key, parts["jpg"], parts["seg.png"]
                    parts = {}


class Cut:
    """The augmentation by torchvision's v2 kernels: resize all, pad, crop, mirror."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, image: Any, mask: Any) -> tuple[Any, Any]:  # noqa: ANN401 - tensors
        """Cut image `(3, H, W)` and mask `(1, H, W)` to `(3, S, S)` and `(S, S)`."""
        from torchvision import tv_tensors
        from torchvision.transforms import v2
        from torchvision.transforms.v2 import functional as F

        image, mask = tv_tensors.Image(image), tv_tensors.Mask(mask)
        factor = math.exp(random.uniform(math.log(0.5), math.log(2)))
        size = [max(1, round(side * factor)) for side in image.shape[-2:]]
        image = F.resize(image, size, antialias=True)
        mask = F.resize(mask, size)
        crop = v2.RandomCrop(
            self.size,
            pad_if_needed=True,
            fill={tv_tensors.Image: 0, tv_tensors.Mask: 255},
        )
        image, mask = v2.RandomHorizontalFlip()(*crop(image, mask))
        return image.as_subclass(torch.Tensor), mask.as_subclass(torch.Tensor).reshape(
            self.size, self.size
        )


def decoded(jpeg: bytes, png: bytes) -> tuple[torch.Tensor, torch.Tensor]:
    """Image `(3, H, W)` and mask `(1, H, W)` by torchvision's decoders."""
    from torchvision.io import ImageReadMode, decode_image

    image, mask = (torch.frombuffer(bytearray(data), dtype=torch.uint8) for data in (jpeg, png))
    return decode_image(image, ImageReadMode.RGB), decode_image(mask)


def ours(given: argparse.Namespace, workers: int) -> Iterable[Any]:
    """`segtrain`: by index, as a run reads."""
    from segtrain.batches import BatchDataset, batches
    from segtrain.data import training_order
    from segtrain.sampleset import join
    from segtrain.shards import open_shards
    from segtrain.transforms import Augmentation

    sets = open_shards((str(given.shards),)).train_sets("train", None)
    order = training_order(sets, SEED, None)
    dataset = BatchDataset(join(sets), order, Augmentation(given.size), given.batch)
    return batches(dataset, 0, 10**9, workers, pin=False)


def with_webdataset(given: argparse.Namespace, workers: int) -> Iterable[Any]:
    """A webdataset pipeline: a shuffle buffer of 1,000, Pillow's decoding and the v2 kernels."""
    import webdataset as wds

    cut = Cut(given.size)

    def ready(pair: tuple[Any, Any]) -> tuple[Any, Any]:
        image, mask = (torch.from_numpy(np.array(part)) for part in pair)
        return cut(image.permute(2, 0, 1), mask[None])

    masks = wds.autodecode.ImageHandler("l8", extensions=["png"])
    urls = [str(path) for path in tars(given.shards)]
    data = wds.WebDataset(urls, shardshuffle=len(urls)).shuffle(1000).decode(masks, "rgb8")
    data = data.to_tuple("jpg", "seg.png").map(ready).batched(given.batch)
    return endless(wds.WebLoader(data, batch_size=None, num_workers=workers))


def with_torchvision(given: argparse.Namespace, workers: int) -> Iterable[Any]:
    """`VOCSegmentation`, which gives Pillow images, and the v2 kernels."""
    from torch.utils.data import DataLoader
    from torchvision.datasets import VOCSegmentation
    from torchvision.transforms.v2 import functional as F

    cut = Cut(given.size)

    def ready(image: Any, mask: Any) -> tuple[Any, Any]:  # noqa: ANN401 - Pillow's
        return cut(F.pil_to_tensor(image), F.pil_to_tensor(mask))

    root = given.cache / "voc"
    if not root.exists():
        write_voc(given.shards, root)
    data = VOCSegmentation(str(root), year="2012", image_set="train", transforms=ready)
    return endless(DataLoader(data, given.batch, shuffle=True, num_workers=workers, drop_last=True))


def write_voc(shards: Path, root: Path) -> None:
    """The samples in VOC's layout; masks stay greyscale, whose values are the ids as well."""
    base = root / "VOCdevkit" / "VOC2012"
    folders = [base / name for name in ("JPEGImages", "SegmentationClass")]
    for folder in (*folders, base / "ImageSets" / "Segmentation"):
        folder.mkdir(parents=True)
    keys = []
    for key, jpeg, png in samples(shards):
        keys.append(key)
        (folders[0] / f"{key}.jpg").write_bytes(jpeg)
        (folders[1] / f"{key}.png").write_bytes(png)
    (base / "ImageSets" / "Segmentation" / "train.txt").write_text("\n".join(keys) + "\n")


def item(sample: tuple[str, bytes, bytes]) -> dict[str, bytes]:
    """A sample as litdata stores it."""
    return {"image": sample[1], "mask": sample[2]}


def with_litdata(given: argparse.Namespace, workers: int) -> Iterable[Any]:
    """Streaming by litdata from local chunks, torchvision's decoders and the v2 kernels."""
    import litdata

    root = given.cache / "litdata"
    if not root.exists():
        inputs = list(samples(given.shards))
        litdata.optimize(fn=item, inputs=inputs, output_dir=str(root), chunk_bytes="64MB",
                         num_workers=1)  # fmt: skip
    cut = Cut(given.size)

    class Set(litdata.StreamingDataset):  # type: ignore[misc,name-defined,unused-ignore] # untyped
        def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - as litdata has it
            found = super().__getitem__(index)
            return cut(*decoded(found["image"], found["mask"]))

    data = Set(str(root), shuffle=True, drop_last=True)
    return endless(litdata.StreamingDataLoader(data, batch_size=given.batch, num_workers=workers))


def with_streaming(given: argparse.Namespace, workers: int) -> Iterable[Any]:
    """MosaicML streaming from local MDS shards, torchvision's decoders and the v2 kernels."""
    import streaming
    from torch.utils.data import DataLoader

    root = given.cache / "mds"
    if not root.exists():
        with streaming.MDSWriter(
            out=str(root), columns={"image": "bytes", "mask": "bytes"}
        ) as writer:
            for sample in samples(given.shards):
                writer.write(item(sample))
    cut = Cut(given.size)

    class Set(streaming.StreamingDataset):  # type: ignore[misc,name-defined,unused-ignore] # untyped
        def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - as streaming has it
            found = super().__getitem__(index)
            return cut(*decoded(found["image"], found["mask"]))

    streaming.base.util.clean_stale_shared_memory()
    data = Set(local=str(root), shuffle=True, batch_size=given.batch)
    return endless(DataLoader(data, given.batch, num_workers=workers, drop_last=True))


def decoders() -> tuple[list[Callable[[bytes], Any]], list[Callable[[bytes], Any]]]:
    """The decoders of JPEGs to RGB and of PNGs that are installed here."""
    from PIL import Image
    from torchvision.io import ImageReadMode, decode_jpeg, decode_png

    def tensor(data: bytes) -> torch.Tensor:
        return torch.frombuffer(bytearray(data), dtype=torch.uint8)

    def pillow(data: bytes) -> torch.Tensor:
        return torch.from_numpy(np.asarray(Image.open(io.BytesIO(data)))).permute(2, 0, 1)

    jpegs = [pillow, lambda data: decode_jpeg(tensor(data), ImageReadMode.RGB)]
    pngs: list[Callable[[bytes], Any]] = [
        lambda data: Image.open(io.BytesIO(data)).load(),
        lambda data: decode_png(tensor(data)),
    ]
    try:
        import cv2
    except ImportError:
        return jpegs, pngs
    pngs.append(lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))
    jpegs.append(
        lambda data: torch.from_numpy(
            cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        ).permute(2, 0, 1)
    )
    return jpegs, pngs


def fastest(kernels: list[Callable[[bytes], Any]], files: list[bytes]) -> Callable[[bytes], Any]:
    """The kernel that takes the least time over some files."""
    best = [math.inf] * len(kernels)
    for _ in range(3):
        for number, kernel in enumerate(kernels):
            begin = time.perf_counter()
            for file in files:
                kernel(file)
            best[number] = min(best[number], time.perf_counter() - begin)
    return kernels[best.index(min(best))]


class Bare(torch.utils.data.IterableDataset[int]):
    """The limit: decode and resample alone, the bytes in memory, the pixels thrown away.

    The part of the image that the same boxes cut is resampled once by torch's uint8 kernel; masks
    are only decoded. Only counts leave a worker.
    """

    def __init__(self, given: argparse.Namespace) -> None:
        from segtrain.transforms import Augmentation

        self.augmentation = Augmentation(given.size)
        self.batch = given.batch
        found = list(samples(given.shards))
        random.Random(SEED).shuffle(found)
        self.files = found[:1000]
        jpegs, pngs = decoders()
        self.jpeg = fastest(jpegs, [f[1] for f in self.files[:40]])
        self.png = fastest(pngs, [f[2] for f in self.files[:40]])

    def __iter__(self) -> Iterator[int]:
        while True:
            for number, (_, jpeg, png) in enumerate(self.files):
                image = self.jpeg(jpeg)
                self.png(png)
                self.resampled(image, number)
                if number % self.batch == self.batch - 1:
                    yield self.batch

    def resampled(self, image: torch.Tensor, number: int) -> torch.Tensor:
        """The pixels that a box shows."""
        from segtrain.transforms import visible

        height, width = image.shape[1:]
        box = self.augmentation.draw((width, height), SEED, 0, number)
        x0, x1 = visible(box.left, box.width, box.cut_width)
        y0, y1 = visible(box.top, box.height, box.cut_height)
        rows = slice(y0 * height // box.height, -(-y1 * height // box.height))
        columns = slice(x0 * width // box.width, -(-x1 * width // box.width))
        part = image[:, rows, columns].permute(1, 2, 0).contiguous()  # channels_last is fastest
        return torch.nn.functional.interpolate(
            part[None].permute(0, 3, 1, 2),
            size=(y1 - y0, x1 - x0),
            mode="bilinear",
            antialias=True,
        )


def bare(given: argparse.Namespace, workers: int) -> Iterable[Any]:
    """The limit."""
    from torch.utils.data import DataLoader

    return DataLoader(Bare(given), batch_size=None, num_workers=workers)


def endless(loader: Any) -> Iterator[Any]:  # noqa: ANN401 - a loader of any kind
    """Epoch after epoch."""
    while True:
        yield from loader


LOADERS: dict[str, Callable[[argparse.Namespace, int], Iterable[Any]]] = {
    "segtrain": ours,
    "webdataset": with_webdataset,
    "torchvision": with_torchvision,
    "litdata": with_litdata,
    "streaming": with_streaming,
    "limit": bare,
}


def family() -> list[psutil.Process]:
    """This process and those that it started."""
    me = psutil.Process()
    return [me, *me.children(recursive=True)]


def memory() -> float:
    """MiB of this process and its children, pages that they share counted once."""
    infos = [process.memory_full_info() for process in family()]
    return float(sum(getattr(info, "pss", info.uss) for info in infos)) / 2**20


def cpu_seconds() -> float:
    """CPU seconds of this process and its children so far."""
    times = [process.cpu_times() for process in family()]
    return float(sum(t.user + t.system for t in times))


def refuse_other(batch: Any, given: argparse.Namespace) -> None:  # noqa: ANN401 - of any loader
    """Refuse a batch that is not of the agreed kind; the limit gives counts."""
    if isinstance(batch, int):
        return
    image, target = batch[0], batch[1]
    size = given.size
    agreed = ((given.batch, 3, size, size), torch.uint8), ((given.batch, size, size), torch.uint8)
    found = tuple((tuple(part.shape), part.dtype) for part in (image, target))
    if found != agreed:
        raise SystemExit(f"{given.loader}: batches of {found}, expected {agreed}")


def rate(given: argparse.Namespace, workers: int) -> dict[str, Any]:
    """Start-up, samples a second and memory with so many workers."""
    begin = time.perf_counter()
    loader = iter(LOADERS[given.loader](given, workers))
    refuse_other(next(loader), given)
    start = time.perf_counter() - begin
    for _ in range(WARM):
        next(loader)
    count = max(1, given.samples // given.batch)
    steps = {max(1, count * part // 10) for part in (1, 4, 7, 10)} if given.memory else set()
    used = []
    begin, busy = time.perf_counter(), cpu_seconds()
    for number in range(1, count + 1):
        next(loader)
        if number in steps:
            used.append(round(memory(), 1))
    seconds, busy = time.perf_counter() - begin, cpu_seconds() - busy
    done = count * given.batch
    return {"start": start, "rate": done / seconds, "cpu": busy / done, "memory": used}


def main() -> None:
    """Load with each number of workers, and print what it took as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("loader", choices=LOADERS)
    parser.add_argument("--shards", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--workers", type=int, nargs="+", default=[0])
    parser.add_argument("--samples", type=int, default=640)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--memory", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    random.seed(SEED)
    warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nor is it written
    found = {str(workers): rate(given, workers) for workers in given.workers}
    facts = {"count": given.samples, "torch": torch.__version__, "by_workers": found}
    print(json.dumps(facts), flush=True)
    os._exit(0)  # some loaders' workers are slow to end


if __name__ == "__main__":
    main()
