"""What else a shards directory holds, and whether a data set may join it.

The years of a data set share photos: VOC 2012 holds every image of VOC 2007, some of 2007's train
in its val; COCO 2014 and 2017 are the same photos divided otherwise. An image that is in train
under one name must not be in val under another.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from segdata import shards, stored
from segdata.classes import ClassSet
from segdata.errors import OutputError
from segdata.samples import Sample, Source, Split

FAMILY = {"voc2007": "voc2012", "coco2014": "coco2017"}  # years of one name share one writer's lock
STORED = "stored as voc2012"  # why an image of VOC 2007 is left out


def family(dataset: str) -> str:
    """The name under which the years of a data set are locked together."""
    return FAMILY.get(dataset, dataset)


def refuse_other_classes(out: Path, classes: ClassSet) -> None:
    """Refuse a directory whose data sets have other classes.

    Raises:
        OutputError: the message names both class lists.
    """
    for path in sorted(out.glob("*.json")):
        manifest = shards.read_manifest(path)
        if manifest is None:
            continue
        names = tuple(row["name"] for row in manifest["classes"][1:])
        if names != classes.names:
            raise OutputError(
                "the directory holds shards of other classes",
                where=f"{out}, {path.stem}",
                expected=", ".join(classes.names),
                found=", ".join(names),
                advice="build with the same --classes, or choose another --out",
            )


def refuse_other_year(out: Path, source: Source) -> None:
    """Refuse a directory whose shards hold the same photos in other splits.

    VOC 2007 may follow a finished VOC 2012, whose images it does not store again.

    Raises:
        OutputError: the message says what is there and what to do.
    """
    years = sorted({*FAMILY, *FAMILY.values()} - {source.dataset})
    for other in years:
        if family(other) != family(source.dataset) or not _holds(out, other):
            continue
        if source.dataset.startswith("coco"):
            raise OutputError(
                "COCO 2014 and 2017 are the same photos, divided into train and val otherwise, so "
                "one directory takes one of them",
                where=out,
                found=other,
                advice=f"choose another --out, or delete the {other}* files there",
            )
        if source.dataset == "voc2012" and not _is_finished(out, source):
            raise OutputError(
                "VOC 2012 holds every image of VOC 2007, some of its train images in val",
                where=out,
                found=other,
                advice=f"choose another --out, or delete the {other}* files there; VOC 2012 first, "
                "then 2007, share a directory",
            )
        if source.dataset == "voc2007" and not (out / f"{other}.json").exists():
            raise OutputError(
                "an unfinished build of VOC 2012 is here, so nobody knows which images of VOC 2007 "
                "it will hold",
                where=out,
                found=f"{other}* files without {other}.json",
                advice="finish that build first, or choose another --out",
            )


def _holds(out: Path, dataset: str) -> bool:
    """Whether anything of the data set is there, finished or not."""
    shard_files = out.glob(f"{dataset}-*.stats.json")
    return (out / f"{dataset}.json").exists() or next(shard_files, None) is not None


def _is_finished(out: Path, source: Source) -> bool:
    """Whether an earlier build has made all splits of the source, so that none is added."""
    path = out / f"{source.dataset}.json"
    manifest = shards.read_manifest(path) if path.exists() else None
    return manifest is not None and source.splits.keys() <= manifest["splits"].keys()


def without_stored(out: Path, source: Source) -> Source:
    """The source less the images that VOC 2012 has stored here; splits left empty are dropped.

    Raises:
        ShardsError: VOC 2012's shards cannot be read.
    """
    if source.dataset != "voc2007":
        return source
    keys = frozenset(_stored_keys(out, "voc2012"))
    if not keys:
        return source
    left = {name: _without(split, keys) for name, split in source.splits.items()}
    return replace(source, splits={name: split for name, split in left.items() if split.samples})


def _without(split: Split, keys: frozenset[str]) -> Split:
    kept: list[Sample] = [sample for sample in split.samples if sample.key not in keys]
    again = [(s.source_id, STORED) for s in split.samples if s.key in keys]
    return replace(split, samples=kept, left_out=[*split.left_out, *again])


def refuse_shared_keys(
    out: Path, dataset: str, splits: Collection[str], keys: Collection[str]
) -> None:
    """Refuse to build samples that another split of the data set, built before, holds already.

    Args:
        out: the shards directory.
        dataset: what is being built.
        splits: those of it that are.
        keys: of their samples.

    Raises:
        OutputError: the message names one of them.
    """
    shared = sorted(set(_stored_keys(out, dataset, without=splits)).intersection(keys))
    if shared:
        raise OutputError(
            f"samples of {' and '.join(splits)} are in another split of {dataset} already",
            where=out,
            found=f"{shared[0]} ({len(shared):,} such samples)",
            advice="an image belongs to one split: give other images other names, or choose "
            "another --out",
        )


def _stored_keys(out: Path, dataset: str, without: Collection[str] = ()) -> Iterator[str]:
    """The keys of a finished data set, from the indices of its shards, some splits left out."""
    path = out / f"{dataset}.json"
    manifest = shards.read_manifest(path) if path.exists() else None
    for name, split in manifest["splits"].items() if manifest else ():
        for shard in split["shards"] if name not in without else ():
            for row in stored.index(out / shard["name"]):
                yield row.key
