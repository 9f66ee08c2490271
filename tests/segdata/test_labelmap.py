"""Class files: what each id or colour of somebody's masks becomes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segdata.errors import UsageError
from segdata.labelmap import Entry, LabelMap, read_label_map

CITYSCAPES = Path(__file__).parents[2] / "docs" / "classes" / "cityscapes.toml"
TRAIN_IDS = {
    "road": 7, "sidewalk": 8, "building": 11, "wall": 12, "fence": 13, "pole": 17,
    "traffic light": 19, "traffic sign": 20, "vegetation": 21, "terrain": 22, "sky": 23,
    "person": 24, "rider": 25, "car": 26, "truck": 27, "bus": 28, "train": 31, "motorcycle": 32,
    "bicycle": 33,
}  # fmt: skip


def parsed(folder: Path, text: str, name: str = "classes.toml") -> LabelMap:
    """The label map of a class file of that text."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read_label_map(str(path))


def test_cityscapes() -> None:
    """The example file maps Cityscapes' 34 ids: 19 to classes in the usual order, 15 to ignore."""
    label_map = read_label_map(str(CITYSCAPES))
    assert label_map.names == tuple(TRAIN_IDS)
    expected = dict.fromkeys(range(34), 255)
    expected |= {source: ours for ours, source in enumerate(TRAIN_IDS.values(), 1)}
    assert label_map.ids == expected
    assert list(expected.values()).count(255) == 15
    assert label_map.class_set.table()[1] == {"id": 1, "name": "road", "color": [128, 64, 128]}


def test_voc() -> None:
    """`voc` is VOC's own numbering and its own colours, void included."""
    label_map = read_label_map("voc")
    assert label_map.ids == {i: i for i in range(21)} | {255: 255}
    colors = label_map.colors or {}
    assert [colors[c] for c in ((0, 0, 0), (128, 0, 0), (0, 64, 128), (224, 224, 192))] == [
        0,
        1,
        20,
        255,
    ]


@pytest.mark.parametrize("text", ["leaf\nstem\n", "background\nleaf\n\n# a comment\n  stem  \n"])
def test_plain_text(tmp_path: Path, text: str) -> None:
    """A name a line: ids count from 1, 0 is background and 255 ignore."""
    label_map = parsed(tmp_path, text, "classes.txt")
    assert label_map.names == ("leaf", "stem")
    assert label_map.ids == {0: 0, 1: 1, 2: 2, 255: 255}
    assert label_map.colors is None


def test_csv_says_the_same_as_toml(tmp_path: Path) -> None:
    """Rows of one name are one class; background and ignore are names of their own."""
    csv = (
        "id,name,color\n0,background,#000000\n7,road,#804080\n8,road,#f423e8\n"
        "26,car,#00008e\n255,ignore,\n3,ignore,#ffffff\n"
    )
    toml = """
background = [0, "#000000"]
ignore = [255, 3, "#ffffff"]
[[classes]]
name = "road"
ids = [7, 8]
colors = ["#804080", [244, 35, 232]]
[[classes]]
name = "car"
ids = [26]
color = "#00008E"
"""
    assert parsed(tmp_path, csv, "classes.csv") == parsed(tmp_path, toml)


def test_names_alone_in_toml(tmp_path: Path) -> None:
    """A list of names may stand for the classes, so that only `ignore` has to be said."""
    label_map = parsed(tmp_path, 'ignore = [9]\nclasses = ["leaf", "stem"]')
    assert label_map.ids == {0: 0, 1: 1, 2: 2, 9: 255}


def test_defaults_leave_claimed_values_to_classes(tmp_path: Path) -> None:
    """A class may be 0, 255 or black; the default background and ignore then lack it."""
    rows = '[[classes]]\nname = "a"\nids = [0]\ncolor = "#000000"\n'
    label_map = parsed(tmp_path, rows + '[[classes]]\nname = "b"\nids = [255]\ncolor = "#0000ff"')
    assert label_map.ids == {0: 1, 255: 2}
    assert label_map.colors == {(0, 0, 0): 1, (0, 0, 255): 2}


