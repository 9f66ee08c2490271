"""Provenance: where a data set comes from, on what terms, and how its masks were made, in words.

Everything here follows from a manifest, so that the report, the card and the terminal tell the
same. Terms and citations are those that the publishers print; whoever uses the data reads them
there.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from segdata.classes import COCO_CATEGORIES, VOC_NAMES
from segdata.images import RESAMPLING
from segdata.labels import MIN_AREA
from segdata.plan import BuildOptions

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class Origin:
    """Who published data, on what terms, and how to cite it.

    Attributes:
        name: of the publication.
        tag: a word for search engines.
        terms: who may use it, in sentences.
        bibtex: entry of its paper; empty where there is none.
    """

    name: str
    tag: str
    terms: str
    bibtex: str = ""


VOC = Origin(
    "PASCAL VOC",
    "pascal-voc",
    "The images come from Flickr, and their use has to respect Flickr's terms of use "
    "(http://host.robots.ox.ac.uk/pascal/VOC/voc2012/). The publishers name no licence.",
    """\
@article{everingham2010voc,
  author  = {Everingham, Mark and Van Gool, Luc and Williams, Christopher K. I. and Winn, John
             and Zisserman, Andrew},
  title   = {The {PASCAL} Visual Object Classes ({VOC}) Challenge},
  journal = {International Journal of Computer Vision},
  volume  = {88}, number = {2}, pages = {303--338}, year = {2010},
  doi     = {10.1007/s11263-009-0275-4}
}""",
)
SBD = Origin(
    "SBD (Semantic Boundaries Dataset)",
    "sbd",
    "Masks of images of PASCAL VOC 2011, whose terms hold for them too. The publishers of the "
    "masks name no licence and ask to be cited.",
    """\
