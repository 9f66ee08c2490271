"""A short form of tools/kill_run.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "kill_run.py"


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_a_killed_run_ends_as_one_that_was_never_killed(
    shards: Path, environment: dict[str, str]
) -> None:
    """Killed with SIGKILL alone and as a group, with other numbers of workers: the same bits."""
    words = ["--kills=2", "--seed=3", "--steps=24", f"--shards={shards}"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kills: 2 (run 1, group 1, worker 0, term 0)" in done.stdout
    assert "logs, tables, pictures and curves equal" in done.stdout
