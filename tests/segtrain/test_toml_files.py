"""Tests of segtrain.toml_files."""

import dataclasses
import tomllib
import typing
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from segtrain.cli import app
from segtrain.config import TrainConfig, plain_value
from segtrain.errors import UsageError
from segtrain.recipes import configure
from segtrain.toml_files import field_types, read_toml, shown_value, toml_text


def values_of(name: str) -> st.SearchStrategy[Any]:
    """Values of a field's types, in range or not."""
    kinds: dict[Any, st.SearchStrategy[Any]] = {
        int: st.integers(-10, 10**9), bool: st.booleans(), str: st.text(max_size=20),
        float: st.floats(allow_nan=False, allow_infinity=False),
        Path: st.text("ab/.\\\"'#é ", min_size=1).map(Path),
        tuple[str, ...]: st.lists(st.text(max_size=9)).map(tuple),
    }  # fmt: skip
    options = [
        st.sampled_from(typing.get_args(kind))
        if typing.get_origin(kind) is Literal
        else kinds[kind]
        for kind in field_types(name)
    ]
    return st.one_of(options)


@given(st.data())
def test_what_is_written_is_read_again(data: st.DataObject) -> None:
    """A file of any values of any fields gives these values and types back."""
    names = data.draw(st.sets(st.sampled_from([f.name for f in dataclasses.fields(TrainConfig)])))
    values = {name: data.draw(values_of(name)) for name in sorted(names)}
    config = TrainConfig()
    for name, value in values.items():  # also values that a run would refuse
        object.__setattr__(config, name, value)
    plain = tomllib.loads(toml_text(config, {"lr": "a # remark"}))
    for name, value in values.items():
        assert plain[name] == plain_value(value)


@pytest.mark.parametrize("recipe", ["modern", "light", "heavy", "scratch", "journal"])
def test_a_recipes_file_reproduces_it(recipe: str, tmp_path: Path) -> None:
    """What `--toml` prints gives the same configuration when it is read."""
    from segtrain.recipe_tables import as_toml, find

    file = tmp_path / "mine.toml"
    file.write_text(as_toml(recipe))
    assert find(str(file)) == dataclasses.replace(find(recipe), out=find(str(file)).out)


def test_what_follows_from_other_options_still_follows(tmp_path: Path) -> None:
    """Fewer steps in the file of a recipe bring a shorter warm-up, as they do without a file."""
    from segtrain.recipe_tables import as_toml, find

    file = tmp_path / "mine.toml"
    file.write_text(as_toml("scratch").replace("steps = 60000", "steps = 40"))
    found = find(str(file))
    assert (found.steps, found.warmup, found.lr) == (40, 2, find("scratch").lr)


def test_names_of_the_command_line_are_the_same(tmp_path: Path) -> None:
    """`val-every` and `val_every` are one option; a whole number is a number."""
    file = tmp_path / "a.toml"
    file.write_text('val-every = 7\nlr = 1\nout = "runs/a"\nflip = false\n')
    found = read_toml(file)
    assert found == {"val_every": 7, "lr": 1.0, "out": Path("runs/a"), "flip": False}
    assert isinstance(found["lr"], float)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lr = 0.1\nmomentun = 0.9", "line 2: there is no option momentun; did you mean momentum?"),
        ("val-evry = 3", "line 1: there is no option val-evry; did you mean val-every?"),
        ("zzz = 1", "line 1: there is no option zzz; `segtrain run --help` lists them"),
        ("[data]\ncrop = 64", "line 1: there is no option data"),
        ("\n\ncrop = 64.5", "line 3: crop must be a whole number, not 64.5"),
        ("crop = true", "line 1: crop must be a whole number, not true"),
        ('flip = "yes"', 'line 1: flip must be true or false, not "yes"'),
        (
            'norm = "groups"',
            "norm must be one of 'none', 'batch', 'group', not \"groups\"; did you",
        ),
        ("out = 3", "line 1: out must be a path in quotes, not 3"),
        ("lr = [1]", "line 1: lr must be a number, not [1]"),
        ("val_every = 1\nval-every = 2", "line 2: val-every is there twice"),
        ("lr 0.1", "is no TOML: Expected '=' after a key"),
    ],
)
def test_mistakes_name_file_line_and_key(text: str, words: str, tmp_path: Path) -> None:
    """An unknown key, a value of another kind and broken TOML are told with place and way on."""
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_toml(file)
    assert str(file) in str(caught.value)
    assert words in str(caught.value)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A missing file and one that is no text are usage errors."""
    with pytest.raises(UsageError, match=r"nowhere\.toml: cannot be read: No such file"):
        read_toml(tmp_path / "nowhere.toml")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is no TOML"):
        read_toml(tmp_path / "b.toml")


def test_values_are_written_as_toml_has_them() -> None:
    """Quotes, backslashes and line ends in texts are escaped."""
    assert shown_value('a"b\\c\n') == '"a\\"b\\\\c\\u000a"'
    assert (shown_value(True), shown_value(1e-10), shown_value(3)) == ("true", "1e-10", "3")


@pytest.mark.parametrize("command", ["start", "resume"])
def test_the_command_line_wins_over_the_file(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`run` is given the file's options with the command line's over them, on --resume as well."""
    caught: list[dict[str, Any]] = []

    def stop(given: dict[str, Any]) -> None:
        caught.append(dict(given))
        raise UsageError("enough")

    monkeypatch.setattr(f"segtrain.session.{command}", stop)
    file = tmp_path / "mine.toml"
    file.write_text('recipe = "scratch"\nlr = 0.2\ncrop = 64\nout = "no-run"\n')
    words = ["run", "--config", str(file), "--lr", "0.3", *(["--resume"] * (command == "resume"))]
    assert CliRunner().invoke(app, words).exit_code != 0
    assert caught == [{"recipe": "scratch", "lr": 0.3, "crop": 64, "out": Path("no-run")}]
    config = configure(caught[0])
    assert (config.lr, config.crop, config.norm, config.batch) == (0.3, 64, "group", 8)
