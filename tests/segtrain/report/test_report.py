"""The report: self-contained, its numbers the log's, useful for every state of a run."""

import contextlib
import dataclasses
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.segtrain.report.pages import RunPage, opened

from segtrain.cli import main
from segtrain.compare import compare_runs
from segtrain.counts_files import as_file, read_counts
from segtrain.errors import NonFiniteError, RunError, UsageError
from segtrain.evaluate import Counted, evaluate_run, plain_results
from segtrain.predictor import Views
from segtrain.report.command import report
from segtrain.report.gallery import chosen
from segtrain.report.page import report_page
from segtrain.report.thinning import thinned
from segtrain.session import start
from segtrain.stages import start as start_stages

Options = dict[str, Any]
HOSTILE = "</script><img src=x onerror=alert(1)>\"'&<b>"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny: Options, shards: Path) -> Path:
    """The folder of a finished run that watched a photo; tests copy what they change."""
    folder = tmp_path_factory.mktemp("reported")
    Image.effect_noise((90, 70), 60).convert("RGB").save(folder / "my dog.jpg")
    options = {"shards": shards, "out": folder / "run", "watch": (str(folder / "my dog.jpg"),)}
    start(tiny | options | {"val_every": 4, "val_images": 0})
    return folder / "run"


@pytest.fixture(scope="module")
def text(run: Path) -> str:
    """The page of the finished run."""
    return report_page([run], 12)


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run without its checkpoints, to change."""
    return shutil.copytree(run, tmp_path / "copy", ignore=shutil.ignore_patterns("*.pt"))


def log_of(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's log."""
    return [json.loads(text) for text in (run / "log.jsonl").read_text().splitlines()]


def write_log(run: Path, lines: list[dict[str, Any]]) -> None:
    """Write a run's log anew."""
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a JSON file."""
    plain = json.loads(path.read_text())
    change(plain)
    path.write_text(json.dumps(plain))


def test_the_page_is_complete_in_itself(text: str) -> None:
    """No link, frame or address anywhere, nothing may be asked for, and pictures are in it."""
    page = RunPage(text)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"link", "iframe", "object", "embed", "base", "form", "video"}
    for tag, attributes in page.elements:
        assert tag != "script" or "src" not in attributes
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "srcset", "action", "poster"):
                assert value.startswith(("data:image/", "#"))
    (policy,) = (m for m in page.all("meta") if m.get("http-equiv"))
    assert policy["content"] == (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    )


def test_the_page_is_well_formed_and_accessible(text: str) -> None:
    """Language, one main heading, none skipped, ids once, links and labels lead somewhere."""
    page = RunPage(text)
    assert page.all("html") == [{"lang": "en"}]
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(set(ids)) == len(ids)
    targets = [a["href"][1:] for a in page.all("a")] + [a["for"] for a in page.all("label")]
    targets += [a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a]
    assert set(targets) <= set(ids)
    assert all(a.get("aria-label") for _, a in page.elements if a.get("role") == "img")
    assert all(img["alt"] and img["width"] and img["height"] for img in page.all("img"))


def test_curves_are_the_logs(text: str, run: Path) -> None:
    """Every point of loss, rate and validation is a line of the log, and the floors are drawn."""
    page, lines = RunPage(text), log_of(run)
    assert page.points("loss", "run") == [[line["step"], line["loss"]] for line in lines]
    assert page.points("lr", "run") == [[line["step"], line["lr"]] for line in lines]
    for name in ("voc2012", "coco2017"):
        val = [(line["step"], line["val"][name]) for line in lines if "val" in line]
        wanted = [[step, 100 * found["mean_iou"]] for step, found in val]
        assert page.points("iou", name) == wanted
    spans = [node["attributes"]["location"] for item in page.charts[:2] for node in
             item["doc"]["roots"][0]["attributes"]["center"] if node["name"] == "Span"]  # fmt: skip
    floors = list(lines[-1]["loss_floors"].values())
    floors += [
        100 * lines[-1]["val"][name]["all_background_iou"] for name in ("voc2012", "coco2017")
    ]
    assert sorted(spans) == pytest.approx(sorted(floors))


def test_results_and_classes_are_those_of_eval(text: str, run: Path, shards: Path) -> None:
    """The table and the bars by class show what `segtrain eval` counts anew."""
    page = RunPage(text)
    _, _, found = evaluate_run(run / "last.pt", shards, "val", "cpu", lambda *_: lambda *_: None)
    for result in found:
        row = page.row(result.dataset)
        assert row[1] == f"{100 * result.scores.mean_iou:.1f}"
        assert row[4:6] == ["12", str(result.images)]
        for known, iou in zip(result.classes, result.scores.iou, strict=True):
            assert iou is None or f"{known.name}{100 * iou:.1f}" in page.text.replace(" ", "")
        matrix = result.confmat.numpy().astype(float)
        np.fill_diagonal(matrix, 0)
        shares = matrix / np.maximum(1, result.confmat.numpy().sum(1, keepdims=True))
        t, p = np.unravel_index(shares.argmax(), shares.shape)
        if shares[t, p] >= 0.02:
            names = [c.name for c in result.classes]
            assert f"{100 * shares[t, p]:.1f} % of {names[t]} is taken for {names[p]}" in page.text


def test_the_page_tells_what_the_run_was(text: str, run: Path) -> None:
    """Options unlike the recipe's, data sets with counts, commit, versions, session and photo."""
    page = RunPage(text)
    plain = json.loads((run / "config.json").read_text())
    assert page.row("--width") == ["--width", "1", "0.06"]
    row = page.row("voc2012", "23")
    assert [*row[:4], row[5]] == ["voc2012", "23", "8", "8", plain["manifests"]["voc2012"][:16]]
    assert plain["commit"] is None or plain["commit"] in page.text
    assert plain["versions"]["torch"] in page.text
    session = json.loads((run / "sessions.jsonl").read_text().splitlines()[0])
    assert page.row(session["at"][:19].replace("T", " "))[3:6] == ["0", "12", "finished"]
    assert "my dog.jpg" in page.text
    assert sum(img.get("data-step", "") == "12" for img in page.all("img")) == 3


