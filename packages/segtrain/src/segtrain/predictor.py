"""A net that is ready to predict: in batches, at several scales, mirrored."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from segtrain.checkpoint import Checkpoint, load_state
from segtrain.config import TrainConfig
from segtrain.devices import autocast, choose_device
from segtrain.errors import UsageError
from segtrain.image_statistics import image_statistics, trained_norms
from segtrain.manifests import ClassInfo
from segtrain.models import build
from segtrain.models.net import Net
from segtrain.options.running import Precision, Statistics
from segtrain.preprocessing import Preprocessing

Size = tuple[int, int]  # width and height in pixels


@dataclass(frozen=True)
class Views:
    """In which forms the net sees an image; the mean of their softmax decides.

    Attributes:
        scales: Factors on the image's size.
        flip: Whether each is also seen mirrored.
        statistics: Which statistics batch norms use on each: `running`, or `batch`, its own.

    Raises:
        UsageError: If there is no scale, or one is not above 0 and at most 4.
    """

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    statistics: Statistics = "running"

    def __post_init__(self) -> None:
        if not self.scales or not all(0 < scale <= 4 for scale in self.scales):
            given = ",".join(f"{scale:g}" for scale in self.scales)
            raise UsageError(f"--scales {given}: each must be above 0 and at most 4, such as 0.5,1")

    @classmethod
    def parse(cls, scales: str, *, flip: bool, statistics: Statistics = "running") -> "Views":
        """Views by the words of a command line, `0.5,0.75,1`.

        Raises:
            UsageError: If these are no numbers in range.
        """
        try:
            return cls(tuple(float(word) for word in scales.split(",")), flip, statistics)
        except ValueError as error:
            raise UsageError(
                f"--scales {scales}: is no list of numbers; give one such as 0.5,0.75,1"
            ) from error

    @property
    def single(self) -> bool:
        """Whether the net sees the image as it is and nothing else."""
        return self.scales == (1.0,) and not self.flip

    @property
    def mirrored(self) -> tuple[bool, ...]:
        """For each scale: as it is, and mirrored where that is asked for."""
        return (False, True) if self.flip else (False,)

    def sizes(self, size: Size) -> list[Size]:
        """An image's sizes at the scales."""
        width, height = size
        return [(max(1, round(width * s)), max(1, round(height * s))) for s in self.scales]

    def plain(self) -> dict[str, Any]:
        """The views as plain types, for JSON."""
        return {"scales": list(self.scales), "flip": self.flip}

    def words(self) -> str:
        """The views for people; empty where there is a single one by running statistics."""
        words = []
        if not self.single:
            scales = ", ".join(f"{scale:g}" for scale in self.scales)
            words.append(f"mean of softmax at scale {scales}" + ", each also mirrored" * self.flip)
        if self.statistics == "batch":
            words.append("batch norms by each image's own statistics")
        return "; ".join(words)


