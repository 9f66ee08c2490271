"""docs/doctor.md tells of the rules that there are."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_page_is_fresh() -> None:
    """The list of rules in the docs is what tools/doctor_page.py would write now."""
    script = ROOT / "tools" / "doctor_page.py"
    done = subprocess.run([sys.executable, script, "--check"], check=False)
    assert done.returncode == 0, "run: python tools/doctor_page.py"