def test_equal_folders_give_equal_pages(
    run: Path, text: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    """Neither a new process, its hash seed, what Bokeh made before nor the place changes a byte."""
    again = shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("*.pt"))
    for name in ("best.pt", "last.pt"):
        (again / name).touch()
    here = report_page([again], 12).replace(str(again), str(run))
    assert here == text
    script = (
        "import sys, pathlib; from segtrain.report.page import report_page; "
        "run, page = map(pathlib.Path, sys.argv[1:]); "
        "page.write_bytes(report_page([run], 12).encode())"
    )
    command = [sys.executable, "-c", script, str(run), str(tmp_path / "page")]
    subprocess.run(command, env=environment | {"PYTHONHASHSEED": "7"}, check=True)
    assert (tmp_path / "page").read_text("utf-8") == text


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_page_works_in_a_browser(text: str, tmp_path: Path, width: int, scheme: str) -> None:
    """At both widths nothing is asked for or complained of, nothing overflows, controls work."""
    path = tmp_path / "page.html"
    path.write_text(text, "utf-8")
    with opened(path, width, scheme) as (page, told):
        assert page.evaluate("document.documentElement.scrollWidth") == width
        charts = RunPage(text).charts
        assert page.get_attribute("html", "data-drawn") == str(len(charts))
        background = page.evaluate("Bokeh.index.roots[0].model.background_fill_color")
        assert background == {"light": "#ffffff", "dark": "#181c22"}[scheme]
        slider = page.locator("#photo-1-1-range")
        slider.focus()
        page.keyboard.press("Home")
        assert page.locator("#photo-1-1 output").inner_text() == "step 4"
        assert page.locator("#photo-1-1 .layers img:visible").count() == 2
        page.get_by_role("button", name="images").click()
        assert page.evaluate("Bokeh.index.roots[0].model.x_range.end") > 12 * 4
        page.get_by_role("button", name="last half").click()
        assert page.evaluate("Bokeh.index.roots[0].model.x_range.start") > 20
        page.emulate_media(media="print")
        assert page.locator("nav").is_hidden()
        assert told == []


