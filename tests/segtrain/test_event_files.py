"""Tests of segtrain.event_files, read back by TensorBoard's own reader."""

import errno
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from segtrain import log_files
from segtrain.errors import RunError
from segtrain.event_files import EventLog, check_installed, curves, next_name


def line(step: int, **more: object) -> dict[str, Any]:
    """A line of the log."""
    floors = {"uniform": 3.0, "prior": 1.5}
    return {"step": step, "loss": 1 / step, "loss_floors": floors, "train_iou": None, **more}


def val(iou: float) -> dict[str, Any]:
    """The fields of a validation."""
    found = {"mean_iou": iou, "all_background_iou": 0.0625, "mean_iou_interval": None}
    return {"val": {"voc2012": found}, "val_iou": iou}


def read(folder: Path) -> EventAccumulator:
    """All that TensorBoard finds in one of its runs."""
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    found.Reload()
    return found


def curve(folder: Path, tag: str) -> list[tuple[int, float]]:
    """Steps and values of a curve."""
    return [(e.step, e.value) for e in read(folder).Scalars(tag)]


def test_figures_and_floors_share_their_charts(tmp_path: Path) -> None:
    """Each floor is a constant under the tag of the curve that it belongs to."""
    log = EventLog(tmp_path, 0)
    log.write(line(1))
    log.write(line(2, **val(0.25)))
    assert curve(tmp_path / "net", "loss") == [(1, 1.0), (2, 0.5)]
    assert curve(tmp_path / "floor ln C", "loss") == [(1, 3.0), (2, 3.0)]
    assert curve(tmp_path / "floor class prior", "loss") == [(1, 1.5), (2, 1.5)]
    assert curve(tmp_path / "net", "val_voc2012/mean_iou") == [(2, 0.25)]
    assert curve(tmp_path / "floor all background", "val_voc2012/mean_iou") == [(2, 0.0625)]
    assert set(read(tmp_path / "net").Tags()["scalars"]) == {
        "loss", "val_iou", "val_voc2012/mean_iou"
    }  # fmt: skip


def test_what_is_no_number_is_left_out() -> None:
    """Words, missing values and the step itself are no curves."""
    words = {"mean_iou_interval": {"over": "images", "low": 0.5}}
    found = curves({"step": 3, "train_iou": None, "val": {"a": words}})
    assert found == {"net": {"val_a/mean_iou_interval.low": 0.5}}


def test_a_resumed_run_replaces_what_it_makes_again(tmp_path: Path) -> None:
    """After a kill in the middle of a record, figures of steps made again appear once, as new."""
    log = EventLog(tmp_path, 0)
    for step in range(1, 7):
        log.write(line(step))
    (old,) = (tmp_path / "net").iterdir()
    old.write_bytes(old.read_bytes()[:-9])
    log = EventLog(tmp_path, 4)
    for step in range(4, 8):
        log.write(line(step) | {"loss": 8.0 * step})
    expected = [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))] + [
        (step, 8.0 * step) for step in range(4, 8)
    ]
    assert curve(tmp_path / "net", "loss") == expected
    assert [s for s, _ in curve(tmp_path / "floor ln C", "loss")] == list(range(1, 8))


def test_pictures_come_back_pixel_for_pixel(tmp_path: Path) -> None:
    """A picture of a validation is among TensorBoard's images."""
    picture = Image.effect_noise((30, 20), 40).convert("RGB")
    EventLog(tmp_path, 0).picture(7, "voc2012", picture)
    (event,) = read(tmp_path / "net").Images("pictures/voc2012")
    assert (event.step, event.width, event.height) == (7, 30, 20)
    with Image.open(BytesIO(event.encoded_image_string)) as found:
        assert found.tobytes() == picture.tobytes()


def test_events_wait_for_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be written is in the files once there is room, in its order."""
    log = EventLog(tmp_path, 0)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(log_files, "write_whole", full)
        for step in (1, 2):
            with pytest.raises(OSError, match="No space"):
                log.write(line(step))
    log.write(line(3))
    for folder in ("net", "floor ln C", "floor class prior"):
        assert [step for step, _ in curve(tmp_path / folder, "loss")] == [1, 2, 3]


def test_a_later_file_has_a_later_name(tmp_path: Path) -> None:
    """Even where the clock was set back, for TensorBoard reads files in the order of names."""
    future = "events.out.tfevents.9000000000.segtrain"
    (tmp_path / future).touch()
    assert next_name(tmp_path) == "events.out.tfevents.9000000001.segtrain" > future


def test_a_missing_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TensorBoard the error says what to install."""
    check_installed()
    for name in [n for n in sys.modules if n.split(".")[0] == "tensorboard"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(RunError, match=r"pip install 'segtrain\[tensorboard\]'"):
        check_installed()
