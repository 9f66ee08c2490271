"""Tests of segtrain.cli, most in processes of their own, as a user starts it."""

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from segtrain import __version__
from segtrain.cli import app, main
from segtrain.config import TrainConfig
from segtrain.options.fields import flag

Command = Callable[..., list[str]]
HEAVY = ("torch", "torchvision", "numpy", "PIL", "rich.progress")
FOREIGN = ("segdata", "pycocotools", "webdataset", "msgspec", "datasets")


def fresh(script: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def loaded_of(names: tuple[str, ...]) -> str:
    """A script's end that prints which of these modules are loaded."""
    return f"\nimport sys; print([n for n in {names!r} if n in sys.modules])"


def test_importing_everything_brings_no_data_tools() -> None:
    """All modules of segtrain together import neither segdata nor COCO's tools."""
    script = (
        "import importlib, pkgutil, segtrain\n"
        "for m in pkgutil.walk_packages(segtrain.__path__, 'segtrain.'):\n"
        "    if not m.name.endswith('__main__'): importlib.import_module(m.name)"
    )
    assert fresh(script + loaded_of(FOREIGN)) == "[]"


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["run", "--help"],
        ["doctor", "-h"],
        ["eval", "-h"],
        ["compare", "-h"],
        ["predict", "-h"],
        ["demo", "-h"],
        ["replay", "-h"],
        ["report", "-h"],
    ],
)
def test_help_starts_without_torch(words: list[str]) -> None:
    """Help of the program and of each command loads neither torch nor numpy nor Pillow."""
    script = (
        "import sys, io, contextlib\n"
        f"sys.argv = ['segtrain', *{words!r}]\n"
        "from segtrain.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):\n"
        "    main()\n"
        "assert 'Usage' in out.getvalue()"
    )
    assert fresh(script + loaded_of((*HEAVY, *FOREIGN))) == "[]"


def help_of(*words: str) -> str:
    """The help text of a command on a wide terminal."""
    done = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "300", "TERM": "dumb"})
    assert done.exit_code == 0
    return done.output


def test_every_field_is_an_option_with_its_help() -> None:
    """`run --help` shows each field of the configuration with its own words, in panels."""
    text = help_of("run")
    for field in dataclasses.fields(TrainConfig):
        assert f"{flag(field.name)} " in text
        # lines are broken behind hyphens, too
        assert "".join(field.metadata["help"].split()) in re.sub(r"[\s│]", "", text)
    for panel in ("Data", "Model", "Training", "Output"):
        assert f"─ {panel} ─" in text
    assert "segtrain run --weights imagenet" in text


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("doctor", ["--checkpoint", "--json", "--variant", "segtrain doctor --checkpoint"]),
        ("eval", ["--shards", "--split", "--json", "--device", "segtrain eval runs/fcn8s"]),
        ("eval", ["--scales", "--flip", "--batch", "--pictures"]),
        ("compare", ["--shards", "--split", "--json", "--pictures", "segtrain compare runs/a"]),
        ("predict", ["--out", "--max-side", "--device", "segtrain predict runs/fcn8s"]),
        ("report", ["--out", "--pictures", "RUN...", "segtrain report runs/fcn8s"]),
        ("predict", ["--tile", "--probabilities", "overlapping squares"]),
        ("predict", ["--scales", "--flip"]),
        ("demo", ["--host", "--port", "--no-browser", "segtrain demo runs/fcn8s"]),
    ],
)
def test_other_commands_have_whole_help(command: str, words: list[str]) -> None:
    """Every option and an example stand in the help."""
    text = help_of(command)
    for word in words:
        assert word in text


def test_the_version_is_printed() -> None:
    """`--version` prints the package's version."""
    done = CliRunner().invoke(app, ["--version"])
    assert done.output.strip() == f"segtrain {__version__}"