def test_names_cannot_break_out(copy: Path, tmp_path: Path) -> None:
    """Names of classes, data sets and photos, and words of errors, are shown as they are."""

    def spoil(plain: dict[str, Any]) -> None:
        plain["classes"][1]["name"] = HOSTILE
        plain["config"]["train_split"] = HOSTILE
        plain["manifests"][HOSTILE] = HOSTILE
        plain["commit"] = HOSTILE

    edit(copy / "config.json", spoil)
    edit(copy / "watch" / "photos.json", lambda p: p["photos"][0].update(source=f"a{HOSTILE[8:]}"))
    lines = log_of(copy)
    for line in lines:
        if "val" in line:
            line["val"][HOSTILE] = line["val"]["voc2012"]
    write_log(copy, lines)
    with (copy / "sessions.jsonl").open("a") as file:
        file.write(json.dumps({"event": "ended", "step": 12, "how": "failed", "words": HOSTILE}))
    page = tmp_path / "page.html"
    page.write_text(report_page([copy], 4), "utf-8")
    taken = RunPage(page.read_text("utf-8"))
    assert taken.text.count(HOSTILE) >= 4
    assert {a["src"][:11] for a in taken.all("img")} == {"data:image/"}
    assert len(taken.all("script")) == 3
    with opened(page, 800) as (shown, told):
        shown.mouse.move(400, 800)
        for chart in shown.locator(".chart").all():
            chart.scroll_into_view_if_needed()
            box = chart.bounding_box()
            for part in range(1, 20):
                shown.mouse.move(box["x"] + box["width"] * part / 20, box["y"] + 150)
        assert told == []


