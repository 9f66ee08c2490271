"""Scripts of ten lines that predict by an exported file; printed, tested, and in the docs."""

import json
from pathlib import Path

ONNX = """\
import json
import numpy
import onnxruntime
from PIL import Image, ImageOps

net = onnxruntime.InferenceSession({file})
image = numpy.asarray(ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB"))
mask = Image.fromarray(net.run(["ids"], {{"image": image[None]}})[0][0])  # class ids
classes = json.loads(net.get_modelmeta().custom_metadata_map["classes"])
mask.putpalette([value for known in classes for value in known["color"]])
mask.save("mask.png")
"""
TORCH = """\
import json
import numpy
import torch
from PIL import Image, ImageOps

notes = {{"metadata.json": ""}}
net = torch.export.load({file}, extra_files=notes).module()
image = numpy.array(ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB"))
ids, logits = net(torch.from_numpy(image[None]))  # (1, H, W) and (1, classes, H, W)
mask = Image.fromarray(ids[0].numpy())
classes = json.loads(notes["metadata.json"])["classes"]
mask.putpalette([value for known in classes for value in known["color"]])
mask.save("mask.png")
"""
WEIGHTS = """\
from pathlib import Path
from PIL import Image
from segtrain.checkpoint import load_checkpoint
from segtrain.photos import load_photo
from segtrain.predictor import load_predictor

file = Path({file})
net = load_predictor(load_checkpoint(file), file, "cpu")
mask = Image.fromarray(net.predict(load_photo(Path("photo.jpg"))).byte().numpy())
mask.putpalette([value for known in net.classes for value in known.color])
mask.save("mask.png")
"""
SCRIPTS = {"onnx": ONNX, "torch": TORCH, "safetensors": WEIGHTS}


def script(kind: str, path: Path) -> str:
    """The script for a file.

    Args:
        kind: A name of `KINDS`.
        path: The file.
    """
    # a string of JSON is one of Python, whatever signs the path has
    return SCRIPTS[kind].format(file=json.dumps(path.as_posix(), ensure_ascii=False))
