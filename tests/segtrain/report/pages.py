"""Reading pages in tests: taken apart, and opened in a browser."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.pages import Page

CHROMIUMS = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")


class RunPage(Page):
    """The page of a run, with its charts."""

    @property
    def charts(self) -> list[dict[str, Any]]:
        """What Bokeh draws."""
        found: list[dict[str, Any]] = json.loads(self.scripts[0])
        return found

    def points(self, key: str, name: str) -> list[list[float]]:
        """Step and value of each point of a curve that is drawn."""
        item = next(item for item in self.charts if item["target_id"] == key)
        found = [node for node in walked(item) if node.get("name") == "GlyphRenderer"
                 and node["attributes"].get("name") == name]  # fmt: skip
        data = dict(found[0]["attributes"]["data_source"]["attributes"]["data"]["entries"])
        return [list(pair) for pair in zip(data["step"], data["value"], strict=True)]


def walked(node: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - JSON
    """Every object of a nest."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from walked(value)
    elif isinstance(node, list):
        for value in node:
            yield from walked(value)


@contextmanager
def opened(path: Path, width: int, scheme: str = "light") -> Iterator[tuple[Any, list[str]]]:
    """A page in Chromium, drawn, and what it complained of or asked for; skips without one.

    Args:
        path: The page.
        width: Of the window in pixels.
        scheme: `light` or `dark`.
    """
    playwright = pytest.importorskip("playwright.sync_api")
    binary = next((place for place in CHROMIUMS if Path(place).exists()), None)
    if binary is None:
        pytest.skip(f"no Chromium at {', '.join(CHROMIUMS)}")
    told: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=binary, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        page.on("console", lambda m: told.append(m.text) if m.type in ("error", "warning") else 0)
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("dialog", lambda dialog: told.append(dialog.message))
        page.on("request", lambda asked: told.append(asked.url) if not own(asked.url) else 0)
        page.goto(path.resolve().as_uri())
        page.wait_for_selector("html[data-drawn]", timeout=60_000)
        yield page, told
        browser.close()


def own(url: str) -> bool:
    """Whether an address is in the page or the page itself."""
    return url.startswith(("data:", "file:"))
