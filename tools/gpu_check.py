"""Everything that needs a GPU, in one go of at most ten minutes: is it right, and how fast is it?

    python tools/gpu_check.py --out results/ [--shards FOLDER] [--budget 570]
    python tools/gpu_check.py --out results/ --device cpu --quick

Compares loss, gradients, optimisers, copies, SyncBatchNorm, `--checkpointing`, a resumed run and a
compiled net with the CPU or with the plain way; then measures training steps of FCN-32s, 16s and 8s
at 320, 480 and 512 px in several batch sizes, in both memory layouts, compiled and not, those of
FC-DenseNet103 with and without `--checkpointing`, steps fed by the loader, `--batch auto`, a run
with validation, and the two scripts of tools/bench that compare steps and evaluation with what else
one would write. Where no shards are given it draws its own. It runs from
a checkout: nothing needs to be installed but torch, torchvision, Pillow, typer and rich.

A check that fails or runs out of its time is reported and the others still run. gpu_check.json and
gpu_check.md in --out are written anew after each check. The exit code is 1 if a check of
correctness failed or could not be finished; slowness fails nothing. --quick goes through the whole
script with thin nets in a minute, to see that it runs; its figures mean nothing.
"""

import argparse
import contextlib
import io
import sys
import tempfile
import time
from pathlib import Path

TOOLS = Path(__file__).resolve().parent
SOURCES = TOOLS.parent / "packages" / "segtrain" / "src"
sys.path[:0] = [str(TOOLS), str(TOOLS / "bench"), str(SOURCES)]

import torch  # noqa: E402 - the paths come first
from gpu import correctness, measurements, report  # noqa: E402
from gpu.bench import Plan, Result, run_check  # noqa: E402

from segtrain.devices import choose_device  # noqa: E402
from segtrain.errors import SegtrainError  # noqa: E402


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the report")
    parser.add_argument("--shards", type=Path, help="shards to read and train on; drawn without")
    parser.add_argument("--device", default="cuda", help="cuda (default) or cpu")
    parser.add_argument("--quick", action="store_true", help="thin nets: only to see that it runs")
    parser.add_argument("--budget", type=float, default=570, help="seconds for everything (570)")
    parser.add_argument("--only", default="", help="checks whose name contains this")
    return parser.parse_args()


def main() -> int:
    """Run the checks; the exit code."""
    given = arguments()
    end = time.monotonic() + given.budget
    try:
        device = choose_device(given.device)
    except SegtrainError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if device.type == "cuda":
        torch.cuda.set_device(0)
        device = torch.device("cuda", 0)
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as scratch:
        plan = Plan(device, given.quick, Path(scratch), given.shards, end)
        results = run_all(plan, given.out, given.only)
    bad = [r for r in results if r.kind == "correctness" and r.verdict not in ("ok", "skipped")]
    slow = [r for r in results if r.kind != "correctness" and r.verdict not in ("ok", "skipped")]
    print(f"\n{len(results)} checks: {len(bad)} of correctness and {len(slow)} measurements failed")
    print(f"report: {given.out / 'gpu_check.md'}")
    return int(bool(bad))


def run_all(plan: Plan, out: Path, only: str) -> list[Result]:
    """Run the checks one after the other, a line each, and write the report after each."""
    facts, results = report.facts_of(plan), []
    print(", ".join(f"{name} {value}" for name, value in facts.items()), flush=True)
    for check in [*correctness.CHECKS, *measurements.CHECKS]:
        if only not in check.name:
            continue
        said = io.StringIO()
        with contextlib.redirect_stdout(said):  # runs print their own lines
            result = run_check(check, plan)
        results.append(result)
        print(f"{result.verdict:<11} {result.seconds:6.1f} s  {check.name}: {result.message}",
              flush=True)  # fmt: skip
        if result.verdict == "failed":
            print(said.getvalue()[-2000:], end="", flush=True)
        report.write(out, facts, results)
    return results


if __name__ == "__main__":
    sys.exit(main())
