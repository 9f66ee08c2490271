"""The card: a `README.md` by which Hugging Face, and people, know a shards directory.

It is derived from the manifests alone, so that equal manifests give equal bytes, and it is written
at the end of every build. Its last line is a hash of the rest: a card that somebody has edited does
not fit its hash any more, and is never written over.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segdata import provenance, shards
from segdata.terminal import human_bytes

if TYPE_CHECKING:
    from jinja2 import Template

NAME = "README.md"
SEAL = "<!-- segdata card {} -->\n"
SEALED = re.compile(r"(?P<text>.*)<!-- segdata card (?P<sha256>[0-9a-f]{64}) -->\n", re.DOTALL)
EDITED = (
    f"{NAME} in the shards directory was written or edited by somebody and left as it is; delete "
    "it to have the next build write it anew"
)
SIZES = {1000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
LARGEST = "1M<n<10M"

Manifests = Mapping[str, Mapping[str, Any]]


def write_card(folder: Path) -> bool:
    """Write the directory's card anew, unless there is one that a person wrote or edited.

    Args:
        folder: a shards directory with at least one manifest.

    Returns:
        Whether the card is now the one of the manifests.

    Raises:
        ShardsError: a manifest cannot be read.
    """
    path = folder / NAME
    if path.exists() and not is_ours(path):
        return False
    shards.sweep(folder, NAME.partition(".")[0])
    data = card_text(shards.manifests(folder)).encode()
    if not path.exists() or path.read_bytes() != data:
        shards.write_file(path, data)
    return True


def is_ours(path: Path) -> bool:
    """Whether a card is as segdata wrote it: its seal is there and fits its text."""
    try:
        text = path.read_bytes().decode().replace("\r\n", "\n")  # git may have changed the ends
    except (OSError, UnicodeDecodeError):
        return False
    match = SEALED.fullmatch(text)
    return match is not None and match["sha256"] == _hash(match["text"])


def card_text(manifests: Manifests) -> str:
    """The card of these manifests, by data set: a YAML header, Markdown, and the seal."""
    text = _template().render(**_facts(manifests))
    return text + SEAL.format(_hash(text))


@cache
def _template() -> "Template":
    """The card's template, compiled once a process."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("segdata"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - Markdown; `text` escapes what comes from outside
        keep_trailing_newline=True,
    )
    environment.filters |= {"text": _escaped, "code": _code}
    return environment.get_template("card.md.jinja")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _escaped(text: str) -> str:
    """Text that Markdown and HTML show as it is, on one line."""
    escaped = re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", " ".join(str(text).split()))
    return escaped.replace("&", "&amp;").replace(r"\<", "&lt;").replace(r"\>", "&gt;")


def _code(text: str) -> str:
    """Text as code on one line, which nothing in it can end."""
    return "`{}`".format(" ".join(str(text).replace("`", "'").split()))


def _facts(manifests: Manifests) -> dict[str, Any]:
    """What the template shows."""
    several = list(manifests.values())
    splits = list(_splits(manifests))
    found = dict.fromkeys(o for m in several for o in provenance.origins(m))
    return {
        "license": provenance.license_of(several),
        "pretty_name": _name(manifests),
        "size_category": _size_category(sum(row["count"] for row in splits)),
        "tags": [origin.tag for origin in found],
        "configs": _configs(manifests),
        "warnings": list(provenance.warnings(manifests)),
        "splits": splits,
        "example_split": splits[0]["split"],
        "views": [
            {
                "name": name,
                "dataset": dataset,
                "split": view["split"],
                "count": f"{len(view['keys']):,}",
            }
            for dataset, manifest in manifests.items()
            for name, view in sorted(manifest["views"].items())
        ],
        "ignore": several[0]["ignore_index"],
        "columns": [f"{row['dataset']} {row['split']}" for row in splits],
        "classes": _classes(manifests),
        "datasets": [_dataset(manifest) for manifest in several],
        "citations": [origin.bibtex for origin in found if origin.bibtex],
    }


