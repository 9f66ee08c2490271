"""`--batch auto`: the largest batch that fits, found by trying steps of a net of the same kind."""

import gc
from collections.abc import Callable
from dataclasses import replace

import torch

from segtrain.batches import Batch
from segtrain.config import TrainConfig
from segtrain.devices import choose_device
from segtrain.errors import RunError
from segtrain.learning import make_learner
from segtrain.manifests import ClassInfo
from segtrain.models import build
from segtrain.options.training import AUTO
from segtrain.predictor import Predictor
from segtrain.preprocessing import Preprocessing
from segtrain.ranks import Ranks

DEFAULT = TrainConfig().batch  # where no GPU can be measured
MOST = 4096  # images per step that are tried at most
SHARE = 0.9  # of the free memory: validation at native sizes and fragments need some, too
STEPS = 2  # of each try: the second finds the optimiser's state there

Tell = Callable[[str], None]


def with_batch(config: TrainConfig, num_classes: int, ranks: Ranks, tell: Tell) -> TrainConfig:
    """The configuration with a batch for `--batch auto`; itself where one was given.

    The parts of `--accumulate` and the ranks multiply what fits in a single pass. On a CPU, whose
    memory others use as well, it is the default batch.

    Args:
        config: The run's configuration, resolved.
        num_classes: C.
        ranks: The processes of the run; all come here together.
        tell: Called with what was found, for people.

    Raises:
        RunError: If not even one image fits.
        UsageError: If the batch cannot be cut as it is asked for.
    """
    if config.batch != AUTO:
        return config
    device = ranks.device(choose_device(config.device))
    if device.type != "cuda":
        batch = max(DEFAULT, ranks.world * config.accumulate)
        if ranks.main:
            tell(f"--batch auto measures the memory of a CUDA GPU; on {device.type} it is {batch}")
        return replace(config, batch=batch)
    fewest = 2 if config.family.pools else 1  # a batch norm of pooled maps needs two images
    fitting = doubled(lambda batch: fits(config, num_classes, device, batch), MOST, fewest)
    alike = int(-ranks.most(-fitting)[0])  # the GPU with the least memory decides for all
    with ranks.together():
        if alike == 0:
            raise RunError(
                f"--batch auto: not even {'one image' if fewest == 1 else f'{fewest} images'} of "
                f"{config.crop}x{config.crop} fits into the free memory of {device}; use a "
                "smaller --crop or --width, or another GPU"
            )
    batch = alike * config.accumulate * ranks.world
    times = f" x {config.accumulate} parts" * (config.accumulate > 1)
    times += f" x {ranks.world} ranks" * (not ranks.alone)
    if ranks.main:
        tell(f"--batch auto: {batch} images ({alike} fit at once{times})")
    return replace(config, batch=batch)


def doubled(fit: Callable[[int], bool], most: int, fewest: int = 1) -> int:
    """The largest power of two up to `most` for which it and all smaller ones fit; 0 for none.

    None below `fewest`, a power of two itself, is tried.
    """
    found, batch = 0, fewest
    while batch <= most and fit(batch):
        found, batch = batch, 2 * batch
    return found


def fits(config: TrainConfig, num_classes: int, device: torch.device, batch: int) -> bool:
    """Whether steps with so many images at once leave a tenth of the GPU's free memory.

    The net, the optimiser and the average of weights are made anew, used and thrown away; torch's
    random numbers stay as they are.
    """
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    free, _ = torch.cuda.mem_get_info(device)
    before = torch.cuda.memory_reserved(device)
    try:
        with torch.random.fork_rng([device]):
            try_steps(replace(config, batch=batch, accumulate=1), num_classes, device)
        torch.cuda.synchronize(device)
        used = torch.cuda.max_memory_reserved(device) - before
    except torch.OutOfMemoryError:
        used = free + 1
    gc.collect()  # what an error's traceback still held
    torch.cuda.empty_cache()
    return used <= SHARE * free


def try_steps(config: TrainConfig, num_classes: int, device: torch.device) -> float:
    """Take steps on random images, as a run would; the last one's loss."""
    names = tuple(ClassInfo(str(i), (0, 0, 0)) for i in range(num_classes))
    model = build(config, num_classes)
    model.freeze(config.freeze)
    predictor = Predictor(model, Preprocessing(), device, names, precision=config.precision)
    weights = [1.0] * num_classes if config.class_weights != "none" else None
    learner = make_learner(replace(config, compile=False), predictor, weights, Ranks())
    side = config.crop
    image = torch.randint(0, 256, (config.batch, 3, side, side), dtype=torch.uint8)
    target = torch.randint(0, num_classes, (config.batch, side, side), dtype=torch.uint8)
    batch = Batch(image, target, [str(i) for i in range(config.batch)])
    loss = float("nan")
    for _ in range(STEPS):
        loss = float(learner.gradients(batch, judge=True).loss)
        learner.update(0.0)
    return loss
