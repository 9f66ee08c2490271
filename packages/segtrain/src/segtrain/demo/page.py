"""The page, by Streamlit: a photo is sent, its overlay, legend and shares are shown."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from segtrain.demo.answers import Answer, Answerer, encoded
from segtrain.demo.facts import Facts
from segtrain.errors import PhotoError
from segtrain.overlays import OPACITY, Entry
from segtrain.terminal import percent, print_error

CAMERA = 640  # pixels of its picture on the page, at most
VIEWS = ("Overlay", "Mask", "Side by side")
STYLE = """<style>
.stMainBlockContainer { max-width: 76rem; padding-top: 2.5rem; padding-bottom: 3rem; }
h1 { font-size: clamp(1.7rem, 5vw, 2.5rem) !important; }
[data-testid="stImage"] img { max-height: 78vh; object-fit: contain; }
table.legend { width: 100%; border-collapse: collapse; }
table.legend td { padding: 0.3rem 0.4rem; border-bottom: 1px solid rgba(128, 128, 128, 0.25); }
table.legend td:last-child { text-align: right; font-variant-numeric: tabular-nums; }
.swatch { display: inline-block; width: 1em; height: 1em; margin-right: 0.6em;
  border: 1px solid rgba(128, 128, 128, 0.8); border-radius: 0.2em; vertical-align: -0.12em; }
.known { display: flex; flex-wrap: wrap; gap: 0.4rem 1.2rem; }
</style>"""


@dataclass(frozen=True)
class Demo:
    """The net that the page shows, and what is said of it."""

    answerer: Answerer
    facts: Facts


# Streamlit runs the page's script as a file of its own, so the net waits for it here
opened: list[Demo] = []


def open_demo() -> Demo:
    """The demo that this process serves.

    Raises:
        IndexError: If it serves none.
    """
    return opened[-1]


def show(demo: Demo) -> None:
    """The whole page, from above to below."""
    st.set_page_config(page_title="segtrain demo", layout="wide")
    st.html(STYLE)
    st.title("What the net sees in a photo")
    st.caption(escaped(f"{demo.facts.net} · {demo.facts.judged} · {demo.facts.computing}"))
    for caution in demo.facts.cautions:
        st.warning(escaped(caution))
    sent = ask_photo(demo)
    if sent is None:
        show_classes(demo)
        return
    found = answered(demo.answerer, sent)
    if isinstance(found, str):
        st.error(escaped(found))
    else:
        show_answer(demo.answerer, found)


def ask_photo(demo: Demo) -> UploadedFile | None:
    """Ask for a photo, of the disk or the camera; what was sent, or None."""
    limits = demo.answerer.limits
    source = st.radio("Photo from", ("a file", "the camera"), horizontal=True)
    if source == "the camera":
        return st.camera_input(
            "Take a photo. The browser asks whether it may use the camera; over a network it "
            "offers none, for this page is not encrypted.",
            width=CAMERA,
        )
    return st.file_uploader(
        "Drop a photo here or choose one: JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF, of at most "
        f"{limits.megabytes} MB and {limits.megapixels} megapixels. It stays in the memory of the "
        "computer that runs this page, and is stored nowhere."
    )


def answered(answerer: Answerer, sent: UploadedFile) -> Answer | str:
    """The answer about a photo, or what is wrong with it; kept until another one is sent."""
    kept: tuple[str, Answer | str] | None = st.session_state.get("answered")
    if kept is not None and kept[0] == sent.file_id:
        return kept[1]
    st.session_state.pop("answered", None)  # so that two photos are never held
    waits = answerer.lock.locked()
    with st.spinner("Another photo is being predicted; yours is next." if waits else "Looking …"):
        found = tried(answerer, sent)
        st.session_state["answered"] = (sent.file_id, found)
    return found


def tried(answerer: Answerer, sent: UploadedFile) -> Answer | str:
    """The answer about a photo, or what is wrong with it."""
    try:
        return answerer.answer(sent.getvalue(), sent.name)
    except PhotoError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - such as no memory left: told, and the page goes on
        message = f"the photo could not be predicted ({type(error).__name__}: {error})"
        print_error(f"{message}; if memory is short, a smaller --max-side needs less")
        return f"T{message[1:]}. The terminal says more."


def show_classes(demo: Demo) -> None:
    """Which classes the net knows, while there is no photo."""
    swatches = "".join(
        f"<span>{swatch(known.color)}{html.escape(known.name)}</span>"
        for known in demo.answerer.classes[1:]
    )
    count = len(demo.answerer.classes) - 1
    st.markdown(f"**The net knows {count} classes, and the background:**")
    st.html(f'<div class="known">{swatches}</div>')


def show_answer(answerer: Answerer, answer: Answer) -> None:
    """A photo's prediction: pictures, legend, downloads."""
    pictures, words = st.columns([2, 1], gap="large")
    with pictures:
        view = st.radio("View", VIEWS, horizontal=True, label_visibility="collapsed")
        above = st.container()
        opacity = round(100 * OPACITY)
        if view == "Overlay":
            opacity = st.slider("Opacity of the colours", 0, 100, opacity, 5, format="%d %%")
        with above:
            show_pictures(answerer, answer, view, opacity / 100)
    with words:
        width, height = answer.size
        st.markdown(f"**{width:,} x {height:,} pixels**")
        for note in answer.notes:
            st.caption(escaped(note))
        st.html(legend(answer.entries))
        offer_files(answerer, answer, opacity / 100)


def show_pictures(answerer: Answerer, answer: Answer, view: str, opacity: float) -> None:
    """The pictures of a view."""
    if view == "Overlay":
        drawn = answerer.overlay(answer, opacity)
        st.image(encoded(drawn, "JPEG", quality=90), width="stretch")
    elif view == "Mask":
        st.image(encoded(answerer.colored(answer), "PNG"), width="stretch")
    else:
        left, right = st.columns(2)
        left.image(encoded(answer.photo, "JPEG", quality=90), width="stretch")
        right.image(encoded(answerer.colored(answer), "PNG"), width="stretch")


def offer_files(answerer: Answerer, answer: Answer, opacity: float) -> None:
    """Downloads; what has to be drawn for one is drawn when it is asked for."""
    name = answer.name
    st.download_button(
        "Mask: class ids as grey values (PNG)", answer.mask, f"{name}.png", "image/png",
        on_click="ignore", width="stretch",
    )  # fmt: skip
    st.download_button(
        "Mask in colours (PNG)", lambda: answerer.colored_file(answer), f"{name}.colours.png",
        "image/png", on_click="ignore", width="stretch",
    )  # fmt: skip
    st.download_button(
        "Overlay with legend (JPEG)", lambda: answerer.overlay_file(answer, opacity),
        f"{name}.overlay.jpg", "image/jpeg", on_click="ignore", width="stretch",
    )  # fmt: skip


def legend(entries: Sequence[Entry]) -> str:
    """A table of classes, their colours and shares, as HTML."""
    rows = "".join(
        f"<tr><td>{swatch(entry.color)}{html.escape(entry.name)}</td>"
        f"<td>{'&lt;0.1' if entry.share < 0.001 else percent(entry.share)} %</td></tr>"
        for entry in entries
    )
    return f'<table class="legend">{rows}</table>'


def swatch(color: tuple[int, int, int]) -> str:
    """A square of a colour, as HTML."""
    return f'<span class="swatch" style="background: #{bytes(color).hex()}"></span>'


def escaped(text: str) -> str:
    """A text whose every sign stands for itself in Markdown; a file's name must draw nothing."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", " ".join(text.split()))