def _name(manifests: Manifests) -> str:
    several = list(manifests.values())
    count = len(several[0]["classes"]) - 1
    classes = "1 class" if count == 1 else f"{count} classes"
    mark = " (generated data)" if any(m["synthetic"] for m in several) else ""
    return f"{', '.join(manifests)}: semantic masks of {classes}{mark}"


def _size_category(samples: int) -> str:
    return next((name for bound, name in SIZES.items() if samples < bound), LARGEST)


def _configs(manifests: Manifests) -> list[dict[str, Any]]:
    """The card's `configs`: one a data set and, where there are several, first one of all."""
    single = [_config(name, {name: m}) for name, m in manifests.items() if _has_shards(m)]
    several = [_config("all", manifests)] if len(single) > 1 else []
    configs = several + single
    for first in configs[:1]:
        first["default"] = True
    return configs


def _has_shards(manifest: Mapping[str, Any]) -> bool:
    """Whether any sample was kept."""
    return any(facts["shards"] for facts in manifest["splits"].values())


def _config(name: str, manifests: Manifests) -> dict[str, Any]:
    globs: dict[str, list[str]] = {}
    for dataset, manifest in manifests.items():
        for split, facts in manifest["splits"].items():
            if facts["shards"]:
                globs.setdefault(split, []).append(f"{dataset}-{split}-*.tar")
    return {"name": name, "default": False, "splits": globs}


def _splits(manifests: Manifests) -> Iterator[dict[str, Any]]:
    for dataset, manifest in manifests.items():
        for split, facts in manifest["splits"].items():
            void = facts["pixels"][-1] / max(1, sum(facts["pixels"]))
            yield {
                "dataset": dataset,
                "split": split,
                "count": facts["samples"],
                "samples": f"{facts['samples']:,}",
                "available": f"{facts['available']:,}",
                "official": f"{facts['official']:,}",
                "shards": f"{len(facts['shards']):,}",
                "bytes": human_bytes(sum(shard["bytes"] for shard in facts["shards"])),
                "void": f"{100 * void:.1f} %",
                "size": provenance.size_text(manifest["options"], split),
            }


def _classes(manifests: Manifests) -> list[dict[str, Any]]:
    table = next(iter(manifests.values()))["classes"]
    splits = [facts for m in manifests.values() for facts in m["splits"].values()]
    return [
        {
            "id": row["id"],
            "name": row["name"],
            "color": "#{:02x}{:02x}{:02x}".format(*row["color"]),
            "cells": [cell for facts in splits for cell in _class_cells(facts, row["id"])],
        }
        for row in table
    ]


def _class_cells(facts: Mapping[str, Any], class_id: int) -> Sequence[str]:
    labelled = max(1, sum(facts["pixels"][:-1]))
    images = f"{facts['images'][class_id - 1]:,}" if class_id else ""
    return images, f"{100 * facts['pixels'][class_id] / labelled:.2f} %"


def _dataset(manifest: Mapping[str, Any]) -> dict[str, Any]:
    labels, splits = manifest["labels"], manifest["splits"]
    options = manifest["options"] | {"seed": manifest["seed"]}
    return {
        "name": manifest["dataset"],
        "policy": labels["policy"],
        "policy_version": labels["version"],
        "policy_text": provenance.policy_text(manifest),
        "options": ", ".join(" ".join(pair) for pair in provenance.option_texts(options)),
        "versions": ", ".join(f"{k} {v}" for k, v in sorted(manifest["versions"].items())),
        "command": provenance.build_command(manifest),
        "origins": list(provenance.origins(manifest)),
        "sources": [
            source
            | {
                "split": split,
                "members": f"{source['members']:,} file{'s' if source['members'] != 1 else ''}",
                "bytes": human_bytes(source["bytes"]),
            }
            for split, facts in splits.items()
            for source in facts["sources"]
        ],
        "left_out": [
            {"split": split, "reason": reason, "count": f"{entry['count']:,}"}
            for split, facts in splits.items()
            for reason, entry in facts["left_out"].items()
        ],
    }
