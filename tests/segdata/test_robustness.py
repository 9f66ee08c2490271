"""Builds under adverse conditions: no room, a source that goes away, two at once, hard kills."""

import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

import pytest

from segdata import engine, plan, records, shards, stores
from segdata.build import build
from segdata.classes import ClassSet
from segdata.errors import OutputError, SegdataError, SourceError
from segdata.labels import LabelPolicy
from segdata.plan import BuildOptions, made_with, plan_split
from segdata.stamps import stamps
from segdata.verify import verify
from segdata.voc import open_voc

if TYPE_CHECKING:
    from tests.segdata.conftest import Command, Make

ROOT = Path(__file__).resolve().parents[2]
BOTH = ("train", "val")
VOC = "VOCtrainval_11-May-2012.tar"
Tree = Callable[[Path], dict[str, bytes]]


def arguments(data: Path, out: Path, kind: str = "voc", workers: int = 1) -> list[str]:
    """A build in shards of one sample."""
    options = [f"--data={data}", f"--out={out}", "--shard-samples=1", f"--workers={workers}"]
    return [f"build-{kind}", *options]


def options_for(out: Path, **more: Any) -> BuildOptions:  # noqa: ANN401 - options
    """Options of a build in shards of one sample."""
    return BuildOptions(out, ClassSet.parse("voc"), shard_samples=1, **more)


