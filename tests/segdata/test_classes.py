"""Class sets: official ids, names and colours, and lists of names."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segdata.classes import (
    COCO_CATEGORIES,
    COCO_NAME_OF_VOC,
    VOC_NAMES,
    ClassSet,
    voc_color,
)
from segdata.errors import UsageError

OFFICIAL_MAP = """1 aeroplane=5 airplane; 2 bicycle=2 bicycle; 3 bird=16 bird; 4 boat=9 boat;
5 bottle=44 bottle; 6 bus=6 bus; 7 car=3 car; 8 cat=17 cat; 9 chair=62 chair; 10 cow=21 cow;
11 diningtable=67 dining table; 12 dog=18 dog; 13 horse=19 horse; 14 motorbike=4 motorcycle;
15 person=1 person; 16 pottedplant=64 potted plant; 17 sheep=20 sheep; 18 sofa=63 couch;
19 train=7 train; 20 tvmonitor=72 tv"""
ROWS = [row.strip().split("=") for row in OFFICIAL_MAP.replace("\n", " ").split(";")]
MAP = [
    (int(voc[0]), voc[1], int(coco[0]), coco[1])
    for voc, coco in ([side.split(" ", 1) for side in row] for row in ROWS)
]
"""VOC id, VOC name, COCO id, COCO name."""


@pytest.mark.parametrize(
    ("index", "color"),
    [
        (0, (0, 0, 0)),
        (1, (128, 0, 0)),
        (2, (0, 128, 0)),
        (3, (128, 128, 0)),
        (4, (0, 0, 128)),
        (15, (192, 128, 128)),
        (20, (0, 64, 128)),
        (255, (224, 224, 192)),
    ],
)
def test_official_colors(index: int, color: tuple[int, int, int]) -> None:
    """The colours that VOC publishes are the ones drawn."""
    assert voc_color(index) == color


def test_colors_differ() -> None:
    """No two of the 256 mask values share a colour."""
    assert len({voc_color(i) for i in range(256)}) == 256


def test_voc_classes_are_coco_categories() -> None:
    """Each of the 20 classes maps to the COCO category of the published list, and no other does."""
    voc = ClassSet.parse("voc")
    assert dict(voc.of_coco) == {coco_id: voc_id for voc_id, _, coco_id, _ in MAP}
    for voc_id, voc_name, coco_id, coco_name in MAP:
        assert VOC_NAMES[voc_id - 1] == voc_name
        assert COCO_CATEGORIES[coco_id] == coco_name == COCO_NAME_OF_VOC[voc_name]


def test_coco_has_80_categories_up_to_90() -> None:
    """COCO's own set has 80 names, ids 1..90 with ten holes, numbered here 1..80 in their order."""
    holes = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
    assert set(COCO_CATEGORIES) == set(range(1, 91)) - holes
    assert len(set(COCO_CATEGORIES.values())) == 80
    table = ClassSet.parse("coco").of_coco
    assert [table[i] for i in sorted(COCO_CATEGORIES)] == list(range(1, 81))


def test_voc_ids_pass_unchanged() -> None:
    """With VOC's classes the lookup table is the identity on 0..20 and 255, and 0 elsewhere."""
    expected = np.zeros(256, np.uint8)
    expected[[*range(21), 255]] = [*range(21), 255]
    np.testing.assert_array_equal(ClassSet.parse("voc").of_voc, expected)


@given(st.lists(st.sampled_from(MAP), min_size=1, unique=True), st.data())
def test_either_vocabulary_gives_one_set(
    rows: list[tuple[int, str, int, str]], data: st.DataObject
) -> None:
    """A list means the same in either data set's names, and keeps its order."""
    words = [
        data.draw(st.sampled_from([voc, coco, f"  {coco.upper()} "])) for _, voc, _, coco in rows
    ]
    chosen = ClassSet.parse(",".join(words))
    assert chosen.names == tuple(voc for _, voc, _, _ in rows)
    assert dict(chosen.of_coco) == {coco_id: i for i, (_, _, coco_id, _) in enumerate(rows, 1)}
    wanted = {voc_id: i for i, (voc_id, *_) in enumerate(rows, 1)} | {255: 255}
    assert {int(k): int(chosen.of_voc[k]) for k in np.flatnonzero(chosen.of_voc)} == wanted


def test_table_numbers_classes_from_background() -> None:
    """The manifest's table has background at 0 and consecutive ids with VOC's colours."""
    table = ClassSet.parse("dog,truck").table()
    assert [(row["id"], row["name"]) for row in table] == [
        (0, "background"),
        (1, "dog"),
        (2, "truck"),
    ]
    assert [row["color"] for row in table] == [[0, 0, 0], [128, 0, 0], [0, 128, 0]]


def test_classes_without_voc_labels_are_named() -> None:
    """Chosen classes that VOC does not label are listed, its own under COCO's names are not."""
    assert ClassSet.parse("truck,couch,zebra").unknown_to_voc == ("truck", "zebra")
    assert len(ClassSet.parse("coco").unknown_to_voc) == 60


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cat,dgo", "unknown class: 'dgo'"),
        ("background,cat", "always there as id 0"),
        ("sofa,couch", "sofa more than once"),
        ("cat,,dog", "empty name"),
        ("", "empty name"),
        ("voc,coco", "unknown class: 'voc'"),
    ],
)
def test_bad_lists_are_usage_errors(text: str, message: str) -> None:
    """A list that cannot be meant is refused, naming the word that is wrong."""
    with pytest.raises(UsageError, match=message):
        ClassSet.parse(text)
