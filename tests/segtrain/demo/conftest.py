"""Fixtures: the net behind the page, and photos good and hostile."""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from segtrain.checkpoint import Checkpoint, load_checkpoint
from segtrain.demo.answers import Answerer
from segtrain.predictor import load_predictor

MakePhoto = Callable[..., bytes]


def photo_file(kind: str = "PNG", size: tuple[int, int] = (90, 60), mode: str = "RGB") -> bytes:
    """The bytes of a photo whose parts can be told apart."""
    x, y = np.meshgrid(np.linspace(0, 255, size[0]), np.linspace(0, 255, size[1]))
    pixels = np.dstack([x, y, 255 - x]).astype(np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(data, kind)
    return data.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A part of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_bomb(side: int = 12_000) -> bytes:
    """A small PNG that says, and holds, `side` x `side` black pixels."""
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = bytes(side + 1)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    parts = png_chunk(b"IHDR", head), png_chunk(b"IDAT", packed), png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.fixture(scope="session")
def make_photo() -> MakePhoto:
    """The maker `photo_file`."""
    return photo_file


@pytest.fixture(scope="session")
def bomb() -> bytes:
    """144 million pixels in some 140 kB."""
    return png_bomb()


@pytest.fixture(scope="session")
def svg() -> bytes:
    """A drawing with a script in it."""
    return (
        b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">'
        b"<script>document.title = 'hostile'</script></svg>"
    )


@pytest.fixture(scope="session")
def checkpoint(trained: Path) -> Checkpoint:
    """That of the trained run."""
    return load_checkpoint(trained / "last.pt")


class ColorNet(nn.Module):
    """A net that needs no training: red, green and blue are classes 1 to 3, what is dark is 0."""

    stride = 32

    def forward(self, pixels: Tensor) -> Tensor:
        """Scores float32 `(N, 4, H, W)` of normalised pixels `(N, 3, H, W)`."""
        dark = torch.full_like(pixels[:, :1], -0.5)
        return torch.cat([dark, pixels], 1)


@pytest.fixture(scope="session")
def answerer(trained: Path, checkpoint: Checkpoint) -> Answerer:
    """A predictor on the CPU whose net sees colours."""
    predictor = load_predictor(checkpoint, trained / "last.pt", "cpu")
    return Answerer(replace(predictor, model=ColorNet()))
