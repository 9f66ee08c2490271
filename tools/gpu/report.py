"""The report of the checks: JSON for programs, Markdown for people."""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch

from gpu.bench import Plan, Result


def facts_of(plan: Plan) -> dict[str, Any]:
    """The machine and the versions."""
    facts: dict[str, Any] = {
        "device": torch.cuda.get_device_name(plan.device) if plan.cuda else str(plan.device),
        "quick": plan.quick,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "pillow": PIL.__version__,
        "numpy": np.__version__,
        "shards": "given" if plan.shards else "drawn",
    }
    if plan.cuda:
        _, total = torch.cuda.mem_get_info(plan.device)
        facts |= {
            "memory GiB": round(total / 2**30, 1),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return facts


def cell(value: object) -> str:
    """A figure of a table."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1e}" if 0 < abs(value) < 1e-2 else f"{value:g}"
    return str(value)


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Rows as a table in Markdown; a column for each name, in the order of their coming."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(names) + " |", "| " + " | ".join("---" for _ in names) + " |"]
    return lines + ["| " + " | ".join(cell(row.get(n)) for n in names) + " |" for row in rows]


def markdown(facts: dict[str, Any], results: Sequence[Result]) -> str:
    """The whole report."""
    lines = ["# Checks on a GPU", "", ", ".join(f"{k} {v}" for k, v in facts.items()), ""]
    summary = [
        {"check": r.name, "kind": r.kind, "verdict": r.verdict, "s": r.seconds, "found": r.message}
        for r in results
    ]
    lines += table(summary)
    for result in results:
        if result.rows:
            lines += ["", f"## {result.name}", "", *table(result.rows)]
    return "\n".join(lines) + "\n"


def write(folder: Path, facts: dict[str, Any], results: Sequence[Result]) -> None:
    """Write gpu_check.json and gpu_check.md; after each check, so that a kill loses one at most."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = {"facts": facts, "checks": [asdict(result) for result in results]}
    for name, text in (
        ("gpu_check.json", json.dumps(plain, indent=2) + "\n"),
        ("gpu_check.md", markdown(facts, results)),
    ):
        part = folder / f".{name}.part"
        part.write_text(text, "utf-8")
        part.replace(folder / name)
