"""Exporting a net: every file is tried before it gets its name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from segtrain.checkpoint import Checkpoint, find_checkpoint, load_checkpoint
from segtrain.export.graph import plain_predictor
from segtrain.export.kinds import KINDS, Exported, check_packages
from segtrain.export.metadata import metadata
from segtrain.export.trials import Difference, Truth, choose_photos, compared, truths
from segtrain.files import Write, check_folder, make_folder, write_together
from segtrain.options.stages import VARIANTS

Tell = Callable[[str], object]  # called with a line about the work


@dataclass(frozen=True)
class Written:
    """One file that was written and tried.

    Attributes:
        kind: A name of `KINDS`.
        path: Where it is.
        difference: From the net's own answers.
    """

    kind: str
    path: Path
    difference: Difference


def export_run(
    run: Path,
    kinds: Sequence[str],
    out: Path,
    *,
    given: Sequence[Path] = (),
    shards: Sequence[str] | None = None,
    tell: Tell = lambda _: None,
) -> list[Written]:
    """Export a net to files of these kinds, all of them or none.

    Args:
        run: A run's folder (its best.pt, else its last.pt), a checkpoint, or exported weights.
        kinds: Names of `KINDS`.
        out: Folder for the files; made if need be.
        given: Photos to try the files on.
        shards: Shards to take images for that from; None takes the run's.
        tell: Called with a line about the net, then about the images.

    Raises:
        CheckpointError: If there is no checkpoint, or it is damaged.
        ExportError: If a package is missing, the net cannot be exported, or a file does not answer
            as the net does.
        PhotoError: If a photo cannot be read.
        RunError: If a file cannot be written.
        ShardsError: If the shards given cannot be read.
    """
    check_packages(list(kinds))
    path = find_checkpoint(run)
    check_folder(out, "--out")
    checkpoint = load_checkpoint(path)
    predictor = plain_predictor(checkpoint, path)
    tell(net_words(checkpoint, path))
    photos = choose_photos(checkpoint, given, shards)
    known = truths(predictor, photos)
    tell(f"tried on: {photos.words}; {len(known)} inputs, {span_words(known)}")
    make_folder(out, "--out")
    files = {kind: out / f"{file_stem(path)}{KINDS[kind].ending}" for kind in kinds}
    found: dict[str, Difference] = {}
    exported = Exported(predictor, metadata(checkpoint))
    writes: dict[Path, Write] = {
        file: tried_write(kind, exported, known, file, found) for kind, file in files.items()
    }
    write_together(writes)
    return [Written(kind, file, found[kind]) for kind, file in files.items()]


def tried_write(
    kind: str, exported: Exported, known: Sequence[Truth], file: Path, found: dict[str, Difference]
) -> Write:
    """What writes a file to a path, opens it there, and compares its answers with the net's."""

    def write(part: Path) -> None:
        KINDS[kind].write(exported, part)
        found[kind] = compared(KINDS[kind].open(part), known, file)

    return write


def net_words(checkpoint: Checkpoint, path: Path) -> str:
    """What is exported, for people."""
    config, averaged = checkpoint.train_config, checkpoint.average is not None
    average = ", running average of the weights" if averaged or config.ema else ""
    return (
        f"{path}: {config.title}, step {checkpoint.step:,}, {len(checkpoint.classes)} "
        f"classes{average}"
    )


def span_words(known: Sequence[Truth]) -> str:
    """How small and how large the inputs are, and how many images at once."""
    sizes = sorted((t.pixels.shape[1:3] for t in known), key=lambda size: size[0] * size[1])
    (low, narrow), (high, wide) = sizes[0], sizes[-1]
    most = max(len(t.pixels) for t in known)
    return f"{narrow}x{low} to {wide}x{high} pixels, up to {most} at once"


def file_stem(path: Path) -> str:
    """A name that says where a net comes from: `fcn8s-best`, of a staged run `x-8s-best`."""
    if path.suffix != ".pt":
        return path.stem
    folder = path.resolve().parent
    names = [folder.parent.name] if folder.name in VARIANTS else []
    return "-".join([*filter(None, [*names, folder.name]), path.stem])
