"""Tests of segtrain.demo.page, run by Streamlit's own harness without a browser."""

import io
import re
from collections.abc import Callable, Iterator

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from segtrain.demo import page, script
from segtrain.demo.answers import Answerer
from segtrain.demo.facts import Facts
from segtrain.demo.page import Demo, escaped

MakePhoto = Callable[..., bytes]
FACTS = Facts("FCN-8s, step 9", "runs/*a*/best.pt", "mean IoU 8.0 %", "cpu", ("It is *weak*.",))


@pytest.fixture
def app(answerer: Answerer) -> Iterator[AppTest]:
    """The page as a first visitor gets it."""
    page.opened.append(Demo(answerer, FACTS))
    yield AppTest.from_file(script.__file__, default_timeout=60).run()
    page.opened.clear()


def send(app: AppTest, data: bytes, name: str = "photo.png") -> AppTest:
    """Send a photo."""
    app.file_uploader[0].set_value((name, data, "image/png"))
    return app.run()


def html_of(app: AppTest) -> str:
    """All raw HTML of the page."""
    return " ".join(element.proto.body for element in app.get("html"))


def shares_of(app: AppTest) -> list[tuple[str, str]]:
    """The rows of the legend."""
    return re.findall(r"</span>([^<]+)</td><td>([^<]+)</td>", html_of(app))


def test_the_page_says_what_the_net_is(app: AppTest) -> None:
    """Before any photo: the run's line, its cautions with every sign as it is, the classes."""
    assert not app.exception
    assert app.caption[0].value == escaped("FCN-8s, step 9 · mean IoU 8.0 % · cpu")
    assert [warning.value for warning in app.warning] == [r"It is \*weak\*\."]
    assert "knows 3 classes" in app.markdown[0].value
    assert all(name in html_of(app) for name in ("disc", "square", "stripes"))


def test_a_photo_gets_its_legend(app: AppTest, make_photo: MakePhoto) -> None:
    """A photo's classes stand with their shares, the largest first; another photo replaces it."""
    data = io.BytesIO()
    photo = Image.new("RGB", (100, 50), "red")
    photo.paste((0, 0, 255), (0, 0, 30, 50))
    photo.save(data, "PNG")
    send(app, data.getvalue())
    assert not app.exception
    assert shares_of(app) == [("disc", "70.0 %"), ("stripes", "30.0 %")]
    assert "100 x 50 pixels" in app.markdown[0].value
    assert len(app.get("image")) == 1
    assert len(app.get("download_button")) == 3
    send(app, make_photo("JPEG", (33, 44)))
    assert "33 x 44 pixels" in app.markdown[0].value


def test_views_need_no_second_prediction(
    app: AppTest, make_photo: MakePhoto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opacity and views change pictures alone: the net is asked once for each photo."""
    asked = []
    real = Answerer.answer
    monkeypatch.setattr(Answerer, "answer", lambda *a: asked.append(a[1]) or real(*a))
    send(app, make_photo("PNG"))
    (slider,) = app.slider
    assert slider.value == 55
    slider.set_value(20).run()
    app.radio[1].set_value("Mask").run()
    assert not app.slider
    app.radio[1].set_value("Side by side").run()
    assert len(app.get("image")) == 2
    assert not app.exception
    assert len(asked) == 1


def test_what_is_wrong_is_told_and_the_page_goes_on(
    app: AppTest, make_photo: MakePhoto, svg: bytes, bomb: bytes
) -> None:
    """A file that is no photo gets one error with its name, and the next photo its answer."""
    for data, words in ((svg, "is no image"), (bomb, "more than"), (b"text", "is no image")):
        send(app, data, "![](https://example.org/x.png).jpg")
        assert not app.exception
        (error,) = app.error
        assert words in error.value.replace("\\", "")
        assert "![" not in error.value
        assert not shares_of(app)
    send(app, make_photo("PNG"))
    assert not app.error
    assert shares_of(app)


def test_a_failing_net_is_told_and_the_page_goes_on(
    app: AppTest,
    make_photo: MakePhoto,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Where a prediction fails, page and terminal say so without a traceback."""
    with monkeypatch.context() as broken:

        def fail(*_: object) -> None:
            raise RuntimeError("CUDA out of memory")

        broken.setattr("segtrain.predictor.Predictor.logits", fail)
        send(app, make_photo("PNG"))
    (error,) = app.error
    assert "could not be predicted" in error.value
    assert "out of memory" in error.value
    assert not app.exception
    told = capsys.readouterr().err
    assert "--max-side" in told
    assert "Traceback" not in told
    send(app, make_photo("PNG", (50, 40)))
    assert not app.error
    assert shares_of(app)


def test_the_camera_is_asked_for_only_when_chosen(app: AppTest) -> None:
    """The camera's part comes with its choice; before, the browser is not asked."""
    assert not app.get("camera_input")
    app.radio[0].set_value("the camera").run()
    assert len(app.get("camera_input")) == 1
    assert not app.get("file_uploader")


def test_markdown_of_others_stands_for_itself() -> None:
    """Every sign that Markdown knows is escaped, and line ends are blanks."""
    assert escaped("a_b *c*\n# d") == r"a\_b \*c\* \# d"
    assert escaped(":red[x] $y$ <b>") == r"\:red\[x\] \$y\$ \<b\>"