def call(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_whole_path_from_the_command_line(
    segtrain: Command, environment: dict[str, str], shards: Path, tmp_path: Path
) -> None:
    """run, eval and predict work as a user types them, and print plain lines off a terminal."""
    run, photo = tmp_path / "run", tmp_path / "photo.jpg"
    Image.effect_noise((80, 60), 60).convert("RGB").save(photo)
    small = "--width 0.06 --crop 64 --batch 2 --steps 3 --log-every 1 --device cpu --no-flip"
    done = call(segtrain("run", "--shards", shards, "--out", run, *small.split()), environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "net: FCN-8s on vgg16, width 0.06, norm batch" in done.stdout
    assert "step 3/3  loss " in done.stdout
    assert "voc2012\t8\t" in done.stdout
    assert json.loads((run / "config.json").read_text())["config"]["flip"] is False

    done = call(
        segtrain("eval", run, "--shards", shards, "--json", tmp_path / "r.json"), environment
    )
    assert done.returncode == 0, done.stderr
    assert "voc2012 val: 8 images\n" in done.stdout
    assert set(json.loads((tmp_path / "r.json").read_text())["datasets"]) == {"voc2012", "coco2017"}

    bad = tmp_path / "bad.jpg"
    bad.write_text("no image")
    done = call(segtrain("predict", run, bad, photo, "--out", tmp_path / "out"), environment)
    assert done.returncode == 1
    assert done.stderr == f"error: {bad}: is no image that Pillow can read\n"
    assert f"{photo}  80x60  " in done.stdout
    assert (tmp_path / "out" / "photo.overlay.jpg").exists()


def call_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object
) -> tuple[object, str, str]:
    """What `segtrain WORDS` ends with and prints, run in this process to save its start."""
    monkeypatch.setattr(sys, "argv", ["segtrain", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["run", "--shards", "nowhere"], 1, "nowhere: the shards directory does not exist"),
        (["run", "--resume", "--out", "nowhere"], 1, "holds no run to resume"),
        (["run", "--width", "0.5", "--weights", "imagenet"], 2, "--width 1 only"),
        (["run", "--steps", "0"], 2, "--steps must be at least 1"),
        (["run", "--variant", "4s"], 2, "'4s' is not one of"),
        (["eval", "nowhere"], 1, "nowhere: there is no such run or checkpoint"),
        (["eval", "nowhere", "--scales", "1,x"], 2, "--scales 1,x: is no list of numbers"),
        (["compare", "nowhere", "else"], 1, "nowhere: there is no such run or checkpoint"),
        (["predict", "nowhere", "x.jpg"], 1, "nowhere: there is no such run or checkpoint"),
        (["eval", "nowhere", "--json", "no/folder.json"], 1, "there is no folder no"),
        (["predict"], 2, "Missing argument"),
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
    """A user's mistake ends with its exit code and one message, and leaves nothing behind."""
    monkeypatch.chdir(tmp_path)
    ended, out, error = call_here(monkeypatch, capsys, *words)
    assert ended == code
    assert message in error
    assert out == ""
    assert not list(tmp_path.iterdir())


def test_judging_takes_its_options(
    trained: Path,
    shards: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """eval and compare see images in the forms that were asked for, and draw and write the rest."""
    json_file, drawn = tmp_path / "r.json", tmp_path / "drawn"
    options = ["--scales", "0.5,1", "--flip", "--batch", 4, "--json", json_file]
    for words in (("eval", trained), ("compare", trained / "last.pt", trained / "best.pt")):
        more = (*options, "--shards", shards, "--pictures", drawn, "--device", "cpu")
        code, out, error = call_here(monkeypatch, capsys, *words, *more)
        assert code == 0, error
        assert "mean of softmax at scale 0.5, 1, each also mirrored\n" in out
        assert json.loads(json_file.read_text())["views"] == {"scales": [0.5, 1.0], "flip": True}
    assert "\nimages: A better on " in out
    alone = ("--shards", shards, "--json", "-", "--device", "cpu")
    code, out, error = call_here(monkeypatch, capsys, "eval", trained, *alone)
    assert (code, error) == (0, "")
    assert json.loads(out)["format"] == "segtrain-eval/1"
    names = {p.name for p in drawn.iterdir()}
    assert {"confusion-coco2017-val.png", "confusion-voc2012-val.png"} <= names


def test_an_error_is_one_line_without_traceback(
    segtrain: Command, environment: dict[str, str], tmp_path: Path
) -> None:
    """As a process of its own, a mistake leaves exactly one line on stderr."""
    done = call(segtrain("eval", tmp_path / "none"), environment)
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path / 'none'}: there is no such run or checkpoint\n"


def test_options_given_again_on_resume_are_told_from_defaults(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without options the run's own are kept; one that decides the result is refused."""
    code, out, error = call_here(monkeypatch, capsys, "run", "--out", trained, "--resume")
    assert code == 0, error
    assert "is finished" in out
    again = ("run", "--out", trained, "--resume", "--batch", 16)
    code, _, error = call_here(monkeypatch, capsys, *again)
    assert code == 2
    assert "--batch cannot change in the middle of a run: it has 4, you gave 16" in error