def test_a_class_that_the_masks_lack(tmp_path: Path) -> None:
    """`ids = []` names a class that no mask shows, so that data sets of other classes can join."""
    label_map = parsed(
        tmp_path, '[[classes]]\nname = "a"\nids = []\n[[classes]]\nname = "b"\nids = [4]'
    )
    assert label_map.ids == {0: 0, 4: 2, 255: 255}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "no class"),
        ("classes = []", "no class"),
        (f"classes = {[f'c{i}' for i in range(255)]}", "too many classes"),
        ('classes = ["a", "A"]', "named more than once"),
        ('classes = ["background"]', "always there"),
        ('classes = ["a\\u0007"]', "no usable name"),
        ('classes = [""]', "no usable name"),
        ("classes = [7]", "no name"),
        ("[classes]\nname='a'", "`classes` is no list"),
        ('clases = ["a"]', "unknown entry"),
        ("[[classes]]\nname='a'\nid=3", "unknown entry"),
        ("[[classes]]\nname='a'\nids=[1]\n[[classes]]\nname='b'\nids=[1]", "id 1 is named twice"),
        ("[[classes]]\nname='a'\nids=[1, 1]", "id 1 is named twice"),
        ("ignore=[1]\n[[classes]]\nname='a'\nids=[1]", "id 1 is named twice"),
        (
            "background=['#FF0000']\n[[classes]]\nname='a'\ncolors=[[255,0,0]]",
            "colour #ff0000 is named twice",
        ),
        ("[[classes]]\nname='a'\nids=[65536]", "out of range"),
        ("[[classes]]\nname='a'\nids=[-1]", "out of range"),
        ("[[classes]]\nname='a'\nids=[true]", "out of range"),
        ("[[classes]]\nname='a'\nids=1", "are lists"),
        ("[[classes]]\nname='a'\ncolor='red'", "colour cannot be read"),
        ("[[classes]]\nname='a'\ncolor='#12345g'", "colour cannot be read"),
        ("[[classes]]\nname='a'\ncolors=[[1,2,256]]", "colour cannot be read"),
        ("[[classes]\nname='a'", "no TOML"),
    ],
)
def test_refusals(tmp_path: Path, text: str, what: str) -> None:
    """A class file that says what cannot be is refused, by name and with the reason."""
    with pytest.raises(UsageError, match=what) as caught:
        parsed(tmp_path, text)
    assert caught.value.where == str(tmp_path / "classes.toml")


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("classes.csv", "id,label\n1,a", "other columns"),
        ("classes.csv", "id,name\nx,a", "no number"),
        ("classes.json", "{}", "unknown kind"),
        ("classes.txt", "a\nb\na\n", "more than once"),
        ("classes.txt", "# nothing\n", "no class"),
    ],
)
def test_refusals_of_other_kinds(tmp_path: Path, name: str, text: str, what: str) -> None:
    """So are files of the other kinds."""
    with pytest.raises(UsageError, match=what):
        parsed(tmp_path, text, name)


def test_a_missing_file() -> None:
    """A class file that is not there is named."""
    with pytest.raises(UsageError, match="cannot be read") as caught:
        read_label_map("nowhere/classes.toml")
    assert "classes.toml" in str(caught.value)


@given(st.dictionaries(st.integers(0, 65535), st.sampled_from([0, 1, 2, 3, 255]), min_size=1))
def test_tables_agree_with_the_map(ids: dict[int, int]) -> None:
    """The lookup table holds each id's class and -1 everywhere else."""
    chosen = {ours: tuple(i for i, o in ids.items() if o == ours) for ours in (0, 1, 2, 3, 255)}
    label_map = LabelMap(
        ("a", "b", "c"),
        tuple(Entry(chosen[i]) for i in (1, 2, 3)),
        Entry(chosen[0]),
        Entry(chosen[255]),
        ((1, 1, 1), (2, 2, 2), (3, 3, 3)),
    )
    table = label_map.id_table
    assert {i: int(table[i]) for i in ids} == ids
    assert int((table >= 0).sum()) == len(ids)