@dataclass(frozen=True)
class Predictor:
    """A net that is ready to predict.

    Attributes:
        model: The net, in evaluation mode while predicting.
        preprocessing: What its input wants.
        device: Where it is.
        classes: Its classes in the order of their ids.
        views: In which forms it sees an image.
        precision: In which numbers it computes.
    """

    model: Net
    preprocessing: Preprocessing
    device: torch.device
    classes: tuple[ClassInfo, ...]
    views: Views = field(default_factory=Views)
    precision: Precision = "auto"

    def padded(self, size: Size) -> Size:
        """The size at which the net works on an image of this one: multiples of its stride."""
        width, height = (side + -side % self.model.stride for side in size)
        return width, height

    def form(self, size: Size) -> tuple[Size, ...]:
        """What must be equal for images to share a batch: their padded sizes at all scales."""
        return tuple(self.padded(s) for s in self.views.sizes(size))

    @torch.inference_mode()
    def logits(self, image: Image.Image) -> Tensor:
        """Scores of one RGB image as it is: float32 `(C, H, W)` on the device."""
        return self.batch_logits([image])[0]

    @torch.inference_mode()
    def batch_logits(self, images: Sequence[Image.Image]) -> list[Tensor]:
        """Scores of RGB images whose padded sizes are equal: float32 `(C, H, W)` each.

        Each is padded by the zeros that the net itself would add, so that company changes nothing.

        Raises:
            PhotoError: If an image is too small for statistics of its own.
        """
        width, height = self.padded(images[0].size)
        inputs = []
        for image in images:
            pixels = torch.from_numpy(np.array(image)).to(self.device)  # (H, W, 3)
            nchw = self.preprocessing.normalise(pixels.permute(2, 0, 1)[None])  # channels_last
            inputs.append(F.pad(nchw, (0, width - image.width, 0, height - image.height)))
        batch = torch.cat(inputs).contiguous(memory_format=torch.channels_last)
        own = self.views.statistics == "batch"
        norms = image_statistics(self.model) if own else nullcontext()
        with norms, autocast(self.device, self.precision):
            logits: Tensor = self.model(batch)  # (N, C, height, width)
        cut = zip(logits, images, strict=True)
        return [scores[:, : image.height, : image.width].float() for scores, image in cut]

    @torch.inference_mode()
    def probabilities(self, images: Sequence[Image.Image]) -> list[Tensor]:
        """Mean softmax over the views of images of one form: float32 `(C, H, W)` each, 0..1."""
        sums: list[Tensor | float] = [0.0] * len(images)
        for number in range(len(self.views.scales)):
            seen = [resized(image, self.views.sizes(image.size)[number]) for image in images]
            for mirrored in self.views.mirrored:
                for i, scores in enumerate(self.turned_logits(seen, mirrored=mirrored)):
                    sums[i] = sums[i] + enlarged(scores, images[i].size).softmax(0)
        views = len(self.views.scales) * len(self.views.mirrored)
        return [torch.as_tensor(total) / views for total in sums]

    def turned_logits(self, images: Sequence[Image.Image], *, mirrored: bool) -> list[Tensor]:
        """Scores of images, seen mirrored where that is asked for and turned back."""
        if not mirrored:
            return self.batch_logits(images)
        turned = [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in images]
        return [scores.flip(-1) for scores in self.batch_logits(turned)]

    def predict_batch(self, images: Sequence[Image.Image]) -> list[Tensor]:
        """Class ids of RGB images of one form: int64 `(H, W)` each, on the device."""
        found = self.batch_logits(images) if self.views.single else self.probabilities(images)
        return [scores.argmax(0) for scores in found]

    def predict(self, image: Image.Image) -> Tensor:
        """Class ids of one RGB image: int64 `(H, W)` on the device."""
        return self.predict_batch([image])[0]


def resized(image: Image.Image, size: Size) -> Image.Image:
    """An image at another size, antialiased; itself where it has it."""
    return image if image.size == size else image.resize(size, Image.Resampling.BILINEAR)


def enlarged(scores: Tensor, size: Size) -> Tensor:
    """Scores `(C, h, w)` at an image's size, bilinear: `(C, H, W)`."""
    width, height = size
    if scores.shape[1:] == (height, width):
        return scores
    return F.interpolate(scores[None], (height, width), mode="bilinear", align_corners=False)[0]


def load_predictor(
    checkpoint: Checkpoint, path: Path, device: str, views: Views | None = None
) -> Predictor:
    """The net of a checkpoint, ready to predict.

    Args:
        checkpoint: What was read.
        path: Where from, for messages.
        device: `auto`, `cpu`, `cuda` or `mps`.
        views: In which forms it shall see an image; as it is by default.

    Raises:
        CheckpointError: If its weights do not fit its configuration.
        UsageError: If batch statistics are asked for and no batch norm was trained.
    """
    where = choose_device(device)
    config = checkpoint.train_config
    model = build(config, len(checkpoint.classes))
    load_state(model, checkpoint.judged, path)
    chosen = views or Views()
    if chosen.statistics == "batch":
        model.freeze(config.freeze)
        refuse_without_norms(model, config, path)
    preprocessing = Preprocessing.from_fingerprint(checkpoint.preprocessing)
    ready = model.placed(where).eval()
    infos = checkpoint.class_infos
    return Predictor(ready, preprocessing, where, infos, chosen, config.precision)


def refuse_without_norms(model: Net, config: TrainConfig, path: Path) -> None:
    """Refuse batch statistics for a net to which they mean nothing.

    Raises:
        UsageError: If no batch norm was trained.
    """
    if trained_norms(model):
        return
    frozen = f" and --freeze {config.freeze}" if config.freeze != "none" else ""
    raise UsageError(
        f"--statistics: {path} is a net of --norm {config.norm}{frozen}; it has no batch norm that "
        "was trained, so there are only its running statistics or none; leave out --statistics"
    )
