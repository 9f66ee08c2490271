"""Torchvision's published weights: where they lie, their hashes, their download and cache."""

import hashlib
import http.client
import re
import socket
import sys
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from segtrain.errors import WeightsError
from segtrain.models.torchvision_nets import SEGMENTERS, STRIDES
from segtrain.models.vgg import DEPTHS
from segtrain.preprocessing import Preprocessing

PATIENCE = 60.0  # seconds without an answer after which a server counts as out of reach


def imagenet_url(trunk: str, norm: str) -> str:
    """The address of torchvision's weights for a trunk with this norm, with its hash in it."""
    from torchvision.models import get_model_weights

    weights = get_model_weights(f"{trunk}_bn" if norm == "batch" else trunk)
    return str(weights.IMAGENET1K_V1.url)


def backbone_url(backbone: str) -> str:
    """The address of torchvision's ImageNet weights for a backbone such as `resnet50`.

    Of several the first, `IMAGENET1K_V1`, with which its nets for segmentation were trained.
    """
    from torchvision.models import get_model_weights

    return str(get_model_weights(backbone).IMAGENET1K_V1.url)


def coco_url(net: str) -> str:
    """The address of a whole net for segmentation that torchvision trained on COCO."""
    return str(coco_weights(net).url)


def coco_weights(net: str) -> Any:  # noqa: ANN401 - torchvision does not annotate it
    """Torchvision's entry for a net trained on the images of COCO that show VOC's classes."""
    from torchvision.models import get_model_weights

    return get_model_weights(net).COCO_WITH_VOC_LABELS_V1


def coco_classes(net: str) -> tuple[str, ...]:
    """The names of the classes of such a net, background first."""
    names = coco_weights(net).meta["categories"]
    return tuple("background" if name == "__background__" else name for name in names)


def known_classes() -> dict[str, tuple[str, ...]]:
    """The classes of each published net for segmentation, by the first digits of its SHA-256."""
    return {hash_prefix(coco_url(net)): coco_classes(net) for net in SEGMENTERS}


def hash_prefix(url: str) -> str:
    """The first digits of a file's SHA-256 that torchvision writes into its name.

    `vgg16-397923af.pth` is `397923af`; empty where there are none.
    """
    found = re.search(r"-([0-9a-f]{8,})\.pth$", url)
    return found.group(1) if found else ""


def known_files() -> dict[str, Preprocessing]:
    """What the input of each published file must be, by the first digits of its SHA-256."""
    from torchvision.models import get_model_weights

    found = {}
    vggs = [*DEPTHS, *(f"{trunk}_bn" for trunk in DEPTHS)]
    for name in [*vggs, *STRIDES, *SEGMENTERS]:
        for weights in get_model_weights(name):
            wanted = weights.transforms()
            mean, std = ((v[0], v[1], v[2]) for v in (wanted.mean, wanted.std))
            found[hash_prefix(weights.url)] = Preprocessing(mean=mean, std=std)
    return found


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits.

    Raises:
        WeightsError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error}") from error


def download(url: str) -> Path:
    """The file of an address, from torch's cache or downloaded into it; checked by its hash.

    Raises:
        WeightsError: If it can be neither found nor downloaded, or if what is there is another
            file. A download that fails leaves nothing behind.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    prefix = hash_prefix(url)
    if not path.exists():
        fetch(url, path, prefix)
    elif not (digest := sha256_of(path)).startswith(prefix):
        raise WeightsError(
            f"{path}: is damaged: its SHA-256 begins with {digest[:8]}, expected {prefix}; delete "
            f"it, then it is downloaded again from {url}"
        )
    return path


def fetch(url: str, path: Path, prefix: str) -> None:
    """Download a file that must have a hash.

    Raises:
        WeightsError: If it cannot be had.
    """
    ways = (
        f"; three ways on: try again, download that file elsewhere and give it as --weights FILE "
        f"(or put it at {path}), or train from scratch with --weights none"
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with patience(PATIENCE):
            torch.hub.download_url_to_file(url, str(path), prefix, progress=sys.stderr.isatty())
    except (urllib.error.URLError, http.client.HTTPException) as error:
        raise WeightsError(f"{url}: could not be downloaded ({error}){ways}") from error
    except RuntimeError as error:  # torch's word for another hash
        raise WeightsError(
            f"{url}: what came is not that file: {error}; the download was cut or changed on its "
            f"way{ways}"
        ) from error
    except OSError as error:
        raise WeightsError(
            f"{url}: could not be downloaded to {path.parent} ({error}); its place is chosen by "
            f"the environment variable TORCH_HOME{ways}"
        ) from error


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Within this block a connection that is silent for so long is given up."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
