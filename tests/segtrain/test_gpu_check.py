"""Tests of tools/gpu_check.py, thin and on the CPU."""

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

TOOLS = Path(__file__).parents[2] / "tools"
MEANINGLESS = {"SyncBatchNorm and shared gradients", "compiled steps"}  # without a GPU


@pytest.fixture(scope="module")
def gpu() -> Iterator[dict[str, ModuleType]]:
    """The parts of the script."""
    sys.path.insert(0, str(TOOLS))
    yield {name: importlib.import_module(f"gpu.{name}") for name in ("bench", "report")}
    sys.path.remove(str(TOOLS))


def test_everything_runs_and_is_reported(environment: dict[str, str], tmp_path: Path) -> None:
    """On a CPU every check is right or says why it has no meaning, in both forms of the report."""
    command = [TOOLS / "gpu_check.py", "--device", "cpu", "--quick", "--out", tmp_path / "out"]
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "out" / "gpu_check.json").read_text())
    verdicts = {check["name"]: check["verdict"] for check in found["checks"]}
    assert {name for name, verdict in verdicts.items() if verdict == "skipped"} == MEANINGLESS
    assert {v for n, v in verdicts.items() if n not in MEANINGLESS} == {"ok"}
    assert all(check["rows"] for check in found["checks"] if check["verdict"] == "ok")
    text = (tmp_path / "out" / "gpu_check.md").read_text()
    assert all(f"| {name} |" in text for name in verdicts)


def test_without_a_gpu_it_says_so(environment: dict[str, str], tmp_path: Path) -> None:
    """Asked for a GPU that is not here, the script ends at once with one line."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    command = [sys.executable, str(TOOLS / "gpu_check.py"), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --device cuda: torch")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("work", "verdict", "words"),
    [
        ("off", "failed", "error is 2.00e+00 at layer fc6; at most 1 is right"),
        ("nan", "failed", "error is nan"),
        ("crash", "failed", "division by zero (test_gpu_check.py, line"),
        ("slow", "out of time", "0 s were not enough"),
        ("none", "skipped", "no GPU"),
        ("fine", "ok", "error at most 2.0e+00 (limit 3)"),
    ],
)
def test_whatever_a_check_does_it_has_a_verdict(
    gpu: dict[str, ModuleType], tmp_path: Path, work: str, verdict: str, words: str
) -> None:
    """A wrong figure, a crash or a check that takes too long is a result, and keeps its rows."""
    bench = gpu["bench"]

    def check(_: object, rows: list[dict[str, Any]]) -> str:
        rows.append({"layer": "fc6", "error": float("nan") if work == "nan" else 2.0})
        if work == "crash":
            rows[0]["error"] /= 0
        if work == "slow":
            time.sleep(60)
        if work == "none":
            raise bench.Skipped("no GPU")
        return str(bench.demand(rows, "error", 3 if work == "fine" else 1))

    end = time.monotonic() + 100
    plan = bench.Plan(torch.device("cpu"), quick=True, scratch=tmp_path, shards=None, end=end)
    result = bench.run_check(
        bench.Check("x", "correctness", 0.05 if work == "slow" else 60, check), plan
    )
    assert (result.verdict, len(result.rows)) == (verdict, 1)
    assert words in result.message
    gpu["report"].write(tmp_path / "out", {"device": "cpu"}, [result])
    assert f"| x | correctness | {verdict} |" in (tmp_path / "out" / "gpu_check.md").read_text()
