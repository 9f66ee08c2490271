"""Builds: one result for any number of workers and any packing, and refusals to mix."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as pycoco
from tests.segdata.samples_of import read_samples

from segdata import locks, plan, shards
from segdata.build import build
from segdata.classes import ClassSet
from segdata.coco import open_coco
from segdata.errors import OutputError, SampleError, SourceError, UsageError
from segdata.labels import LabelPolicy
from segdata.plan import BuildOptions
from segdata.samples import Source
from segdata.verify import verify
from segdata.voc import open_voc

if TYPE_CHECKING:
    from tests.segdata.conftest import Make

BOTH = ("train", "val")
Tree = Callable[[Path], dict[str, bytes]]


def quiet(what: str, done: int, total: int) -> None:
    """No progress."""


def opened(dataset: str, data: Path, options: BuildOptions, splits: Any = BOTH) -> Source:  # noqa: ANN401 - names
    """The source of either kind."""
    if dataset == "voc":
        return open_voc(data, 2012, options.classes, splits)
    return open_coco(data, 2017, options.classes, splits, options.policy)


def made(dataset: str, data: Path, out: Path, splits: Any = BOTH, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - options
    """Build; returns the manifest."""
    chosen = ClassSet.parse(options.pop("classes", "voc"))
    wanted = BuildOptions(out, chosen, **{"size": 48, "shard_samples": 2} | options)
    return build(opened(dataset, data, wanted, splits), wanted, quiet)


@pytest.fixture(scope="module")
def built(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VOC and COCO in one directory, in shards of at most two samples, by one worker."""
    out = tmp_path_factory.mktemp("built")
    made("voc", small, out)
    made("coco", small, out)
    return out


@pytest.mark.parametrize("workers", [2, 3])
def test_any_number_of_workers_gives_the_same_bytes(
    small: Path, built: Path, tmp_path: Path, read_tree: Tree, workers: int
) -> None:
    """Several processes write byte for byte what one writes, manifests and info included."""
    made("coco", small, tmp_path, workers=workers)
    made("voc", small, tmp_path, workers=workers)
    assert read_tree(tmp_path) == read_tree(built)


def test_folders_give_the_bytes_of_archives(
    make: "Make", built: Path, tmp_path: Path, read_tree: Tree
) -> None:
    """Unpacked folders give the same shards and manifests, digests of the sources included."""
    data = make.write_coco(tmp_path / "data", make.coco(), unpacked=True)
    make.write_folder(data, make.voc().members)
    made("voc", data, tmp_path / "out")
    made("coco", data, tmp_path / "out")
    assert read_tree(tmp_path / "out") == read_tree(built)


def test_shards_have_equal_counts(built: Path) -> None:
    """The shards of a split differ by one sample at most, and none holds more than asked for."""
    for manifest in shards.manifests(built).values():
        for split in manifest["splits"].values():
            counts = [shard["samples"] for shard in split["shards"]]
            assert max(counts) - min(counts) <= 1
            assert max(counts) <= 2
            assert sum(counts) == split["samples"]


