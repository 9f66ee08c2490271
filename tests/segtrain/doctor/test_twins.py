"""Tests of segtrain.doctor.twins: which images training and validation share."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segtrain.doctor import twins
from segtrain.doctor.rules.shared_images import RULE
from segtrain.members import Layout
from segtrain.sampleset import SampleSet
from segtrain.shards import open_shards

FOREIGN = Layout(ids=tuple(range(256)))


@pytest.mark.parametrize(
    ("key", "foreign", "photo"),
    [
        ("coco2014_000000000139", False, "coco 000000000139"),
        ("coco2017_000000000139", False, "coco 000000000139"),
        ("voc2012_2007_000032", False, "voc 2007_000032"),
        ("cityscapes_aachen_000000_000019", False, ""),
        ("coco2017_a", False, ""),
        ("train/000000000139", True, "coco 000000000139"),
        ("COCO_val2014_000000000139", True, "coco 000000000139"),
        ("x/2011_003003", True, "voc 2011_003003"),
        ("2013_003003", True, ""),
        ("0139", True, ""),
    ],
)
def test_years_of_one_photo_have_one_name(key: str, photo: str, *, foreign: bool) -> None:
    """Also where others wrote the key; what is no id of VOC or COCO has no name."""
    assert twins.source(key, foreign=foreign) == photo


def samples(sizes: list[int]) -> SampleSet:
    """A set of which only the sizes of the images are known."""
    spans = np.array([[0, size, 0, 1] for size in sizes], np.int64).reshape(-1, 4)
    none = np.zeros((len(sizes), 2), np.int64)
    keys = np.array([b"k"] * len(sizes), np.bytes_)
    starts = np.array([0], np.int64)
    return SampleSet((), (), (), starts, keys, spans, none, 0, None, False, False)


@settings(max_examples=60, deadline=None)
@given(
    ours=st.lists(st.integers(1, 6), min_size=1, max_size=12),
    theirs=st.lists(st.integers(1, 6), min_size=1, max_size=8),
    known=st.sets(st.integers(0, 7)),
)
def test_files_of_equal_size_are_paired(
    ours: list[int], theirs: list[int], known: set[int]
) -> None:
    """Every pair of equal size once, but for images that are known already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(twins, "here", lambda s: np.arange(len(s)))
        pairs, whole = twins.equal_sizes(samples(ours), samples(theirs), known & set(range(8)))
    expected = {(a, b) for a, n in enumerate(ours) for b, m in enumerate(theirs)
                if n == m and b not in known}  # fmt: skip
    assert sorted(pairs) == sorted(expected)
    assert whole or len(known) != len([b for b in known if b < len(theirs)])


def as_foreign(found: SampleSet) -> SampleSet:
    """The same samples as if others had made their shards."""
    layout = replace(FOREIGN, image=("jpg",))
    shards = [replace(s, record=replace(s.record, layout=layout)) for s in found.shards]
    return replace(found, shards=tuple(shards))


def test_equal_ids_are_believed_where_pictures_agree(
    make_shards: Callable[..., Path], make_pair: Callable[..., tuple], tmp_path: Path
) -> None:
    """Of shards that others made; of our own the id is enough. A resized copy agrees."""
    one, other = make_pair("k", 1)[1:], make_pair("k", 2)[1:]
    half = one[0].resize((one[0].width // 2, one[0].height // 2))
    small = (half, np.zeros((half.height, half.width), np.uint8))
    keys = ["coco2017_000000000001", "coco2017_000000000002"]
    make_shards(tmp_path, "coco2017", train=[(k, *one) for k in keys], val=0)
    keys = ["coco2014_000000000001", "coco2014_000000000002"]
    make_shards(
        tmp_path, "coco2014", train=0, val=[(keys[0], *small), (keys[1], *other)], per_shard=1
    )
    shards = open_shards(str(tmp_path))
    train, val = shards.train_set(), shards.sets("val")[0]
    pairs = [(0, 0), (1, 1)]
    assert list(twins.confirmed(train, val, pairs)) == pairs
    assert list(twins.confirmed(train, as_foreign(val), pairs)) == [(0, 0)]
    assert list(twins.confirmed(as_foreign(train), val, pairs)) == [(0, 0)]


def test_years_of_coco_share_images(
    make_shards: Callable[..., Path],
    make_pair: Callable[..., tuple],
    examine: Callable[..., object],
    tmp_path: Path,
) -> None:
    """COCO 2017 for training and 2014's val are told to overlap, with both keys."""
    pair = make_pair("k", 1)[1:]
    make_shards(tmp_path, "coco2017", train=[(f"coco2017_{n:012}", *pair) for n in range(9)], val=0)
    val = [("coco2014_000000000004", *pair), ("coco2014_000000000444", *make_pair("k", 2)[1:])]
    make_shards(tmp_path, "coco2014", train=0, val=val)
    found = RULE.examine(examine(shards=tmp_path))
    assert isinstance(found, list)
    assert found[0].verdict.startswith("1 image of coco2014 val is trained on")
    assert "coco2017_000000000004 = coco2014_000000000004" in found[0].evidence
    assert "equal image files" not in found[0].evidence
