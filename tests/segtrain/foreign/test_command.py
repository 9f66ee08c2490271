"""Tests of segtrain.cli_index: the command as a user types it."""

import sys
from pathlib import Path

import pytest

from segtrain.cli import main


def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object
) -> tuple[object, str, str]:
    """What `segtrain index WORDS` ends with and prints."""
    monkeypatch.setattr(sys, "argv", ["segtrain", "index", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def test_index_says_what_it_found_and_the_way_on(
    foreign: Path,
    classes: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A table of splits, what was decided, the manifest and the next command; notes apart."""
    monkeypatch.chdir(foreign)
    options = (".", "--classes", classes, "--workers", 1)
    code, out, error = call(monkeypatch, capsys, *options)
    assert (code, error) == (0, "")
    assert out.splitlines()[0] == "split\tshards\timages\tsize\tvoid pixels"
    assert out.splitlines()[1].startswith("train\t2\t5\t")
    assert out.splitlines()[-2:] == [
        "data set green-house: 4 classes; images .jpg, masks .png; splits by the shards' names",
        "green-house.json: written; next: segtrain run --shards .",
    ]
    code, out, error = call(
        monkeypatch, capsys, *options, "--split", "train=*0.tar", "--no-pixels", "--mask-ext", "png"
    )
    assert code == 0
    assert error.startswith("note: 1 shards fit no --split and are left out: train-001.tar\n")
    assert "\ntrain\t2\t6\t" in out
    assert "\t-\n" in out
    assert "splits by --split" in out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "Missing argument 'DIR'"),
        (["."], 2, "Missing option '--classes'"),
        (["nowhere", "--classes", "voc"], 1, "error: nowhere: does not exist"),
        ([".", "--classes", "nowhere.txt"], 2, "error: --classes nowhere.txt: cannot be read"),
        ([".", "--classes", "voc"], 1, "error: .: holds no .tar files"),
        ([".", "--classes", "voc", "--ignore-index", "256"], 2, "less than or equal to 255"),
        ([".", "--classes", "voc", "--workers", "0"], 2, "greater than or equal to 1"),
        ([".", "--classes", "voc", "--name", "voc1"], 2, "error: --name voc1: is kept"),
    ],
)
def test_mistakes_get_one_clear_error(
    words: list[str],
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """A mistake ends with its exit code and one message, and leaves nothing behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    ended, out, error = call(monkeypatch, capsys, *words)
    assert ended == code
    assert message in error
    assert out == ""
    assert not list(tmp_path.iterdir())