@pytest.fixture(scope="module")
def whole(
    segdata: "Command", small: Path, tmp_path_factory: pytest.TempPathFactory, read_tree: Tree
) -> dict[str, bytes]:
    """Every file of the VOC build that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole")
    assert segdata(*arguments(small, out)).code == 0
    return read_tree(out)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A real file system of 40 kB; skips where this user must not mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(folder)]
    if (
        not shutil.which("mount")
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("mounting a small file system needs root and a Linux kernel")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_and_the_build_goes_on(
    segdata: "Command", small: Path, tmp_path: Path, whole: dict[str, bytes], read_tree: Tree
) -> None:
    """On a disk that really is full the message says so; with more room the build goes on."""
    with small_disk(tmp_path / "disk") as disk:
        out = disk / "out"
        done = segdata(*arguments(small, out))
        assert done.code == 1
        assert done.stderr.startswith("error: the disk is full\n")
        assert f"where:    {out}" in done.stderr
        assert "make room" in done.stderr
        found = read_tree(out)
        assert found.items() <= whole.items()  # nothing half-written, nothing wrong
        finished = [name for name in found if name.endswith(".stats.json")]
        assert 0 < len(finished) < 8
        more = ["mount", "-o", "remount,size=10m", str(disk)]
        subprocess.run(more, check=True)
        assert segdata(*arguments(small, out)).code == 0
        assert read_tree(out) == whole


@pytest.mark.parametrize("how", ["deleted", "truncated", "replaced", "touched"])
@pytest.mark.parametrize("skip", [False, True])
def test_an_archive_that_goes_away_is_named(
    small: Path, tmp_path: Path, whole: dict[str, bytes], read_tree: Tree, how: str, skip: bool
) -> None:
    """An archive lost or changed in mid-build ends it, even where broken samples are left out.

    No shard is finished from it; once it is back as it was, the build goes on.
    """
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    archive = data / VOC
    shutil.copy2(small / VOC, archive)
    options = options_for(out, skip_errors=skip)
    seen: list[int] = []

    def progress(what: str, done: int, total: int) -> None:  # noqa: ARG001 - as it is called
        seen.append(done)
        if done == 3:
            spoil(archive, how)

    with pytest.raises(SourceError) as error:
        build(open_voc(data, 2012, options.classes, BOTH), options, progress)
    assert str(archive) in str(error.value.where)
    assert error.value.what.startswith(
        ("a source is not there", "an archive has changed", "an archive's member")
    )
    assert max(seen) < 8
    found = read_tree(out)
    assert found.items() <= whole.items()
    assert not any(name.endswith(".partial") for name in found)
    shutil.copy2(small / VOC, archive)
    build(open_voc(data, 2012, options.classes, BOTH), options, lambda *_: None)
    assert read_tree(out) == whole


def spoil(path: Path, how: str) -> None:
    """Do to a file what happens to files."""
    data = path.read_bytes()
    if how == "deleted":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(data[: len(data) // 3])
    elif how == "replaced":
        path.unlink()
        path.write_bytes(data[:-5000] + bytes(5000) + b"longer")
    else:
        os.utime(path)


def test_a_folder_that_goes_away_is_named(make: "Make", tmp_path: Path) -> None:
    """A folder of plain files that is unmounted in mid-build leaves no samples out silently."""
    data = make.write_folder(tmp_path / "data", make.voc().members)
    options = options_for(tmp_path / "out", skip_errors=True)
    images = data / "VOCdevkit" / "VOC2012" / "JPEGImages"

    def progress(what: str, done: int, total: int) -> None:  # noqa: ARG001 - as it is called
        if done == 3 and images.exists():
            images.rename(tmp_path / "unmounted")

    with pytest.raises(SourceError, match="not there any more") as error:
        build(open_voc(data, 2012, options.classes, BOTH), options, progress)
    assert error.value.where == str(images)
    for sidecar in (tmp_path / "out").glob("*.stats.json"):
        assert shards.read_json(sidecar)["left_out"] == []


def test_two_data_sets_are_built_side_by_side(
    segdata: "Command", small: Path, tmp_path: Path, read_tree: Tree
) -> None:
    """Two builds in one directory at once both finish; while they write it can be read."""
    out, after = tmp_path / "out", tmp_path / "after"
    for kind in ("coco", "voc"):
        assert segdata(*arguments(small, after, kind)).code == 0
    builds = [subprocess_of(*arguments(small, out, kind)) for kind in ("coco", "voc")]
    while any(running.poll() is None for running in builds):
        if list(out.glob("*201[27].json")):
            assert not {f.defect for f in verify(out).findings} & {"tar-broken", "shard-missing"}
        time.sleep(0.2)
    assert [running.returncode for running in builds] == [0, 0]
    assert read_tree(out) == read_tree(after)
    assert shards.read_json(out / "info.json")["datasets"] == ["coco2017", "voc2012"]


def subprocess_of(*command: str) -> "subprocess.Popen[bytes]":
    """The command in a process of its own."""
    return subprocess.Popen([sys.executable, "-m", "segdata", *command], stdout=subprocess.DEVNULL)


def test_a_second_build_is_refused_at_once(small: Path, tmp_path: Path) -> None:
    """While one build of a data set runs another is refused; no lock file outlives them."""
    out = tmp_path / "out"
    options = options_for(out)
    refused: list[OutputError] = []

    def second() -> None:
        try:
            build(open_voc(small, 2012, options.classes, BOTH), options, lambda *_: None)
        except OutputError as error:
            refused.append(error)

    def progress(what: str, done: int, total: int) -> None:  # noqa: ARG001 - as it is called
        if done == 1:
            other = threading.Thread(target=second)
            other.start()
            other.join()

    build(open_voc(small, 2012, options.classes, BOTH), options, progress)
    assert [error.what for error in refused] == ["another build of voc2012 is writing here"]
    assert not [path.name for path in out.iterdir() if path.name.startswith(".")]


def test_builds_survive_kills(small: Path) -> None:
    """The script of random kills, with three of them, ends with the bytes of an undisturbed build.

    It is the one of tools/, where it is run with fifty and more.
    """
    if os.name == "nt":
        pytest.skip("kills are signals")
    script = [sys.executable, str(ROOT / "tools" / "kill_build.py")]
    given = ["--kills=3", "--seed=7", "--samples=1", f"--data={small}"]
    done = subprocess.run([*script, *given], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all equal" in done.stdout


def test_workers_of_other_versions_are_refused(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker whose codecs differ from the client's makes no shard, and both versions are told."""
    options = options_for(tmp_path / "out")
    task = planned(small, options).shards[0]
    here = plan.codec_versions(rasteriser=False)
    elsewhere = here | {"pillow": "1.0"}
    monkeypatch.setattr(records, "codec_versions", lambda **_: elsewhere)
    with pytest.raises(OutputError, match="other bytes") as error:
        records.make_shard(task)
    assert error.value.expected == f"pillow {here['pillow']}"
    assert error.value.found == "pillow 1.0"
    assert not options.out.exists()


@pytest.mark.parametrize("there", ["nothing", "another", "the same"])
def test_workers_that_see_another_directory_are_refused(
    small: Path, tmp_path: Path, there: str
) -> None:
    """Only where it finds the client's secret does a worker elsewhere write."""
    options = options_for(tmp_path / "out")
    task = planned(small, options).shards[0]
    if there != "nothing":
        options.out.mkdir()
        (options.out / ".voc2012.proof").write_text("x" if there == "another" else "secret")
    if there == "the same":
        assert records.make_shard(task, "secret") == task.name
        return
    with pytest.raises(OutputError, match="does not see the shards directory") as error:
        records.make_shard(task, "secret")
    expected = "no such folder" if there == "nothing" else "another folder of that name"
    assert error.value.found == expected


