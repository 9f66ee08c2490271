#!/usr/bin/env python3
"""Lay out SegmentationClassAug, the trainaug masks as PNGs, as the SBD folder that build-voc reads.

Many copies of VOC 2012 hold SBD's labels as `SegmentationClassAug/ID.png` and `train_aug.txt`
instead of SBD's own archive. This writes `OUT/dataset/` with `cls/ID.mat` for each id of train_aug
that VOC's own train.txt does not list, links to the images, and the lists. SBD has no void: where a
PNG holds 255, the mask gets background, and the number of such pixels is printed.

    python tools/experiments/aug_to_sbd.py VOCdevkit/VOC2012 --out sbd/
    segdata build-voc --data . --sbd sbd/ --out shards/
"""

import argparse
import os
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

VOID = 255


def listed(path: Path) -> list[str]:
    """The ids of a list file, in order."""
    return path.read_text("ascii").split()


def write_mask(png: Path, mat: Path) -> int:
    """One mask in SBD's form; returns how many void pixels became background."""
    with Image.open(png) as image:
        if image.mode not in ("P", "L"):
            raise SystemExit(f"{png}: a PNG of mode {image.mode}, expected ids in P or L")
        ids = np.array(image)
    void = ids == VOID
    ids[void] = 0
    truth = {"Segmentation": ids, "CategoriesPresent": np.unique(ids[ids > 0])}
    savemat(mat, {"GTcls": truth}, do_compression=True)
    return int(void.sum())


def link(source: Path, target: Path) -> None:
    """The same file under another name; a copy where the file system knows no hard links."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        target.write_bytes(source.read_bytes())


def main() -> None:
    """Write the folder and say what is in it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("voc", type=Path, help="the folder VOC2012 with SegmentationClassAug")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    lists = chosen.voc / "ImageSets" / "Segmentation"
    held_out = {*listed(lists / "train.txt"), *listed(lists / "val.txt")}
    ids = [i for i in listed(lists / "train_aug.txt") if i not in held_out]
    root = chosen.out / "dataset"
    for folder in (root / "cls", root / "img"):
        folder.mkdir(parents=True, exist_ok=True)
    void = 0
    for each in ids:
        void += write_mask(
            chosen.voc / "SegmentationClassAug" / f"{each}.png", root / "cls" / f"{each}.mat"
        )
        link(chosen.voc / "JPEGImages" / f"{each}.jpg", root / "img" / f"{each}.jpg")
    (root / "train.txt").write_text("".join(f"{i}\n" for i in ids), "ascii")
    (root / "val.txt").write_text("", "ascii")
    print(f"{chosen.out}: {len(ids):,} masks and images; {void:,} void pixels became background")


if __name__ == "__main__":
    main()