@inproceedings{hariharan2011sbd,
  author    = {Hariharan, Bharath and Arbel{\\'a}ez, Pablo and Bourdev, Lubomir and Maji, Subhransu
               and Malik, Jitendra},
  title     = {Semantic Contours from Inverse Detectors},
  booktitle = {International Conference on Computer Vision ({ICCV})},
  pages     = {991--998}, year = {2011},
  doi       = {10.1109/ICCV.2011.6126343}
}""",
)
COCO = Origin(
    "MS-COCO",
    "ms-coco",
    "The annotations are under CC BY 4.0. The images come from Flickr under licences of their own, "
    "their use has to respect Flickr's terms of use, and COCO claims no right to them "
    "(https://cocodataset.org/#termsofuse).",
    """\
@inproceedings{lin2014coco,
  author    = {Lin, Tsung-Yi and Maire, Michael and Belongie, Serge and Hays, James and Perona,
               Pietro and Ramanan, Deva and Doll{\\'a}r, Piotr and Zitnick, C. Lawrence},
  title     = {Microsoft {COCO}: Common Objects in Context},
  booktitle = {European Conference on Computer Vision ({ECCV})},
  pages     = {740--755}, year = {2014},
  doi       = {10.1007/978-3-319-10602-1_48}
}""",
)
GENERATED = Origin(
    "generated data",
    "synthetic",
    "Drawn by `segdata toy` in the layout of a public data set; it shows no photograph of anybody "
    "and is none of that data set's images.",
)
OWN = Origin(
    "images and masks of your own",
    "custom",
    "Made from a folder of images and masks; segdata does not know their terms. Whoever publishes "
    "these shards has to state them here.",
)

PUBLISHED = ("voc2007", "voc2012", "coco2014", "coco2017")
POLICIES = {
    "voc": "The masks are the data set's own, id by id; the border that VOC draws around objects "
    "stays void.",
    "folder": "Each value of the masks became the class that the class file gives it.",
    "segdata": "Crowds are void. Where two objects claim a pixel, the smaller one has it.",
    "torchvision": "A pixel under two or more objects is void. A crowd counts as an object of its "
    "class. (As torchvision's segmentation reference does it.)",
    "gluoncv": "Where two objects claim a pixel, the first in the annotation file has it. A crowd "
    "counts as an object of its class. (As GluonCV does it.)",
}

PROTOCOLS = {
    "trainaug": "Train is VOC's own and what SBD adds to it, with VOC's mask where both have one; "
    "val is VOC's.",
    "fcn2016": "Train is SBD's own; val is seg11valid, images of VOC's val that SBD's train does "
    "not hold.",
}


def origins(manifest: Manifest) -> Iterator[Origin]:
    """Whose data the data set is, the most important first."""
    kind = _kind(manifest)
    if manifest["synthetic"]:
        yield GENERATED
    elif kind == "voc":
        yield VOC
        if _has_sbd(manifest):
            yield SBD
    elif kind == "coco":
        yield COCO
    else:
        yield OWN


def _kind(manifest: Manifest) -> str:
    """`voc` or `coco` for a published data set, else "": anybody may call theirs `coco3`."""
    name: str = manifest["dataset"]
    return name.rstrip("0123456789") if name in PUBLISHED else ""


def _has_sbd(manifest: Manifest) -> bool:
    return manifest["options"].get("protocol") in PROTOCOLS


def license_of(manifests: Sequence[Manifest]) -> str:
    """The card's `license`: `other` where publishers state terms, `unknown` where nobody did."""
    found = {origin for manifest in manifests for origin in origins(manifest)}
    return "other" if found & {VOC, SBD, COCO} else "unknown"


def policy_text(manifest: Manifest) -> str:
    """What label policy and protocol do to a pixel and to the choice of images, in sentences."""
    labels = manifest["labels"]
    policy = labels["policy"]
    parts = [POLICIES.get(policy, f"The policy is called {policy!r}.")]
    if labels.get("min_area"):
        where = "Images" if policy == "gluoncv" else "Train images"
        parts.append(f"{where} are kept if their objects exceed {labels['min_area']:,} px in sum.")
    if labels.get("void_border"):
        parts.append(f"Pixels within {labels['void_border']} px of an outline are void.")
    parts += [PROTOCOLS[p] for p in [manifest["options"].get("protocol")] if p in PROTOCOLS]
    return " ".join(parts)


def option_texts(options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, value) of every option that has a value, sorted; those of a group like the others."""
    texts: list[tuple[str, str]] = []
    for name, value in options.items():
        if isinstance(value, Mapping):
            texts += option_texts(value)
        elif value not in ("", None) and (name, value) != ("year", 0):
            texts.append((name, str(value)))
    return sorted(texts)


def size_text(options: Mapping[str, Any], split: str) -> str:
    """How large the images of a split are, in words."""
    size = options["size"] if split == "train" else options["val_size"]
    return f"longest side at most {size} px" if size else "native size"


def build_command(manifest: Manifest) -> str | None:
    """The command that makes the data set again from the same archives; None if none is known.

    Options at their defaults are left out; `--data` and `--out` are those of whoever runs it.
    """
    kind = _kind(manifest)
    if not kind:
        return None
    words = ["segdata", f"build-{kind}"]
    for flag, value in _flags(manifest, kind):
        words += [flag] if value is True else [flag, str(value)]
    return shlex.join(words)


def _flags(manifest: Manifest, kind: str) -> Iterator[tuple[str, object]]:
    defaults = {field.name: field.default for field in fields(BuildOptions)} | {
        "year": {"voc": 2012, "coco": 2017}[kind],
        "min_area": MIN_AREA,
        "void_border": 0,
        "protocol": ("trainaug" if _has_sbd(manifest) else "voc") if kind == "voc" else "",
    }
    if manifest["synthetic"]:
        yield "--data", "toy/"
    if _has_sbd(manifest):
        yield "--sbd", "toy/benchmark.tgz" if manifest["synthetic"] else "data/benchmark.tgz"
    names = tuple(row["name"] for row in manifest["classes"][1:])
    presets = {VOC_NAMES: "voc", tuple(COCO_CATEGORIES.values()): "coco"}
    if presets.get(names) != "voc":
        yield "--classes", presets.get(names, ",".join(names))
    if len(manifest["splits"]) == 1:
        yield "--split", next(iter(manifest["splits"]))
    labels = {} if kind == "voc" else dict(manifest["labels"])
    if labels.get("policy", "segdata") != "segdata":
        yield "--labels", labels["policy"]
    recorded = {k: v for k, v in labels.items() if k not in ("policy", "version")}
    recorded |= {k: v for k, v in manifest["options"].items() if k != "resampling"}
    if manifest["options"].get("resampling") == RESAMPLING["opencv"]:
        recorded["resize"] = "opencv"
    for name, value in (recorded | {"seed": manifest["seed"]}).items():
        if value != defaults.get(name, value if not value else None):
            yield f"--{name.replace('_', '-')}", value
    left_out = [reason for split in manifest["splits"].values() for reason in split["left_out"]]
    if any(reason.startswith("broken: ") for reason in left_out):
        yield "--on-error", "skip"


def warnings(manifests: Mapping[str, Manifest]) -> Iterator[str]:
    """What whoever trains on the data should know first, in sentences, the gravest first."""
    for name, manifest in manifests.items():
        if manifest["synthetic"]:
            yield f"{name} is generated data: a score on it says nothing of the real data set."
        yield from _split_warnings(name, manifest)
        for split in ("train", "val"):
            if split not in manifest["splits"]:
                yield f"{name} has no {split} split."
        size = manifest["options"]["val_size"]
        if size and "val" in manifest["splits"]:
            yield (
                f"{name} val was resized to {size} px: scores on it are scores on resized targets, "
                "not comparable with published ones."
            )


def _split_warnings(name: str, manifest: Manifest) -> Iterator[str]:
    for split, facts in manifest["splits"].items():
        limit = manifest["options"]["limit"]
        if limit and facts["available"] > limit:
            yield (
                f"{name} {split} was limited to {limit:,} of the {facts['available']:,} images in "
                "its source."
            )
        if facts["available"] < facts["official"] and not manifest["synthetic"]:
            yield (
                f"{name} {split} is incomplete: its source held {facts['available']:,} of the "
                f"{facts['official']:,} images of the published split."
            )
        absent = [
            row["name"]
            for row, images in zip(manifest["classes"][1:], facts["images"], strict=True)
            if not images
        ]
        if absent:
            yield f"{name} {split} has no pixel of {_listed(absent)}."
        broken = sum(
            entry["count"]
            for reason, entry in facts["left_out"].items()
            if reason.startswith("broken: ")
        )
        if broken:
            images = "1 image that was" if broken == 1 else f"{broken:,} images that were"
            yield f"{name} {split} lacks {images} broken in the source."


def _listed(names: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more classes" if len(names) > most else shown
