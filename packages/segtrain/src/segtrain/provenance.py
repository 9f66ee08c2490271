"""Where a run comes from: its data sets, and what each of its sessions ran on."""

import platform
from collections import Counter
from typing import Any

from segtrain.data import Data
from segtrain.devices import describe
from segtrain.train import Trainer


def data_facts(data: Data) -> list[dict[str, Any]]:
    """What a run's data sets are, as plain types for its config.json.

    Each has its name, the manifest's hash, whether it was generated, `trained_on` and
    `validated_on` (images that the run uses of it, the latter on the way and at the end), and its
    splits with samples, bytes, shards and `pixels` (mask pixels of class 0..C and of 255).
    """
    trained = Counter[str]()
    if data.streams is None:  # nobody counts what is streamed
        for shard, samples in zip(data.train.shards, data.train.shard_sizes, strict=True):
            trained[shard.dataset] += samples
    judged = {chosen.name: chosen for chosen in data.val_sets}
    found = []
    for manifest in data.shards.manifests:
        chosen = judged.get(manifest.dataset)
        found.append(
            {
                "dataset": manifest.dataset,
                "sha256": manifest.sha256,
                "synthetic": manifest.synthetic,
                "trained_on": trained[manifest.dataset],
                "validated_on": [len(chosen.first), len(chosen.samples)] if chosen else [0, 0],
                "splits": [
                    {
                        "name": split.name,
                        "samples": split.samples,
                        "official": split.official,
                        "shards": len(split.shards),
                        "bytes": sum(shard.bytes for shard in split.shards),
                        "resized": split.resized,
                        "pixels": list(split.pixels),
                    }
                    for split in manifest.splits.values()
                ],
            }
        )
    return found


def session_facts(trainer: Trainer) -> dict[str, Any]:
    """What a session runs on, as plain types for the record of sessions."""
    return {
        "device": describe(trainer.learner.device, trainer.config.precision),
        "ranks": trainer.ranks.world,
        "commit": trainer.identity["commit"],
        "versions": trainer.identity["versions"] | {"python": platform.python_version()},
        "system": f"{platform.system()} {platform.machine()}",
    }