@given(st.integers(1, 60), st.integers(1, 25))
@settings(max_examples=30)
def test_equal_counts_for_any_sizes(samples: int, most: int) -> None:
    """Any number of samples is spread over the fewest shards, equal to one sample."""
    source = sized_source([100] * samples)
    options = BuildOptions(Path("out"), ClassSet.parse("voc"), shard_samples=most)
    counts = [len(t.samples) for t in planned(source, options).shards]
    assert sum(counts) == samples
    assert max(counts) - min(counts) <= 1
    assert len(counts) == -(-samples // most)


def sized_source(sizes: list[int]) -> Source:
    """A source of images of these sizes in bytes, which nobody reads."""
    from segdata.archive import Member
    from segdata.samples import Split
    from segdata.voc import VocSample

    samples = [
        VocSample(
            f"voc2012_{n}", str(n), Member("x", f"{n}.jpg", size), Member("x", "m", 1), "V", b""
        )
        for n, size in enumerate(sizes)
    ]
    split = Split(samples, len(samples), 1464)
    return Source("voc2012", 2012, False, {"train": split}, {"policy": "voc"})


def planned(source: Source, options: BuildOptions) -> plan.SplitPlan:
    """The plan of the train split."""
    return plan.plan_split(source, "train", options, plan.made_with(source, options), quiet)


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=40), st.integers(1, 5000))
@settings(max_examples=30)
def test_shard_bytes_set_the_count(sizes: list[int], most: int) -> None:
    """With --shard-bytes a shard takes as many images as fit by their mean size, one at least."""
    options = BuildOptions(Path("out"), ClassSet.parse("voc"), shard_bytes=most)
    per_shard = max(1, most * len(sizes) // sum(sizes))
    assert len(planned(sized_source(sizes), options).shards) == -(-len(sizes) // per_shard)


@given(st.integers(), st.integers(1, 30))
@settings(max_examples=30)
def test_a_limit_takes_the_front_of_the_seeded_order(seed: int, limit: int) -> None:
    """A limit keeps the first samples of the order, so a larger limit only adds some."""
    source = sized_source([100] * 30)
    options = BuildOptions(Path("out"), ClassSet.parse("voc"), seed=seed)
    whole = [s.key for s in planned(source, options).samples]
    kept = [s.key for s in planned(source, replace(options, limit=limit)).samples]
    assert kept == whole[:limit]
    assert sorted(whole) == sorted(s.key for s in source.splits["train"].samples)


def test_the_seed_changes_the_order() -> None:
    """Another seed spreads the samples in another order."""
    source = sized_source([100] * 30)
    options = BuildOptions(Path("out"), ClassSet.parse("voc"))
    orders = {
        tuple(s.key for s in planned(source, replace(options, seed=n)).samples) for n in (0, 1, -1)
    }
    assert len(orders) == 3


def test_a_built_limit(small: Path, tmp_path: Path) -> None:
    """A limited build holds so many samples, is recorded as such and is not complete."""
    manifest = made("voc", small, tmp_path, limit=2)
    assert [s["samples"] for s in manifest["splits"].values()] == [2, 2]
    assert manifest["options"]["limit"] == 2
    assert not manifest["complete"]


def test_info_sums_the_manifests(built: Path) -> None:
    """info.json holds the sums over both data sets, and can be made again from the manifests."""
    manifests = shards.manifests(built)
    info = json.loads((built / "info.json").read_bytes())
    assert info["datasets"] == ["coco2017", "voc2012"]
    for name in BOTH:
        splits = [m["splits"][name] for m in manifests.values()]
        assert info["splits"][name] == {
            "samples": sum(s["samples"] for s in splits),
            "shards": sum(len(s["shards"]) for s in splits),
            "bytes": sum(shard["bytes"] for s in splits for shard in s["shards"]),
            "pixels": [sum(column) for column in zip(*(s["pixels"] for s in splits), strict=True)],
            "datasets": ["coco2017", "voc2012"],
        }
    before = (built / "info.json").read_bytes()
    (built / "info.json").unlink()
    shards.write_info(built)
    assert (built / "info.json").read_bytes() == before


def test_the_manifest_sums_its_shards(built: Path) -> None:
    """A manifest's counts are those of the samples in its tars, read one by one."""
    for manifest in shards.manifests(built).values():
        for name, split in manifest["splits"].items():
            facts = [
                json.loads(parts["json"])
                for shard in split["shards"]
                for _, parts in read_samples(built / shard["name"])
            ]
            assert len(facts) == split["samples"]
            assert {f["split"] for f in facts} == {name}
            for field in ("pixels", "objects"):
                columns = zip(*(f[field] for f in facts), strict=True)
                assert split[field] == [sum(column) for column in columns]
            assert split["images"] == [sum(f["pixels"][i] > 0 for f in facts) for i in range(1, 21)]
            assert sum(split["pixels"]) == sum(f["height"] * f["width"] for f in facts)


FACTS = {
    "key": str, "dataset": str, "split": str, "source_id": str, "source_file": str, "height": int,
    "width": int, "source_height": int, "source_width": int, "pixels": list, "objects": list,
    "crowd_pixels": int,
}  # fmt: skip


def test_facts_have_the_closed_schema(built: Path) -> None:
    """Each sample's JSON has exactly the documented fields, of their types and lengths."""
    tars = sorted(built.glob("*.tar"))
    for tar in tars:
        for key, parts in read_samples(tar):
            assert list(parts) == ["jpg", "json", "seg.png"]
            facts = json.loads(parts["json"])
            assert {k: type(v) for k, v in facts.items()} == FACTS
            assert (facts["key"], len(facts["pixels"]), len(facts["objects"])) == (key, 22, 20)
            assert re.fullmatch(r"[A-Za-z0-9_-]{1,90}", key)
            assert tar.name.startswith(f"{facts['dataset']}-{facts['split']}-")
    assert len(tars) == 3 + 2 + 2 + 2


def test_no_paths_and_no_times(built: Path, small: Path) -> None:
    """No JSON of a build holds a path of this machine, a time or a number of workers."""
    for path in built.glob("*.json"):
        text = path.read_text()
        assert str(built) not in text
        assert str(small) not in text
        assert not re.search(r"/(tmp|home|Users)/|\d{4}-\d\d-\d\dT|workers|\"time", text), path


def test_a_later_split_joins(small: Path, built: Path, tmp_path: Path, read_tree: Tree) -> None:
    """Splits built one after the other give the bytes of both at once."""
    first = made("voc", small, tmp_path, splits=("val",))
    assert list(first["splits"]) == ["val"]
    assert not first["complete"]
    made("voc", small, tmp_path, splits=("train",))
    made("coco", small, tmp_path)
    assert read_tree(tmp_path) == read_tree(built)


def test_a_later_split_has_the_same_options(small: Path, tmp_path: Path, read_tree: Tree) -> None:
    """A split of other options does not join the finished one, though it has no shard in common."""
    made("voc", small, tmp_path, splits=("val",))
    before = read_tree(tmp_path)
    with pytest.raises(OutputError, match="shards of other options") as error:
        made("voc", small, tmp_path, splits=("train",), seed=1)
    assert (error.value.expected, error.value.found) == ("seed 1", "seed 0")
    assert read_tree(tmp_path) == before


def test_a_finished_build_is_left_alone(small: Path, tmp_path: Path) -> None:
    """The same command again writes no shard anew."""
    made("voc", small, tmp_path)
    before = {p.name: p.stat().st_ino for p in tmp_path.glob("*.tar")}
    made("voc", small, tmp_path)
    assert {p.name: p.stat().st_ino for p in tmp_path.glob("*.tar")} == before


@pytest.mark.parametrize("victim", ["cut", ".tar", ".idx", ".stats.json"])
def test_a_lost_file_is_made_again(
    small: Path, tmp_path: Path, read_tree: Tree, victim: str
) -> None:
    """A shard whose tar is short, or that lost a file, is made again with the same bytes."""
    made("voc", small, tmp_path)
    before = read_tree(tmp_path)
    tar = tmp_path / "voc2012-train-000001.tar"
    if victim == "cut":
        tar.write_bytes(tar.read_bytes()[:-512])
    else:
        tar.with_name(tar.stem + victim).unlink()
    made("voc", small, tmp_path)
    assert read_tree(tmp_path) == before


@pytest.mark.parametrize(
    ("change", "now", "then"),
    [
        ({"size": 40}, "size 40", "size 48"),
        ({"val_size": 30}, "val_size 30", "val_size 0"),
        ({"quality": 50}, "quality 50", "quality 92"),
        ({"seed": 7}, "seed 7", "seed 0"),
        ({"shard_samples": 3}, "shard_samples 3", "shard_samples 2"),
        ({"shard_bytes": 999}, "shard_bytes 999", "shard_bytes 0"),
        ({"limit": 4}, "limit 4", "limit 0"),
        ({"policy": LabelPolicy("gluoncv")}, "policy gluoncv", "policy segdata"),
        ({"policy": LabelPolicy(min_area=5)}, "min_area 5", "min_area 1000"),
        ({"policy": LabelPolicy(border=2)}, "void_border 2", "void_border 0"),
    ],
)
@pytest.mark.parametrize("manifest", [True, False], ids=["finished", "unfinished"])
def test_other_options_are_refused(
    small: Path,
    tmp_path: Path,
    read_tree: Tree,
    change: dict[str, Any],
    now: str,
    then: str,
    manifest: bool,
) -> None:
    """A directory of other options is refused, finished or not, with both values named."""
    made("coco", small, tmp_path)
    if not manifest:
        (tmp_path / "coco2017.json").unlink()
    before = read_tree(tmp_path)
    with pytest.raises(OutputError, match="shards of other options") as error:
        made("coco", small, tmp_path, **change)
    assert now in str(error.value.expected)
    assert then in str(error.value.found)
    assert read_tree(tmp_path) == before


@pytest.mark.parametrize("dataset", ["voc", "coco"])
def test_other_classes_are_refused(built: Path, small: Path, read_tree: Tree, dataset: str) -> None:
    """A directory holds one class set, whichever data set has brought it."""
    before = read_tree(built)
    with pytest.raises(OutputError, match="shards of other classes") as error:
        made(dataset, small, built, classes="dog,cat")
    assert error.value.expected == "dog, cat"
    assert str(error.value.found).startswith("aeroplane, bicycle")
    assert read_tree(built) == before


def test_other_sources_are_refused(make: "Make", tmp_path: Path) -> None:
    """A source whose lists or files have changed does not join the shards of the old one."""
    voc = make.voc()
    made("voc", make.write_voc(tmp_path / "data", voc), tmp_path / "out")
    voc.list("train", voc.train[1:])
    with pytest.raises(OutputError, match="other sources"):
        made("voc", make.write_voc(tmp_path / "data", voc), tmp_path / "out")


def test_changed_outlines_are_refused(make: "Make", tmp_path: Path) -> None:
    """Annotations redrawn under the same ids do not join the shards of the old ones."""
    coco = make.coco()
    data, out = tmp_path / "data", tmp_path / "out"
    made("coco", make.write_coco(data, coco), out)
    (out / "coco2017-train-000000.stats.json").unlink()
    for record in coco.instances["train"]["annotations"]:
        if not record["iscrowd"]:
            record["segmentation"] = [make.polygon(5, 5, 30, 30)]
    with pytest.raises(OutputError, match="other sources"):
        made("coco", make.write_coco(data, coco), out)


HOLD = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_writer_is_refused(small: Path, tmp_path: Path) -> None:
    """While another process builds the same data set here, a second build is refused."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / ".voc2012.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline().strip() == b"held"
        with pytest.raises(OutputError, match="another build of voc2012 is writing here"):
            made("voc", small, tmp_path)
        made("coco", small, tmp_path)
        other.communicate()
    made("voc", small, tmp_path)


def test_advice_of_locks_is_the_callers(tmp_path: Path) -> None:
    """Only who can write elsewhere is told to; others are told to wait."""
    with locks.only_writer(tmp_path, "x", "x"):
        with pytest.raises(OutputError) as error, locks.only_writer(tmp_path, "x", "x"):
            pass
        assert "--out" in str(error.value.advice)
        with pytest.raises(OutputError) as error, locks.only_writer(tmp_path, "x", "x", locks.WAIT):
            pass
        assert error.value.advice == locks.WAIT


@pytest.mark.parametrize("defect", ["unknown", "missing", "polygon", "jpeg"])
def test_broken_samples_fail_or_are_left_out(make: "Make", tmp_path: Path, defect: str) -> None:
    """A broken sample stops the build, or with skip_errors is recorded under its reason."""
    coco = make.coco()
    image = coco.images["train"]["train2017/000000000002.jpg"]
    if defect == "unknown":
        coco.objects("train", 2)[0]["image_id"] = 2000
    elif defect == "missing":
        del coco.images["train"]["train2017/000000000002.jpg"]
    elif defect == "polygon":
        coco.objects("train", 2)[0]["segmentation"] = [[1, 1, 2, 2]]
    else:
        coco.images["train"]["train2017/000000000002.jpg"] = image[: len(image) // 2]
    data = make.write_coco(tmp_path / "data", coco)
    with pytest.raises(SampleError) as error:
        made("coco", data, tmp_path / "out", workers=2)
    assert not (tmp_path / "out" / "coco2017.json").exists()
    train = made("coco", data, tmp_path / "out", skip_errors=True)["splits"]["train"]
    expected = {"count": 1, "ids": ["2000" if defect == "unknown" else "2"]}
    assert train["left_out"][f"broken: {error.value.what}"] == expected
    assert train["samples"] == (4 if defect == "unknown" else 3)


def test_strict_refuses_short_sources(small: Path, tmp_path: Path) -> None:
    """With strict a source with fewer images than the official split is refused before writing."""
    with pytest.raises(SourceError, match="voc2012 train is incomplete") as error:
        made("voc", small, tmp_path / "out", strict=True)
    assert (error.value.expected, error.value.found) == ("1,464 images", "5")
    assert not (tmp_path / "out").exists()
    assert not made("voc", small, tmp_path / "out")["complete"]


def test_nothing_kept_is_told(small: Path, tmp_path: Path) -> None:
    """Where the classes leave no image there is nothing to build, and the message says why."""
    with pytest.raises(SourceError, match="nothing to build") as error:
        made("coco", small, tmp_path, classes="zebra")
    assert error.value.found == "5 images listed, 5 left out"


def test_the_view_is_fixed_by_the_seed(small: Path, built: Path, tmp_path: Path) -> None:
    """val100 holds val keys in the seeded order, all of them where there are fewer."""
    manifest = shards.manifests(built)["voc2012"]
    keys = [k for t in sorted(built.glob("voc2012-val*.tar")) for k, _ in read_samples(t)]
    assert manifest["views"]["val100"] == {"split": "val", "official": 100, "keys": keys}
    other = made("voc", small, tmp_path, seed=1)
    assert sorted(other["views"]["val100"]["keys"]) == sorted(keys)


def test_train_is_fitted_and_val_is_native(built: Path, small: Path) -> None:
    """Train images have no side above the size, val images their own bytes, masks their size."""
    sources = {
        sample.key: sample.image.read()
        for dataset in ("voc", "coco")
        for split in opened(
            dataset, small, BuildOptions(built, ClassSet.parse("voc"))
        ).splits.values()
        for sample in split.samples
    }
    passed = 0
    for tar in built.glob("*.tar"):
        for key, parts in read_samples(tar):
            facts = json.loads(parts["json"])
            with Image.open(io.BytesIO(parts["jpg"])) as image:
                assert image.size == (facts["width"], facts["height"])
            with Image.open(io.BytesIO(parts["seg.png"])) as mask:
                assert mask.size == (facts["width"], facts["height"])
                assert mask.mode == "L"
            fits = max(facts["source_height"], facts["source_width"]) <= 48
            if facts["split"] == "val" or fits:
                assert parts["jpg"] == sources[key]
                passed += 1
            else:
                assert max(facts["height"], facts["width"]) == 48
    assert passed == 9  # 3 of each val, and three small VOC images of train


@pytest.mark.parametrize("policy", ["segdata", "torchvision", "gluoncv"])
def test_each_policy_is_built_and_recorded(small: Path, tmp_path: Path, policy: str) -> None:
    """A policy's masks differ from the others', its filter chooses, and the manifest names it."""
    manifest = made("coco", small, tmp_path, policy=LabelPolicy(policy))
    assert manifest["labels"]["policy"] == policy
    assert manifest["splits"]["train"]["samples"] == 4
    assert manifest["splits"]["val"]["samples"] == 3
    void = {"segdata": True, "torchvision": True, "gluoncv": False}[policy]
    assert (manifest["splits"]["val"]["pixels"][-1] > 0) == void


def test_gluoncv_filters_by_painted_pixels(make: "Make", small: Path, tmp_path: Path) -> None:
    """Under gluoncv images of too few painted pixels leave both splits, for any workers."""
    expected: list[tuple[int, int]] = []
    for document in make.coco().instances.values():
        painted = [_painted(record, document["annotations"]) for record in document["images"]]
        expected.append((sum(n > 1900 for n in painted), sum(n <= 1900 for n in painted)))
    assert all(kept and rejected for kept, rejected in expected)
    options = {"policy": LabelPolicy("gluoncv", min_area=1900)}
    one = made("coco", small, tmp_path / "one", **options)
    assert one == made("coco", small, tmp_path / "two", workers=2, **options)
    for split, counts in zip(one["splits"].values(), expected, strict=True):
        rejected = split["left_out"]["objects of at most 1900 px"]["count"]
        assert (split["samples"], rejected) == counts


def _painted(record: Any, annotations: Any) -> int:  # noqa: ANN401 - JSON
    """Pixels under any object of VOC's classes."""
    size = record["height"], record["width"]
    runs: list[Any] = []
    for one in annotations:
        if one["image_id"] == record["id"] and one["category_id"] != 8:
            found = pycoco.frPyObjects(one["segmentation"], *size)
            runs += found if isinstance(found, list) else [found]
    return int(pycoco.area(pycoco.merge(runs))) if runs else 0


def test_no_shard_is_empty(make: "Make", tmp_path: Path) -> None:
    """Whatever is left out, no shard is without samples: readers take an empty tar for an error."""
    voc = make.voc()
    voc.members[voc.name("JPEGImages", voc.train[0])] = b"broken"
    data = make.write_voc(tmp_path / "data", voc)
    manifest = made("voc", data, tmp_path / "out", shard_samples=1, skip_errors=True)
    counts = [shard["samples"] for shard in manifest["splits"]["train"]["shards"]]
    assert min(counts) > 0
    assert verify(tmp_path / "out", data=data).findings == ()
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert made("voc", data, tmp_path / "out", shard_samples=1, skip_errors=True) == manifest
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_the_resize_is_recorded(small: Path, tmp_path: Path) -> None:
    """`opencv` stands in the manifest with its version; other images come out, the same masks."""
    pytest.importorskip("cv2")
    usual, other = tmp_path / "pillow", tmp_path / "opencv"
    before = made("coco", small, usual)
    manifest = made("coco", small, other, resize="opencv")
    assert before["options"]["resampling"] == "bilinear"
    assert manifest["options"]["resampling"] == "opencv-area"
    assert "opencv" in manifest["versions"]
    assert "opencv" not in before["versions"]
    images, masks = [], []
    for folder in (usual, other):
        samples = dict(pair for tar in sorted(folder.glob("*.tar")) for pair in read_samples(tar))
        images.append({key: members["jpg"] for key, members in samples.items()})
        masks.append({key: members["seg.png"] for key, members in samples.items()})
    assert masks[0] == masks[1]
    assert images[0] != images[1]


def relabelled(shards: Path, resampling: str) -> Path:
    """The directory, after manifest and sidecars were made to say that this resize made them."""
    for path in shards.glob("*.json"):
        text = path.read_text("utf-8")
        path.write_text(re.sub(r'"resampling": "[^"]+"', f'"resampling": "{resampling}"', text))
    return shards


@pytest.mark.parametrize("resize", ["pillow", "opencv"])
def test_verification_knows_each_resize(real: Path, tmp_path: Path, resize: str) -> None:
    """Real images of either resize are right as recorded, and wrong if the other is recorded."""
    pytest.importorskip("cv2")
    manifest = made("coco", real, tmp_path, resize=resize, size=160, val_size=160, limit=10)
    assert [split["samples"] for split in manifest["splits"].values()] == [10, 10]
    assert verify(tmp_path, data=real).findings == ()
    other = {"pillow": "opencv-area", "opencv": "bilinear"}[resize]
    found = verify(relabelled(tmp_path, other), data=real).findings
    assert {finding.defect for finding in found} == {"image-differs"}


def test_an_unknown_resampling_is_found(small: Path, tmp_path: Path) -> None:
    """A manifest of a resize that no version has is a defect of the manifest, not of an image."""
    made("coco", small, tmp_path)
    found = verify(relabelled(tmp_path, "sinc"), data=small).findings
    assert any("resampling" in finding.detail for finding in found)
    assert not {finding.defect for finding in found} & {"source-broken", "image-differs"}


def test_any_number_of_workers_resizes_alike_by_opencv(
    small: Path, tmp_path: Path, read_tree: Tree
) -> None:
    """By OpenCV's kernel several processes write byte for byte what one writes, too."""
    pytest.importorskip("cv2")
    for workers in (1, 2):
        made("coco", small, tmp_path / str(workers), resize="opencv", workers=workers)
    assert read_tree(tmp_path / "1") == read_tree(tmp_path / "2")


@pytest.mark.parametrize("finished", [True, False], ids=["finished", "unfinished"])
@pytest.mark.parametrize("recorded", [None, "another"])
def test_masks_of_another_encoder_are_refused(
    small: Path, tmp_path: Path, read_tree: Tree, recorded: str | None, finished: bool
) -> None:
    """Masks packed in another way, or before that was recorded, do not join those of this one."""
    made("coco", small, tmp_path)
    for path in tmp_path.glob("coco2017*.json"):  # as an earlier version would have left them
        document = json.loads(path.read_bytes())
        versions = document.get("versions") or document["made_with"]["versions"]
        del versions["png"]
        if recorded:
            versions["png"] = recorded
        if "plan_sha256" in document:
            document["plan_sha256"] = "0" * 64
        path.write_bytes(shards.to_json(document))
    (tmp_path / "coco2017-train-000001.tar").unlink()
    assert {finding.defect for finding in verify(tmp_path).findings} == {"shard-missing"}
    if not finished:
        (tmp_path / "coco2017.json").unlink()
    before = read_tree(tmp_path)
    with pytest.raises(OutputError, match="shards of other options") as error:
        made("coco", small, tmp_path)
    assert (error.value.expected, error.value.found) == ("png up-rle", f"png {recorded}")
    assert read_tree(tmp_path) == before


def test_another_resize_is_refused_in_the_same_directory(small: Path, tmp_path: Path) -> None:
    """Shards of one kernel and of another do not mix."""
    pytest.importorskip("cv2")
    made("coco", small, tmp_path)
    with pytest.raises(OutputError, match="other options"):
        made("coco", small, tmp_path, resize="opencv")


def test_without_opencv_its_resize_is_refused(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resize whose library is not installed is a usage error that names the remedy."""
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UsageError, match="pip install segdata"):
        made("coco", small, tmp_path / "out", resize="opencv")
    assert not (tmp_path / "out").exists()
