"""What both packages' tests share: the real archives, and shards built from them once a session."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

settings.register_profile("here", deadline=None)  # nothing is timed in a test
settings.load_profile("here")


def pytest_configure(config: pytest.Config) -> None:
    """Warnings are errors, but for those that only a library's next release can end."""
    # pycocotools hands numpy an object whose __array__ is older than NumPy 2.
    config.addinivalue_line(
        "filterwarnings", "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:  # noqa: ANN401 - xdist's
    """Of several processes one takes all of segdata's tests, others the rest file by file.

    One of segdata's tests asks which errors the others met, so they share a process.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByPackage(LoadScopeScheduling):
        """Keeps together what `_split_scope` gives one name."""

        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "segdata" if file.startswith("tests/segdata/") else file

    return ByPackage(config, log)


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of the small real archives; skips the test where it is absent."""
    folder = Path(os.environ.get("SEGDATA_REAL") or ROOT.parent / "shared" / "data")
    if not (folder / "VOCtrainval_11-May-2012.tar").is_file():
        pytest.skip(f"no real archives in {folder} (SEGDATA_REAL names another folder)")
    return folder.resolve()


@pytest.fixture(scope="session")
def real_shards(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VOC and COCO shards of all real samples in one directory, made with default options."""
    from segdata.build import build
    from segdata.classes import ClassSet
    from segdata.coco import open_coco
    from segdata.labels import LabelPolicy
    from segdata.plan import BuildOptions
    from segdata.voc import open_voc

    options = BuildOptions(tmp_path_factory.mktemp("real") / "shards", ClassSet.parse("voc"))
    splits = ("train", "val")
    build(open_voc(real, 2012, options.classes, splits), options, lambda *_: None)
    build(open_coco(real, 2017, options.classes, splits, LabelPolicy()), options, lambda *_: None)
    return options.out
