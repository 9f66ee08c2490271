"""Tests of the scripts in tools/bench that measure training and evaluation; nothing is timed."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

BENCH = Path(__file__).parents[2] / "tools" / "bench"
THIN = ("--device", "cpu", "--width", "0.06", "--repeats", "1")


@pytest.fixture(scope="module")
def bench() -> Iterator[dict[str, ModuleType]]:
    """The scripts as modules."""
    path = list(sys.path)
    sys.path.insert(0, str(BENCH))
    yield {name: importlib.import_module(name) for name in ("padded_fcn", "evaluation")}
    sys.path[:] = path


def printed(script: str, environment: dict[str, str], *words: object) -> list[str]:
    """The lines that a script prints."""
    command = [sys.executable, str(BENCH / script), *map(str, (*THIN, *words))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_steps_are_compared_with_those_of_other_forms(
    environment: dict[str, str], shards: Path
) -> None:
    """The table has a row of each form with its ratios to segtrain's, then layers and waiting."""
    run = ("--run-steps", 2, "--run-width", 0.06, "--run-crop", 32, "--run-batch", 2)
    lines = printed("train_step.py", environment, "--crop", 32, "--batch", 2, "--shards", shards,
                    "--workers", 0, *run)  # fmt: skip
    head = next(i for i, line in enumerate(lines) if line.startswith("step "))
    rows = {line[:14].strip(): line[39:].split() for line in lines[head + 1 : head + 4]}
    assert list(rows) == ["segtrain", "padded by 100", "fcn_resnet50"]
    assert {len(row) for row in rows.values()} == {9}
    assert rows["segtrain"][4:] == ["1.00"] * 5
    assert float(rows["padded by 100"][6]) > 2  # the operations of 32 px padded to 230
    assert any(line.startswith("layers alone") for line in lines)
    assert any(line.startswith("waits for data") for line in lines)


def test_evaluation_is_compared_with_a_plain_loop(
    environment: dict[str, str], shards: Path
) -> None:
    """The table has a row of the loop and one of each batch size, which count the same."""
    lines = printed("evaluation.py", environment, "--shards", shards, "--batch", 1, 4)
    head = next(i for i, line in enumerate(lines) if line.startswith("subject"))
    names = [line[:18].strip() for line in lines[head + 1 : head + 4]]
    assert names == ["batch-1 loop", "--batch 1", "--batch 4"]
    said = [line.split(": ")[1] for line in lines[head + 4 : head + 6]]
    assert all(line.endswith("pixels 0 counted differently") for line in said)


def test_matrices_that_differ_are_refused(bench: dict[str, ModuleType]) -> None:
    """One pixel is too much in float32; in bfloat16 few may move, but no target may change."""
    difference = bench["evaluation"].difference
    ours, theirs = np.array([[5000, 0], [1, 4000]]), np.array([[5000, 0], [0, 4001]])
    assert difference(ours, theirs, exact=False) == "of 9,001 pixels 1 counted differently"
    for other, exact in ((ours, True), (theirs.T + 1, False), (theirs // 2, False)):
        with pytest.raises(SystemExit, match="the confusion matrices differ by"):
            difference(other, theirs, exact=exact)


def test_the_padded_form_has_the_weights_of_the_paper(bench: dict[str, ModuleType]) -> None:
    """FCN-8s of VGG16 with full transposed convolutions has 134,489,759 weights at 21 classes."""
    with torch.device("meta"):
        net = bench["padded_fcn"].PaddedFCN(21)
    assert sum(p.numel() for p in net.parameters()) == 134_362_751 + 127_008
    assert net(torch.empty(1, 3, 71, 90, device="meta")).shape == (1, 21, 71, 90)


def test_the_padded_form_crops_at_the_middle(bench: dict[str, ModuleType]) -> None:
    """With kernels that are symmetric a turned image has the turned scores of the image.

    Images of 58 pixels fill the poolings with their padding, so that nothing else is asymmetric.
    """
    torch.manual_seed(0)
    net = bench["padded_fcn"].PaddedFCN(3, width=0.06).eval()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.copy_((module.weight + module.weight.flip(2, 3)) / 2)
        image = torch.randn(1, 3, 58, 58)
        turned = net(image.flip(2, 3)).flip(2, 3)
        torch.testing.assert_close(turned, net(image), rtol=1e-3, atol=1e-4)
