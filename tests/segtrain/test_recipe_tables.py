"""Tests of segtrain.recipe_tables and of the command `segtrain recipes`."""

import json
import runpy
from pathlib import Path

import pytest
from typer.testing import CliRunner

from segtrain.cli import app
from segtrain.config import TrainConfig
from segtrain.errors import UsageError
from segtrain.recipe_tables import comparison, find, settings
from segtrain.recipes import RECIPES, configure

ROOT = Path(__file__).parents[2]


def command(*words: object) -> str:
    """What `segtrain recipes WORDS` prints off a terminal."""
    done = CliRunner().invoke(app, ["recipes", *map(str, words)])
    assert done.exit_code == 0, done.output
    return done.output


def write_run(folder: Path, config: TrainConfig) -> Path:
    """A run's folder with its configuration."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"config": config.plain()}))
    return folder


def test_a_list_names_every_recipe() -> None:
    """Each recipe stands in both tables, with what it is for."""
    lines = command().splitlines()
    for name, recipe in RECIPES.items():
        assert sum(line.startswith(f"{name}\t") for line in lines) == 2
        assert f"{name}\t{recipe.summary}" in lines


@pytest.mark.parametrize("name", list(RECIPES))
def test_one_recipe_is_shown_whole(name: str) -> None:
    """Its paragraph, each of its values with the reason, and every other option of learning."""
    text = command(name)
    assert text.startswith(RECIPES[name].about)
    for setting in RECIPES[name].settings:
        assert f"\t{setting.reason}\n" in text
    shown = {row[0] for table in settings(name) for row in table.rows}
    assert {"--lr", "--norm", "--fit", "--trunk", "--seed", "--val-every"} <= shown
    assert ("As a stage of --variant 16s" in [t.title for t in settings(name)]) == bool(
        RECIPES[name].stages
    )


def test_configurations_of_any_kind_are_compared(tmp_path: Path) -> None:
    """A recipe, a run and a TOML file differ in what differs, and in nothing else."""
    config = configure({"recipe": "scratch", "lr": 0.02}).resolved()
    run = write_run(tmp_path / "a", config)
    file = tmp_path / "b.toml"
    file.write_text('recipe = "scratch"\nlr = 0.03\nwidth = 0.5\n')
    assert find(str(run)) == config
    assert comparison("scratch", str(run)).rows == [["--lr", "0.05", "0.02"]]
    rows = comparison(str(run), str(file)).rows
    assert sorted(rows) == [["--lr", "0.02", "0.03"], ["--width", "1", "0.5"]]
    assert command("scratch", run) == f"option\tscratch\t{run}\n--lr\t0.05\t0.02\n"
    assert "do not differ" in command("light", "light")


def test_what_is_no_configuration_is_told(tmp_path: Path) -> None:
    """A mistyped name, a folder without a run and a damaged one are usage errors with a way on."""
    with pytest.raises(UsageError, match=r"scrach: is no recipe.*did you mean scratch\?"):
        find("scrach")
    with pytest.raises(UsageError, match=r"xyz: is no recipe.*there are: modern, light"):
        find("xyz")
    with pytest.raises(UsageError, match="holds no run"):
        find(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UsageError, match="is damaged"):
        find(str(tmp_path))
    done = CliRunner().invoke(app, ["recipes", "light", "heavy", "--toml"])
    assert done.exit_code == 2


def test_the_pages_are_fresh() -> None:
    """docs/recipes.md and the page of each recipe are what tools/recipes_page.py writes now."""
    pages: dict[Path, str] = runpy.run_path(str(ROOT / "tools" / "recipes_page.py"))["pages"]()
    assert {path.stem for path in pages} == {*RECIPES, "recipes"}
    assert {path for path in pages if path.parent.name == "recipes"} == {
        *(ROOT / "docs" / "recipes").iterdir()
    }
    for path, fresh in pages.items():
        assert path.read_text("utf-8") == fresh, "run: python tools/recipes_page.py"
