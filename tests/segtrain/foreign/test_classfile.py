"""Tests of segtrain.foreign.classfile; segdata's reader of the same files is the oracle."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segdata.errors import SegdataError
from segdata.labelmap import read_label_map
from segtrain.errors import UsageError
from segtrain.foreign.classfile import ClassList, read_classes, voc_color

ROOT = Path(__file__).parents[3]
GOOD = {
    "names.txt": "background\n# a comment\nleaf\n\n stem  of\n",
    "plain": "one\ntwo\n",
    "ids.toml": 'background = [0, "#010203"]\nignore = [255, 7]\n'
    '[[classes]]\nname = "road"\nids = [7000, 8]\ncolors = ["#804080", [244, 35, 232]]\n'
    'color = "#111213"\n[[classes]]\nname = "car"\nids = [26]\ncolors = ["#00008e"]\n'
    '[[classes]]\nname = "none"\nids = []\n',
    "none.toml": 'background = []\n[[classes]]\nname = "a"\nids = [0, 255]\n',
    "short.toml": 'classes = ["leaf", "stem"]\n',
    "rows.csv": "id,name,color\n0,background,#000000\n7,road,#804080\n8,road,#f423e8\n\n"
    "26,car,#00008e\n255,ignore,\n9,ignore,\n",
    "few.csv": "name, id\nroad, 3\ncar, 1\n",
}
BAD = {
    "no.txt": "",
    "no.toml": "classes = []\n",
    "not.toml": "classes = [",
    "table.toml": "[classes]\nname = 1\n",
    "unknown.toml": 'other = 1\nclasses = ["a"]\n',
    "field.toml": '[[classes]]\nname = "a"\nid = 3\n',
    "nameless.toml": "[[classes]]\nids = [1]\n",
    "number.toml": "classes = [1]\n",
    "twice.toml": 'classes = ["a", "A"]\n',
    "ids.toml": '[[classes]]\nname = "a"\nids = [1]\n[[classes]]\nname = "b"\nids = [1]\n',
    "ignored.toml": 'ignore = [1]\n[[classes]]\nname = "a"\nids = [1]\n',
    "range.toml": '[[classes]]\nname = "a"\nids = [65536]\n',
    "list.toml": '[[classes]]\nname = "a"\nids = 7\n',
    "background.toml": 'background = 0\nclasses = ["a"]\n',
    "color.toml": '[[classes]]\nname = "a"\nids = [1]\ncolor = "red"\n',
    "reserved.txt": "leaf\nignore\n",
    "control.toml": 'classes = ["a\\u0007b"]\n',
    "many.txt": "\n".join(f"c{i}" for i in range(255)),
    "columns.csv": "number,name\n1,a\n",
    "id.csv": "id,name\nx,a\n",
    "kind.yaml": "a\n",
}


def table(found: ClassList) -> np.ndarray:
    """Our id of each source id, -1 where it is unknown."""
    ids = np.full(1 << 16, -1)
    for ours, values in found.ids.items():
        ids[list(values)] = ours
    return ids


@pytest.mark.parametrize("name", GOOD)
def test_class_files_say_what_segdata_reads_in_them(name: str, tmp_path: Path) -> None:
    """Names, colours and ids are those that `segdata build-folder` finds in the same file."""
    path = tmp_path / name
    path.write_text(GOOD[name])
    ours, theirs = read_classes(str(path)), read_label_map(str(path))
    assert tuple(c.name for c in ours.classes) == ("background", *theirs.names)
    assert [c.color for c in ours.classes[1:]] == list(theirs.shown)
    np.testing.assert_array_equal(table(ours), theirs.id_table)


def test_the_files_of_the_documentation_are_read() -> None:
    """`voc` and the class file of Cityscapes mean the same here as there."""
    for text in ("voc", str(ROOT / "docs" / "classes" / "cityscapes.toml")):
        ours, theirs = read_classes(text), read_label_map(text)
        np.testing.assert_array_equal(table(ours), theirs.id_table)
        assert ours.plain()[1:] == theirs.class_set.table()[1:]


@pytest.mark.parametrize("name", BAD)
def test_what_segdata_refuses_is_refused(name: str, tmp_path: Path) -> None:
    """A file that says what cannot be is an error that names it, here as there."""
    path = tmp_path / name
    path.write_text(BAD[name])
    with pytest.raises(SegdataError):
        read_label_map(str(path))
    with pytest.raises(UsageError) as caught:
        read_classes(str(path))
    assert str(caught.value).startswith(f"--classes {path}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_class_file_says_what_is_wanted(tmp_path: Path) -> None:
    """The error names the path and the forms."""
    with pytest.raises(UsageError, match=r"nothing.txt: cannot be read \(No such file.*'voc'"):
        read_classes(str(tmp_path / "nothing.txt"))
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"bytes\.txt: cannot be read"):
        read_classes(str(tmp_path / "bytes.txt"))


def test_colours_alone_leave_the_ids_to_the_order(tmp_path: Path) -> None:
    """Where no class has ids they are 1, 2, 3, ...; ids for some of them only are an error."""
    path = tmp_path / "c.toml"
    path.write_text('[[classes]]\nname = "a"\ncolor = "#ff0000"\n[[classes]]\nname = "b"\n')
    assert read_classes(str(path)).ids == {0: (0,), 1: (1,), 2: (2,), 255: (255,)}
    path.write_text('[[classes]]\nname = "a"\nids = [4]\n[[classes]]\nname = "b"\n')
    with pytest.raises(UsageError, match=r"the class 'b' has no ids, others have"):
        read_classes(str(path))


@given(st.integers(0, 255))
def test_colours_are_vocs(index: int) -> None:
    """The bits of an id are dealt out to the channels from the top, as VOC's kit does it."""
    red, green, blue = voc_color(index)
    bits = [index >> k & 1 for k in range(8)]
    assert red == 128 * bits[0] + 64 * bits[3] + 32 * bits[6]
    assert green == 128 * bits[1] + 64 * bits[4] + 32 * bits[7]
    assert blue == 128 * bits[2] + 64 * bits[5]
