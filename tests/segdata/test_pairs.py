"""Pairs: images and masks find each other by name, in one way or not at all."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segdata.archive import Member
from segdata.errors import SourceError
from segdata.pairs import Pairing, _detect_suffixes, _Side, find_pairs, refuse_unpaired

if TYPE_CHECKING:
    from tests.segdata.conftest import Make


Pair = Callable[..., Pairing]


@pytest.fixture
def paired(make: "Make", tmp_path: Path) -> Pair:
    """Write empty files and pair them."""

    def pair(images: Sequence[str], masks: Sequence[str], *suffixes: str | None) -> Pairing:
        make.write_folder(tmp_path / "images", dict.fromkeys(images, b""))
        make.write_folder(tmp_path / "masks", dict.fromkeys(masks, b""))
        return find_pairs(tmp_path / "images", tmp_path / "masks", *suffixes)

    return pair


def ids(pairing: Pairing) -> list[str]:
    """Ids of the pairs."""
    return [pair.id for pair in pairing.pairs]


@pytest.mark.parametrize(
    ("images", "masks", "suffixes", "expected"),
    [
        (["b.jpg", "a.JPG"], ["a.png", "b.tif"], ("", ""), ["a", "b"]),
        (["x/a.jpg", "y/a.jpg"], ["x/a.png", "y/a.png"], ("", ""), ["x/a", "y/a"]),
        (["a.b.jpg", "a.jpg"], ["a.b.png", "a.png"], ("", ""), ["a", "a.b"]),
        (["a.jpg", "b.jpg"], ["a_mask.png", "b_mask.png"], ("", "_mask"), ["a", "b"]),
        (["1_sat.jpg", "2_sat.jpg"], ["1_mask.png", "2_mask.png"], ("_sat", "_mask"), ["1", "2"]),
        (["1_sat.jpg", "2_sat.jpg"], ["1.png", "2.png"], ("_sat", ""), ["1", "2"]),
        (["a_rgb.jpg", "b_rgb.jpg"], ["a_rgb_seg.png", "b_rgb_seg.png", "a_x.png"],
         ("", "_seg"), ["a_rgb", "b_rgb"]),
        (["a.jpg", ".DS_Store", "__MACOSX/a.jpg", "readme.txt"], ["a.png", "._a.png"], ("", ""),
         ["a"]),
    ],
)  # fmt: skip
def test_names_that_pair(
    paired: Pair,
    images: list[str],
    masks: list[str],
    suffixes: tuple[str, str],
    expected: list[str],
) -> None:
    """Equal paths pair; endings that all names share are found out and are no part of the ids."""
    found = paired(images, masks)
    assert ids(found) == expected
    assert (found.image_suffix, found.mask_suffix) == suffixes
    assert bool(found.notes) == any(suffixes)
    assert not found.without_mask
    assert not found.without_image


def test_given_suffixes_pass_over_the_rest(paired: Pair) -> None:
    """Files without the given endings take no part, and a note counts them."""
    masks = ["a_ids.png", "a_color.png", "b_ids.png"]
    found = paired(["a_im.jpg", "b_im.jpg", "c.jpg"], masks, "_im", "_ids")
    assert ids(found) == ["a", "b"]
    assert [note.split()[0] for note in found.notes] == ["1", "1"]


def test_one_suffix_is_found_where_the_other_is_given(paired: Pair) -> None:
    """Only what was not said is found out."""
    found = paired(
        ["a_im.jpg", "b_im.jpg"], ["a_ids.png", "a_color.png", "b_ids.png"], None, "_ids"
    )
    assert (found.image_suffix, ids(found)) == ("_im", ["a", "b"])


def test_several_masks_for_every_image(paired: Pair) -> None:
    """Where two endings would do, both are named and nothing is guessed."""
    masks = [f"{n}_{kind}.png" for n in "ab" for kind in ("ids", "color")]
    with pytest.raises(SourceError, match="several masks") as caught:
        paired(["a.jpg", "b.jpg"], masks)
    assert "_color, _ids" in str(caught.value)
    assert "--mask-suffix" in str(caught.value)


@pytest.mark.parametrize(
    ("images", "masks", "texts"),
    [
        (["a.jpg", "b.jpg"], ["a.png"], ["some images have no mask", "1 without, 1 pairs: b"]),
        (["a.jpg"], ["a.png", "b.png"], ["some masks have no image", "1 without, 1 pairs: b"]),
        ([f"{i}.jpg" for i in range(9)], ["x.png"], ["no names agree", "9 without", "4, …"]),
        (["a.jpg", "b.jpg", "c.jpg"], ["a_m.png", "b_m.png"], ["no names agree"]),
    ],
)
def test_unpaired(paired: Pair, images: list[str], masks: list[str], texts: list[str]) -> None:
    """What has no partner is refused with the first names, the count and a way out."""
    with pytest.raises(SourceError) as caught:
        refuse_unpaired(paired(images, masks), Path("images"), Path("masks"))
    assert [text for text in [*texts, "-suffix"] if text not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("images", "masks", "what"),
    [
        ([], ["a.png"], "no image here"),
        (["a.jpg"], [], "no mask here"),
        (["a.jpg"], ["notes.txt"], "no mask here"),
        (["a.jpg", "a.png"], ["a.png"], "two images have one name"),
        (["a.jpg"], ["a.png", "a.jpg"], "two masks have one name"),
    ],
)
def test_refusals(paired: Pair, images: list[str], masks: list[str], what: str) -> None:
    """Empty folders and names that only the kind of file tells apart are refused."""
    with pytest.raises(SourceError, match=what):
        paired(images, masks)


def test_one_folder_for_both(make: "Make", tmp_path: Path) -> None:
    """Images and masks side by side need an ending that tells the masks; without it is an error."""
    files = dict.fromkeys(["a.jpg", "b.jpg", "a_mask.png", "b_mask.png"], b"")
    folder = make.write_folder(tmp_path, files)
    assert ids(find_pairs(folder, folder, None, "_mask")) == ["a", "b"]
    with pytest.raises(SourceError, match="same place"):
        find_pairs(folder, folder / "." / "")


def test_one_folder_inside_the_other(make: "Make", tmp_path: Path) -> None:
    """Masks below the images' folder are no images, and the reverse."""
    make.write_folder(tmp_path, dict.fromkeys(["a.jpg", "masks/a.png"], b""))
    assert ids(find_pairs(tmp_path, tmp_path / "masks")) == ["a"]
    make.write_folder(tmp_path / "two", dict.fromkeys(["a.png", "photos/a.jpg"], b""))
    assert ids(find_pairs(tmp_path / "two" / "photos", tmp_path / "two")) == ["a"]


