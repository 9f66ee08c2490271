"""`segtrain demo` in a browser: the command, its server and its page as a user meets them."""

import base64
import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import numpy as np
import pytest
from PIL import Image

playwright = pytest.importorskip("playwright.sync_api")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
LONG = 60_000  # milliseconds; a busy machine is slow, and nothing waits so long for a success
DROP = """([file]) => {
  const data = new DataTransfer();
  const bytes = Uint8Array.from(atob(file.content), (c) => c.charCodeAt(0));
  data.items.add(new File([bytes], file.name, { type: file.type }));
  return data;
}"""
MakePhoto = Callable[..., bytes]


@dataclass
class Served:
    """A running `segtrain demo`.

    Attributes:
        process: The command.
        address: Of its page.
        folders: Its current folder, home and folder for temporary files; empty at first.
        asked: Every address that the browser asked for.
    """

    process: subprocess.Popen[str]
    address: str
    folders: Path
    asked: set[str] = field(default_factory=set)

    def files(self) -> list[Path]:
        """The files in its folders."""
        return [path for path in self.folders.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def served(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The trained run's page, by a process that may write no kilobyte to any file."""
    folders = tmp_path_factory.mktemp("folders")
    environment = dict(os.environ, OMP_NUM_THREADS="1", COLUMNS="200")
    for name in ("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP"):
        environment[name] = str(folders / name)
        (folders / name).mkdir()
    words = [sys.executable, "-m", "segtrain", "demo", str(trained.resolve()), "--port", "0"]
    words += ["--max-megabytes", "2"]
    if os.name == "posix":
        words = ["sh", "-c", 'ulimit -f 1; exec "$@"', "sh", *words]
    with subprocess.Popen(
        words, cwd=folders, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(2)]
            address = re.search(r"http://127\.0\.0\.1:\d+", lines[1])
            assert address, (lines, process.stderr and process.stderr.read())
            yield Served(process, address[0], folders)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """A Chromium of this machine, with a camera that is none."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"there is no Chromium here ({', '.join(BROWSERS)})")
    switches = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=path, args=["--no-sandbox", *switches])
        yield found
        found.close()


@pytest.fixture
def tab(browser: object, served: Served) -> Iterator[object]:
    """The page, open in a profile of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(LONG)
    tab = opened(context, served)
    yield tab
    context.close()


def opened(context: object, served: Served) -> object:
    """A new tab with the page; a dialog would be a script of somebody else."""
    tab = context.new_page()
    tab.on("request", lambda request: served.asked.add(request.url))
    tab.on("websocket", lambda socket: served.asked.add(socket.url))
    tab.on("dialog", lambda dialog: served.asked.add(f"dialog:{dialog.message}"))
    tab.goto(served.address)
    tab.get_by_text("The net knows 3 classes").wait_for()
    return tab


def choose(tab: object, data: bytes, name: str = "photo.png") -> None:
    """Send a photo by the file chooser."""
    file = {"name": name, "mimeType": "application/octet-stream", "buffer": data}
    tab.locator("input[type=file]").set_input_files(file)


def size_shown(tab: object, width: int, height: int) -> None:
    """Wait until the answer about a photo of this size stands there, with picture and legend."""
    tab.get_by_text(f"{width:,} x {height:,} pixels").wait_for()
    tab.locator("table.legend tr").first.wait_for()
    tab.wait_for_function(
        "() => [...document.querySelectorAll('[data-testid=stImage] img')]"
        ".some((image) => image.complete && image.naturalWidth > 0)"
    )


def test_a_photo_by_chooser_and_by_drop(
    tab: object, trained: Path, make_photo: MakePhoto, tmp_path: Path
) -> None:
    """A photo gets picture, legend and downloads that are the net's word; one dropped, too."""
    from segtrain.predict import Manner, predict_photos

    photo = tmp_path / "holiday.png"
    photo.write_bytes(make_photo("PNG", (300, 200)))
    list(predict_photos(trained, [photo], tmp_path / "out", Manner(), "cpu"))
    choose(tab, photo.read_bytes(), photo.name)
    size_shown(tab, 300, 200)
    names = []
    for button in tab.get_by_test_id("stDownloadButton").all():
        with tab.expect_download() as started:
            button.get_by_role("button").click()
        names.append(started.value.suggested_filename)
        started.value.save_as(tmp_path / names[-1])
    assert names == ["holiday.png", "holiday.colours.png", "holiday.overlay.jpg"]
    expected = (tmp_path / "out" / "holiday.png").read_bytes()
    assert (tmp_path / "holiday.png").read_bytes() == expected
    ids = np.asarray(Image.open(io.BytesIO(expected)))
    with Image.open(tmp_path / "holiday.colours.png") as colored:
        np.testing.assert_array_equal(np.asarray(colored), ids)
    with Image.open(tmp_path / "holiday.overlay.jpg") as overlay:
        assert overlay.format == "JPEG"
    tab.get_by_text("Side by side").click()
    playwright.expect(tab.get_by_test_id("stImage").locator("img")).to_have_count(2)

    content = base64.b64encode(make_photo("JPEG", (222, 111))).decode()
    file = {"name": "dropped.jpg", "type": "image/jpeg", "content": content}
    data = tab.evaluate_handle(DROP, [file])
    tab.dispatch_event("[data-testid=stFileUploaderDropzone]", "drop", {"dataTransfer": data})
    size_shown(tab, 222, 111)


def test_hostile_files_are_told_and_the_page_goes_on(
    tab: object, make_photo: MakePhoto, bomb: bytes, svg: bytes
) -> None:
    """Text, bombs, cut and scripted files get a message each; the next photo gets its answer."""
    jpeg = make_photo("JPEG", (300, 200))
    hostile = "<img src=x onerror=alert(1)>![](http://192.0.2.1/x.png).jpg"
    cases = [
        (b"just text", "notes.jpg", "notes.jpg: is no image of the kinds taken"),
        (bomb, "bomb.png", "bomb.png: has more than 50,000,000 pixels"),
        (jpeg[: len(jpeg) // 2], "cut.jpg", "cut.jpg: cannot be decoded"),
        (svg, "script.svg", "script.svg: is no image of the kinds taken"),
        (b"not this", hostile, "x.png).jpg: is no image of the kinds taken"),
    ]
    for data, name, words in cases:
        choose(tab, data, name)
        tab.get_by_test_id("stAlert").get_by_text(words).wait_for()
        assert tab.locator("table.legend").count() == 0
        assert tab.title() == "segtrain demo"
    choose(tab, bytes(2 * 2**20 + 1), "large.png")
    told = tab.get_by_text(re.compile("must be 2.*MB or smaller")).first  # shown on hovering, too
    told.wait_for(state="attached")
    choose(tab, make_photo("PNG", (64, 48)), hostile)
    size_shown(tab, 64, 48)
    with tab.expect_download() as started:
        tab.get_by_test_id("stDownloadButton").first.get_by_role("button").click()
    assert re.fullmatch(r"[\w.-]+\.png", started.value.suggested_filename)


def test_a_photo_by_camera(tab: object) -> None:
    """The camera's picture is predicted like any photo."""
    tab.get_by_text("the camera", exact=True).click()
    shutter = tab.get_by_role("button", name="Take Photo")
    tab.wait_for_function("() => document.querySelector('video')?.videoWidth > 0")
    playwright.expect(shutter).to_be_enabled()
    taken = tab.get_by_role("button", name="Clear photo")
    for _ in range(5):  # a click before the camera's first picture takes none
        shutter.click()
        with contextlib.suppress(playwright.TimeoutError):
            taken.wait_for(timeout=LONG / 5)
            break
    tab.locator("table.legend tr").first.wait_for()


def test_two_visitors_at_once(tab: object, served: Served, make_photo: MakePhoto) -> None:
    """Two who send photos together get each the answer about their own; none of it is written."""
    other = opened(tab.context, served)
    noise = np.random.default_rng(1).integers(0, 256, (600, 900, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(noise).save(data, "PNG")
    assert 1.5 * 2**20 < len(data.getvalue()) < 2 * 2**20  # Starlette would spool it to disk
    choose(tab, data.getvalue(), "noise.png")
    choose(other, make_photo("PNG", (70, 50)))
    size_shown(other, 70, 50)
    size_shown(tab, 900, 600)
    assert served.files() == []


def refused(address: str, **headers: str) -> int:
    """The status that a request gets."""
    try:
        with urlopen(Request(address, headers=headers), timeout=60) as answer:  # noqa: S310 - http
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code


def test_other_pages_are_refused(served: Served) -> None:
    """Requests under another name, and from another page, get 403; the page's own get through."""
    assert refused(served.address) == 200
    assert refused(served.address, Host="evil.example") == 403
    assert refused(served.address, Origin="http://evil.example") == 403
    upload = f"{served.address}/_stcore/upload_file/a/b"
    put = Request(upload, data=b"x", method="PUT")  # noqa: S310 - http
    with pytest.raises(HTTPError) as caught:
        urlopen(put, timeout=60)  # noqa: S310 - http
    with caught.value as error:
        assert error.code == 403  # no token of the page


def test_nothing_leaves_and_nothing_is_left(served: Served) -> None:
    """The browser asked this server alone; Ctrl-C ends it with 130, no traceback, and no file."""
    schemes = {"http", "https", "ws", "wss"}
    hosts = {urlsplit(url).netloc for url in served.asked if urlsplit(url).scheme in schemes}
    assert hosts == {urlsplit(served.address).netloc}
    assert not [url for url in served.asked if url.startswith("dialog:")]
    if os.name == "posix":
        served.process.send_signal(signal.SIGINT)
        out, err = served.process.communicate(timeout=120)
        assert (served.process.returncode, out) == (130, "")
        assert err == "note: the page is closed\n"
    assert served.files() == []
