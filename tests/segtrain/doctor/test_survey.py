"""Tests of segtrain.doctor.survey: which masks are looked at, and what is seen of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segtrain.doctor import survey
from segtrain.doctor.examination import Examination
from segtrain.members import Layout
from segtrain.sampleset import SampleSet
from segtrain.shards import open_shards

Examine = Callable[..., Examination]


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=30),
    part=st.floats(0, 1),
)
def test_few_samples_of_few_shards_are_chosen(sizes: list[int], part: float) -> None:
    """As many as there are, up to the limits; only those asked for; the same each time."""
    total = sum(sizes)
    starts = np.cumsum([0, *sizes], dtype=np.int64)
    spans, none = np.zeros((total, 4), np.int64), np.zeros((total, 2), np.int64)
    keys = np.array([b"k"] * total, np.bytes_)
    samples = SampleSet((), (), (), starts, keys, spans, none, 0, None, False, False)
    numbers = np.arange(total)[int(part * total) :]
    found = survey.chosen(samples, numbers)
    assert found == survey.chosen(samples, numbers)
    assert set(found) <= set(numbers.tolist())
    assert list(found) == sorted(set(found))
    shards = {int(np.searchsorted(starts, n, "right")) for n in found}
    assert len(shards) <= survey.SHARDS
    touched = {int(np.searchsorted(starts, n, "right")) for n in numbers}
    if len(touched) <= survey.SHARDS:
        assert len(found) == min(survey.MASKS, len(numbers))


def test_parts_are_data_sets_and_their_splits(examine: Examine, shards: Path) -> None:
    """Each data set of the joined training set apart, and each validation set."""
    found = survey.survey(examine(shards=shards))
    assert {s.part.name: len(s.looks) for s in found} == {
        "coco2017 train": 14,
        "voc2012 train": 23,
        "voc2012 val": 8,
        "coco2017 val": 5,
    }
    for surveyed in found:
        keys = [surveyed.part.samples.key(look.number) for look in surveyed.looks]
        assert all(key.startswith(surveyed.part.name.split()[0]) for key in keys)


@pytest.mark.parametrize("foreign", [False, True])
def test_a_look_counts_what_the_mask_holds(
    make_shards: Callable[..., Path],
    make_pair: Callable[..., tuple],
    tmp_path: Path,
    *,
    foreign: bool,
) -> None:
    """Pixels by class, void last; values that no class has, by what the layout says they mean."""
    key, image, mask = make_pair("voc2012_0", 1)
    mask = mask.copy()
    mask[0, :6] = [1, 2, 2, 255, 9, 200]
    samples = open_shards(str(make_shards(tmp_path, train=[(key, image, mask)], val=0))).train_set()
    if foreign:  # 9 is class 1 there, and 1 is unknown
        ids = [-1] * 256
        ids[0], ids[2], ids[3], ids[9], ids[255] = 0, 2, 3, 1, 255
        record = replace(samples.shards[0].record, layout=Layout(ids=tuple(ids)))
        samples = replace(samples, shards=(replace(samples.shards[0], record=record),))
    look = survey.look(samples, 0)
    unknown = {1, 200} if foreign else {9, 200}
    assert set(look.unknown) == unknown & set(np.unique(mask).tolist())
    assert not look.sound
    ones = (mask == (9 if foreign else 1)).sum()
    strange = np.isin(mask, list(unknown)).sum()
    assert look.pixels.tolist() == [
        (mask == 0).sum(), ones, (mask == 2).sum(), (mask == 3).sum(),
        (mask == 255).sum() + strange,
    ]  # fmt: skip