def test_archives_have_a_folder_around_everything(make: "Make", tmp_path: Path) -> None:
    """The folder that a zip or tar has around all of its files is no part of the ids."""
    left = make.write_zip(tmp_path / "a.zip", dict.fromkeys(["top/sub/train/a.jpg"], b""))
    right = make.write_tar(tmp_path / "b.tar", dict.fromkeys(["./gt/train/a.png"], b""))
    found = find_pairs(left, right)
    assert ids(found) == ["train/a"]
    assert (found.pairs[0].image.name, found.pairs[0].mask.name) == ("train/a.jpg", "train/a.png")


def test_folders_are_taken_as_they_are(paired: Pair) -> None:
    """Two folders of other names are not taken for each other, though their files agree."""
    assert not paired(["here/1.jpg"], ["there/1.png"]).pairs


def test_a_missing_folder(tmp_path: Path) -> None:
    """A path that is not there is named."""
    with pytest.raises(SourceError, match="does not exist") as caught:
        find_pairs(tmp_path / "nowhere", tmp_path)
    assert "nowhere" in str(caught.value)


WORDS = st.text("ab1", min_size=1, max_size=3)


@given(st.sets(WORDS, min_size=2, max_size=8), st.sampled_from(["", "_im"]),
       st.sampled_from(["", "_ids", "-x_y"]))  # fmt: skip
@settings(max_examples=60)
def test_suffixes_are_found(stems: set[str], image_suffix: str, mask_suffix: str) -> None:
    """Whatever the names: one ending for all images and one for all masks are found, or none."""
    member = Member("", "", 0)
    left = _Side("image", Path("i"), {f"{s}{image_suffix}.jpg": member for s in stems}, None)
    right = _Side("mask", Path("m"), {f"{s}{mask_suffix}.png": member for s in stems}, None)
    _detect_suffixes(left, right)
    assert left.by_id().keys() == right.by_id().keys() == stems
