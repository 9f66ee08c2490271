"""docs/doctor.md tells of the rules that there are."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """tools/doctor_page.py, loaded."""
    spec = importlib.util.spec_from_file_location("doctor_page", ROOT / "tools" / "doctor_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_fresh(script: ModuleType) -> None:
    """The list of rules in the docs is what the script would write now."""
    page = script.PAGE.read_text("utf-8")
    assert script.with_rules(page) == page, "run: python tools/doctor_page.py"


def test_only_the_list_is_written(script: ModuleType) -> None:
    """What stands around the marks is kept; a page without them is refused."""
    page = script.with_rules(f"before\n{script.BEGIN}\nan old list\n{script.END}\nafter\n")
    assert page.startswith(f"before\n{script.BEGIN}\n\n### ")
    assert page.endswith(f"\n{script.END}\nafter\n")
    assert "an old list" not in page
    with pytest.raises(ValueError, match="has no"):
        script.with_rules("no marks")