def states() -> dict[str, Callable[[Path], None]]:
    """What may become of a run's folder, by what the page then says."""

    def cut(run: Path, step: int) -> None:
        lines = [line for line in log_of(run) if line["step"] <= step]
        write_log(run, lines)
        sessions = (run / "sessions.jsonl").read_text().splitlines()
        (run / "sessions.jsonl").write_text(sessions[0] + "\n")

    def half_line(run: Path) -> None:
        cut(run, 8)
        with (run / "log.jsonl").open("a") as file:
            file.write('{"step": 10, "lo')

    def bare(run: Path) -> None:
        for name in ("pictures", "validations", "watch"):
            shutil.rmtree(run / name)
        (run / "sessions.jsonl").unlink()

    def damaged(run: Path) -> None:
        (run / "validations" / "final-voc2012.npz").write_bytes(b"none")
        (run / "pictures" / "000004-voc2012.png").write_bytes(b"none")
        (run / "watch" / "my dog.png").write_bytes(b"none")
        (run / "eval.json").write_text("{")

    def captured(run: Path) -> None:
        cut(run, 6)
        (run / "nonfinite-000007.pt").touch()
        line = {"event": "ended", "step": 6, "at": "", "how": "failed", "words": "loss became nan"}
        with (run / "sessions.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def no_number(run: Path) -> None:
        lines = log_of(run)
        lines[1]["loss"] = float("nan")
        lines[2]["grad_norm"] = float("inf")
        lines[3]["data_wait"] = None
        write_log(run, lines)

    return {
        "under way, or killed: step 8 of 12": lambda run: cut(run, 8),
        "No validation yet; the first comes at step 4.": lambda run: cut(run, 2),
        "The log has no line yet": lambda run: cut(run, 0),
        "log as a table": half_line,
        "Not recorded by this run": bare,
        "my dog.png: cannot be read as a picture, and is left out": damaged,
        "loss became nan": captured,
        "finished, 12 steps": no_number,
        "On voc2012": lambda run: write_log(run, [
            line | {"val": {n: v | {"all_background_iou": 0.9} for n, v in line["val"].items()},
                    "final": {}} if "val" in line else line for line in log_of(run)]),
    }  # fmt: skip


@pytest.mark.parametrize("words", states())
def test_every_state_of_a_run_gives_a_page(copy: Path, tmp_path: Path, words: str) -> None:
    """Under way, killed, without validations, damaged: the page says so and shows the rest."""
    states()[words](copy)
    text = report_page([copy], 4)
    assert words in RunPage(text).text
    page = tmp_path / "page.html"
    page.write_text(text, "utf-8")
    if words in ("finished, 12 steps", "The log has no line yet"):
        with opened(page, 390) as (shown, told):
            assert shown.evaluate("document.documentElement.scrollWidth") == 390
            assert told == []


def test_captures_name_their_command(copy: Path) -> None:
    """A kept step of NaN comes with the command that looks into it."""
    (copy / "nonfinite-000007.pt").touch()
    assert "segtrain replay" in RunPage(report_page([copy], 0)).text


def test_an_evaluation_in_the_folder_is_shown(copy: Path, run: Path, shards: Path) -> None:
    """What eval wrote as eval.json into the folder stands beside the run's own judgement."""
    path, checkpoint, found = evaluate_run(
        run / "best.pt", shards, "val", "cpu", lambda *_: lambda *_: None, views=Views((1.0,), True)
    )
    plain = plain_results(path, checkpoint, found, Views((1.0,), True))
    (copy / "eval.json").write_text(json.dumps(plain))
    (copy / "eval-batch.json").write_text(json.dumps(plain | {"statistics": "batch"}))
    text = RunPage(report_page([copy], 0)).text
    assert "judged by segtrain eval, val, several views (eval.json)" in text
    assert "val, several views, batch statistics (eval-batch.json)" in text
    plain["datasets"]["voc2012"]["classes"].pop()
    (copy / "eval.json").write_text(json.dumps(plain))
    assert "eval.json: is not complete" in RunPage(report_page([copy], 0)).text


def test_several_runs_are_compared(run: Path, tiny: Options, shards: Path, tmp_path: Path) -> None:
    """Results side by side, the options that differ, and the difference that compare finds."""
    other = tmp_path / "other"
    start(tiny | {"shards": shards, "out": other, "lr": 0.05, "val_every": 4, "val_images": 0})
    page = RunPage(report_page([run, other], 2))
    assert page.row("--lr") == ["--lr", "0.02", "0.05"]
    assert not any(row and row[0] == "--width" for row in page.rows[:20] if len(row) == 3)
    assert page.points("loss", "other") == [[li["step"], li["loss"]] for li in log_of(other)]
    files = (run / "last.pt", other / "last.pt")
    _, found = compare_runs(files, shards, "val", "cpu", lambda *_: lambda *_: None, views=Views())
    for compared in found:
        row = page.row("run", "other", compared.first.dataset)
        assert row[3] == str(compared.first.images)
        assert row[6] == f"{100 * compared.difference:+.1f}"
        assert row[8] == "too few images to tell"
    shutil.rmtree(other / "validations")
    told = RunPage(report_page([run, other], 0)).text
    assert "other kept no counts of its validations" in told
    assert f"segtrain compare {run} {other}" in told


def test_runs_of_one_name_are_told_apart(copy: Path, tmp_path: Path) -> None:
    """Runs of equal names get those of the folders above; one run twice is refused."""
    again = shutil.copytree(copy, tmp_path / "b" / "copy")
    assert f"{tmp_path.name}/copy" in RunPage(report_page([copy, again], 0)).text
    with pytest.raises(RunError, match="named twice"):
        report_page([copy, copy], 0)


def test_a_staged_run_is_shown_by_its_stages(tiny: Options, shards: Path, tmp_path: Path) -> None:
    """The stages are compared each with the one before, and their curves follow one another."""
    out = tmp_path / "staged"
    start_stages(
        tiny | {"shards": shards, "out": out, "variant": "16s", "staged": True, "steps": 6}
    )
    page = RunPage(report_page([out], 2))
    assert "staged" in page.text
    assert page.points("loss", "FCN-16s")[0][0] == 6 + log_of(out / "16s")[0]["step"]
    assert page.row("FCN-32s", "FCN-16s")[2] == "voc2012"


def test_no_run_is_a_clear_error(tmp_path: Path, copy: Path) -> None:
    """A folder without a run, none at all, and damaged options are errors with the path."""
    for folder, words in (
        (tmp_path / "none", "there is no such folder"),
        (tmp_path, "holds no run"),
    ):
        with pytest.raises(RunError, match=words):
            report_page([folder], 0)
    (copy / "config.json").write_text('{"config": {')
    with pytest.raises(RunError, match="is damaged"):
        report_page([copy], 0)


def test_the_command_writes_whole_pages_or_none(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page lies in the run's folder, or where -o says; an error leaves the old one."""
    report([copy], None, 0)
    assert capsys.readouterr().out == f"{copy / 'report.html'}\n"
    old = (copy / "report.html").read_bytes()
    (copy / "config.json").write_text("{")
    monkeypatch.setattr(sys, "argv", ["segtrain", "report", str(copy)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert (copy / "report.html").read_bytes() == old
    with pytest.raises(UsageError, match="name it with -o"):
        report([copy, tmp_path], None, 0)
    with pytest.raises(UsageError, match="-o -: a page"):
        report([copy], Path("-"), 0)
    with pytest.raises(RunError, match="there is no folder"):
        report([copy], tmp_path / "no" / "page.html", 0)


def test_a_failed_run_tells_why(tiny: Options, shards: Path, tmp_path: Path) -> None:
    """A run that NaN ended has its error, its capture and the replay on its page."""
    out = tmp_path / "run"
    with pytest.raises(NonFiniteError):
        start(tiny | {"shards": shards, "out": out, "lr": 1e30, "norm": "none", "optimizer": "sgd"})
    text = RunPage(report_page([out], 0)).text
    assert "failed at step" in text
    assert "hold the steps; segtrain replay" in text


@given(st.lists(st.floats(allow_nan=True), min_size=1, max_size=400), st.integers(8, 60))
def test_thinning_keeps_ends_and_peaks(values: list[float], most: int) -> None:
    """Few points stay, in order, with both ends, the lowest and the highest."""
    kept = thinned(values, most)
    assert kept == sorted(set(kept))
    assert len(kept) <= max(most, 8)
    assert {0, len(values) - 1} <= set(kept)
    finite = [v for v in values if np.isfinite(v)]
    if finite:
        shown = [values[i] for i in kept if np.isfinite(values[i])]
        assert (min(shown), max(shown)) == (min(finite), max(finite))


def test_long_logs_give_small_pages(copy: Path) -> None:
    """Ten thousand lines are drawn by some thousand points, among them the one peak."""
    first = log_of(copy)[0]
    lines = [first | {"step": n, "loss": 1.0 + (n == 6543) * 7} for n in range(1, 10_001)]
    write_log(copy, lines)
    page = RunPage(report_page([copy], 0))
    points = page.points("loss", "copy")
    assert [6543, 8.0] in points
    assert len(points) <= 2000
    assert len(page.row("1")) == 8


@given(st.integers(1, 60), st.integers(0, 12), st.data())
def test_strips_keep_first_last_and_best(count: int, most: int, data: st.DataObject) -> None:
    """Of many steps so many are shown: the last, then the first, then the best, as they fit."""
    steps = [10 * n for n in range(1, count + 1)]
    best = data.draw(st.sampled_from(steps))
    shown = chosen(steps, most, [best])
    assert shown == sorted(set(shown))
    assert len(shown) == min(most, count)
    assert steps[-1] in shown or most == 0
    assert steps[0] in shown or most < 2
    assert best in shown or most < 3


def test_the_real_data_give_a_page(real_shards: Path, tmp_path: Path) -> None:
    """A run on real photos of 21 classes has all its parts on the page."""
    out = tmp_path / "run"
    start({"shards": real_shards, "out": out, "width": 0.06, "crop": 96, "batch": 2, "steps": 4,
           "log_every": 1, "val_every": 2, "val_images": 4, "workers": 0, "threads": 1,
           "device": "cpu"})  # fmt: skip
    page = RunPage(report_page([out], 3))
    assert "when each class was learnt" in page.text
    assert "tvmonitor" in page.text
    assert (out / "validations" / "final-voc2012.npz").stat().st_size < 100_000


JUNK = st.sampled_from([None, True, -1, 1e999, 10**400, "x", [], [0], [None], {}, {"x": None}])


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:  # noqa: ANN401 - JSON
    """Where every value of a nest is, without what lies in long lists."""
    items = node.items() if isinstance(node, dict) else enumerate(node[:2])
    found = []
    for key, value in items:
        found.append((*path, key))
        if isinstance(value, dict | list):
            found += places(value, (*path, key))
    return found


def test_a_step_that_is_no_number_ends_the_log(run: Path, copy: Path) -> None:
    """A line whose step is `true` is where the log ends for the page."""
    first, *_ = (run / "log.jsonl").read_text().splitlines()
    broken = json.dumps(json.loads(first) | {"step": True})
    (copy / "log.jsonl").write_text(f"{first}\n{broken}\n")
    assert RunPage(report_page([copy], 0)).text


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_files_that_somebody_changed_never_crash(
    run: Path, copy: Path, data: st.DataObject
) -> None:
    """Junk at any place of a file gives a page or an error that names the file."""
    name = data.draw(st.sampled_from(["config.json", "log.jsonl", "sessions.jsonl", "eval.json"]))
    for file in ("config.json", "log.jsonl", "sessions.jsonl"):
        shutil.copyfile(run / file, copy / file)
    if name == "eval.json":
        lines = [evaluation(run)]
    else:
        text = (run / name).read_text()
        lines = [json.loads(t) for t in ([text] if name == "config.json" else text.splitlines())]
    *above, last = data.draw(st.sampled_from(places(lines)))
    node: Any = lines
    for key in above:
        node = node[key]
    node[last] = data.draw(JUNK)
    (copy / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    with contextlib.suppress(RunError) if name == "config.json" else contextlib.nullcontext():
        assert RunPage(report_page([copy], 0)).text


def evaluation(run: Path) -> dict[str, Any]:
    """What eval writes, made of what the run kept."""
    kept = {n: read_counts(run / "validations" / f"final-{n}.npz") for n in ("voc2012", "coco2017")}
    plain = {name: one.result.plain() for name, one in kept.items()}
    views = {"scales": [1.0], "flip": False}
    return {"format": "segtrain-eval/1", "step": 12, "views": views, "datasets": plain}


def test_doctors_findings_and_notes_are_shown(copy: Path) -> None:
    """A doctor's report in the folder, and what the watch told in a session, stand on the page."""
    finding = {"rule": "dead-layers", "severity": "fatal", "verdict": "<i>Nothing</i> learns.",
               "evidence": "Zeros.", "remedy": "--conv-init he"}  # fmt: skip
    (copy / "doctor.json").write_text(json.dumps({"fatal": True, "findings": [finding]}))
    note = {"event": "note", "step": 5, "at": "", "words": "fc6 is dead; `segtrain doctor` tells"}
    with (copy / "sessions.jsonl").open("a") as file:
        file.write(json.dumps(note) + "\n")
    text = report_page([copy], 0)
    assert "fatal: dead-layers. <i>Nothing</i> learns. Zeros. --conv-init he" in RunPage(text).text
    assert "Told at step 5: fc6 is dead; <code>segtrain doctor</code> tells" in text


def test_paired_differences_pair_the_images(run: Path, copy: Path, tmp_path: Path) -> None:
    """In whatever order two runs judged their images, each is compared with itself."""
    other = shutil.copytree(copy, tmp_path / "other")
    for name in ("voc2012", "coco2017"):
        path = other / "validations" / f"final-{name}.npz"
        kept = read_counts(path).result
        turned = kept.counted.images.taken(np.arange(kept.images)[::-1])
        changed = dataclasses.replace(kept, counted=Counted(kept.confmat, turned))
        as_file(changed, 12)(path)
    page = RunPage(report_page([run, other], 0))
    assert page.row("run", "other", "voc2012")[6:9] == ["+0.0", "-", "both predict the same"]
    path = other / "validations" / "final-voc2012.npz"
    few = kept.counted.images.taken(np.arange(3))
    fewer = dataclasses.replace(
        kept, dataset="voc2012", counted=Counted(torch.diag(torch.tensor(few.targets.sum(0))), few)
    )
    as_file(fewer, 12)(path)
    told = RunPage(report_page([run, other], 0)).text
    assert "Not known: they were judged on different images." in told
