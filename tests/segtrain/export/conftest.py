"""Fixtures: the files of one export, and photos."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtrain.export.command import Written, export_run
from segtrain.export.trials import painted


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a photo that lies on its side by EXIF, and a grey one."""
    folder = tmp_path_factory.mktemp("photos")
    image = painted(7).crop((0, 0, 90, 61))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    image.save(folder / "photo.jpg", exif=exif, quality=95)
    Image.fromarray(np.asarray(painted(8).convert("L"))[:40, :50]).save(folder / "grey.png")
    return folder


@pytest.fixture(scope="session")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Written]:
    """The trained net in all three kinds; tests only read it."""
    out = tmp_path_factory.mktemp("exported")
    return export_run(trained, ["onnx", "torch", "safetensors"], out)