def test_a_cluster_that_asks_twice_leaves_a_finished_shard_alone(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shard whose maker died after it was told is not taken away from whoever reads it."""
    options = options_for(tmp_path / "out")
    task = planned(small, options).shards[0]
    options.out.mkdir()
    (options.out / ".voc2012.proof").write_text("secret")
    assert records.make_shard(task, "secret") == task.name
    with monkeypatch.context() as patch:
        patch.setattr(records.shards, "write_shard", lambda *_: pytest.fail("written again"))
        assert records.make_shard(task, "secret") == task.name
    (options.out / f"{task.name}.idx").unlink()
    assert records.make_shard(task, "secret") == task.name
    assert (options.out / f"{task.name}.idx").exists()


def test_workers_that_see_another_archive_are_refused(small: Path, tmp_path: Path) -> None:
    """Elsewhere a copy may be of another time but not of another size, and must be there."""
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy2(small / VOC, data / VOC)
    options = options_for(tmp_path / "out", scheduler="tcp://elsewhere:1")
    task = planned(data, options).shards[0]
    options.out.mkdir()
    os.utime(data / VOC, (1, 1))
    assert records.make_shard(task) == task.name
    (stamp,) = task.stamps
    with pytest.raises(SourceError, match="has changed"):
        records.make_shard(replace(task, stamps=(replace(stamp, size=stamp.size + 1),)))
    spooled = replace(stamp, path=str(tmp_path / "spool.tar"), shown="/data/benchmark.tgz")
    with pytest.raises(SourceError, match="cannot be seen from here") as error:
        records.make_shard(replace(task, stamps=(spooled,)))
    assert error.value.where == "/data/benchmark.tgz"
    assert "TMPDIR" in str(error.value.advice)


def planned(data: Path, options: BuildOptions) -> plan.SplitPlan:
    """VOC's train split."""
    source = open_voc(data, 2012, options.classes, BOTH)
    return plan_split(source, "train", options, made_with(source, options), lambda *_: None)


def test_tasks_travel_to_spawned_workers(small: Path, tmp_path: Path) -> None:
    """What a build gives to workers survives pickling, whatever the kind of the output."""
    for out in (tmp_path / "out", stores.place("s3://bucket/shards")):
        options = options_for(out, policy=LabelPolicy("gluoncv"))
        for task in planned(small, options).shards:
            again = pickle.loads(pickle.dumps(task))  # noqa: S301 - our own bytes
            assert again == task
            assert again.options.out == out
    assert stamps(task.samples) == task.stamps


@pytest.mark.parametrize("name", ["with space", "grün-ß-日本", "a" * 200])
def test_any_path_will_do(
    segdata: "Command",
    small: Path,
    tmp_path: Path,
    whole: dict[str, bytes],
    read_tree: Tree,
    name: str,
) -> None:
    """Paths with spaces, in any script, and long ones; the workers are spawned, not forked."""
    data, out = tmp_path / name / "data", tmp_path / name / name / "out"
    data.mkdir(parents=True)
    shutil.copy2(small / VOC, data / VOC)
    workers = 2 if name == "with space" else 1
    done = segdata(*arguments(data, out, workers=workers))
    assert (done.code, done.stderr) == (0, "")
    assert read_tree(out) == whole
    assert segdata("verify-masks", out, f"--data={data}", "--workers=1").code == 0


def test_windows_paths_are_no_urls() -> None:
    """Drive letters and UNC shares are paths; only a scheme with two slashes makes a URL."""
    for text in (r"C:\data\shards", "C:/data/shards", r"\\server\share\x", "c:"):
        assert not stores.is_url(text)
        assert not stores.is_url(PureWindowsPath(text))
    assert stores.is_url("s3://bucket/x")


def test_the_number_of_workers_is_that_of_the_processors(
    segdata: "Command", small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--workers 0 takes one for each processor that the process may use, and never forks."""
    asked: list[int] = []
    run = engine.run

    def noted(function: Any, tasks: Any, workers: int, *rest: Any) -> Any:  # noqa: ANN401 - passed on
        asked.append(workers)
        return run(function, tasks, 1, *rest)

    monkeypatch.setattr(engine, "run", noted)
    monkeypatch.setattr(engine, "default_workers", lambda: 5)
    assert segdata(*arguments(small, tmp_path / "out", workers=0)).code == 0
    assert asked == [5]


def test_a_worker_that_ends_is_told() -> None:
    """A worker process that is gone ends the run with one error, not with waiting."""
    with pytest.raises(SegdataError, match="a worker process died") as error:
        list(engine.run(os._exit, [1], 2, lambda _: None))
    assert "--workers" in str(error.value.advice)
