"""Every data set from a folder of its structure, and one clear sentence for every wrong or partial folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from conftest import SHARED
from datasets import Dataset

from oneshot_sketch.data import CATALOGUE, load_pairs, to_pairs
from oneshot_sketch.errors import InputError


def touch(folder: Path, names: Iterable[str]) -> Path:
    """Empty files: a loader looks at names only."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def couples(folder: Path, stems: Iterable[str], photo: str = "photo", sketch: str = "sketch") -> Path:
    stems = list(stems)
    touch(folder / photo, (f"{stem}.jpg" for stem in stems))
    touch(folder / sketch, (f"{stem}.png" for stem in stems))
    return folder


def splits(dataset: Dataset) -> Counter[str]:
    return Counter(dataset["split"])


def files(dataset: Dataset, column: str) -> list[Path]:
    return [Path(cell["path"]) for cell in dataset.with_format("arrow")[:][column].to_pylist()]


def complaint(name: str, root: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_pairs(name, root)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    return message


# ── any folder ──


def test_a_folder_is_matched_by_stem(tmp_path: Path) -> None:
    touch(couples(tmp_path, "ba") / "photo", ["Thumbs.db", ".hidden.jpg", "notes.txt"])
    dataset = load_pairs("folder", tmp_path)
    assert dataset.column_names == ["photo", "sketch", "identity", "style", "split"]
    assert list(dataset["identity"]) == ["a", "b"]
    assert [path.name for path in files(dataset, "photo")] == ["a.jpg", "b.jpg"]
    assert [path.name for path in files(dataset, "sketch")] == ["a.png", "b.png"]
    assert splits(dataset) == {"all": 2}
    assert list(dataset["style"]) == [None, None]


def test_a_folder_may_be_split(tmp_path: Path) -> None:
    couples(tmp_path / "train", "ab")
    couples(tmp_path / "Test", "c", "Photos", "SKETCHES")
    assert splits(load_pairs("folder", tmp_path)) == {"train": 2, "test": 1}


def test_paths_do_not_depend_on_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    couples(tmp_path / "mine", "a")
    monkeypatch.chdir(tmp_path)
    assert all(path.is_absolute() for path in files(load_pairs("folder", "mine"), "photo"))


def test_bad_folders(tmp_path: Path) -> None:
    assert "does not exist" in complaint("folder", tmp_path / "nowhere")
    (tmp_path / "file").touch()
    assert "is a file" in complaint("folder", tmp_path / "file")
    assert "no folder photo/ or photos/ or images/" in complaint("folder", tmp_path)
    touch(tmp_path / "photo", ["a.jpg"])
    assert "no folder sketch/" in complaint("folder", tmp_path)
    touch(tmp_path / "sketch", ["notes.txt"])
    assert "holds no pictures" in complaint("folder", tmp_path)
    touch(tmp_path / "sketch", ["a.png", "b.png"])
    assert "1 of 2 pictures" in complaint("folder", tmp_path)
    touch(tmp_path / "photo", ["b.jpg", "c.jpg"])
    assert "c.jpg" in complaint("folder", tmp_path)
    touch(tmp_path / "sketch", ["c.png", "c.jpg"])
    assert "same pair" in complaint("folder", tmp_path)


def test_unknown_names_are_told_the_known_ones(tmp_path: Path) -> None:
    assert "os-sketch, cufs, cufsf, wildsketch, fs2k, sksf-a, folder" in complaint("celeba", tmp_path)


@pytest.mark.parametrize("name", sorted(set(CATALOGUE) - {"folder"}))
def test_an_empty_folder_is_no_data_set(name: str, tmp_path: Path) -> None:
    assert str(tmp_path) in complaint(name, tmp_path)


@pytest.mark.parametrize("name", CATALOGUE)
def test_terms_are_one_sentence(name: str) -> None:
    source, _ = CATALOGUE[name]
    assert source.terms.endswith(".")
    assert source.terms.count(". ") == 0
    assert name == "folder" or source.homepage.startswith("http")


# ── FS2K ──


def official_fs2k(root: Path, train: int = 1058, test: int = 1046) -> Path:
    names = {"train": [f"photo{1 + i % 3}/image{i:04d}" for i in range(train)]}
    names["test"] = [f"photo{1 + i % 3}/image{i:04d}" for i in range(train, train + test)]
    for i in range(train + test):
        suffix = "png" if i % 5 == 0 else "jpg"
        for kind, file in (("photo", "image"), ("sketch", "sketch")):
            folder = root / kind / f"{kind}{1 + i % 3}"
            if i < 3:
                folder.mkdir(parents=True)
            (folder / f"{file}{i:04d}.{suffix}").touch()
    for split, listed in names.items():
        rows = [{"image_name": name, "style": (i + 1) % 3, "skin_patch": [1, 2]} for i, name in enumerate(listed)]
        if rows:
            (root / f"anno_{split}.json").write_text(json.dumps(rows))
    return root


@pytest.fixture(scope="module")
def fs2k(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return official_fs2k(tmp_path_factory.mktemp("fs2k"))


def test_fs2k_has_the_official_split_and_the_annotated_styles(fs2k: Path) -> None:
    dataset = load_pairs("fs2k", fs2k)
    assert splits(dataset) == {"train": 1058, "test": 1046}
    photos, sketches = files(dataset, "photo"), files(dataset, "sketch")
    for i in (0, 1, 5, 1057, 2103):
        number, folder = photos[i].stem.removeprefix("image"), photos[i].parent.name[-1]
        assert sketches[i].stem == f"sketch{number}"
        assert sketches[i].parent.name == f"sketch{folder}"
        assert dataset["identity"][i] == f"photo{folder}_{number}"
    assert list(dataset["style"][:3]) == ["style1", "style2", "style0"], "not photo1, photo2, photo3"
    assert dataset.info.license == "mit"


def test_half_of_fs2k_is_enough_but_not_less(tmp_path: Path) -> None:
    root = official_fs2k(tmp_path, test=0)
    assert splits(load_pairs("fs2k", root)) == {"train": 1058}
    (root / "sketch/sketch2/sketch0001.jpg").unlink()
    assert "photo2/image0001" in complaint("fs2k", root)
    annotation = root / "anno_train.json"
    annotation.write_text(json.dumps(json.loads(annotation.read_text())[:-1]))
    assert "1057 pairs in anno_train.json, not 1058" in complaint("fs2k", root)


@pytest.mark.parametrize(
    "text", ["{", "[1]", '[{"image_name": "photo1/image0001"}]', '{"style": 1}', '[{"image_name": "a", "style": "bold"}]']
)
def test_a_damaged_annotation(text: str, tmp_path: Path) -> None:
    for folder in ("photo", "sketch"):
        (tmp_path / folder).mkdir()
    (tmp_path / "anno_test.json").write_text(text)
    assert "anno_test.json" in complaint("fs2k", tmp_path)


def test_the_flat_copy_of_fs2k(tmp_path: Path) -> None:
    stems = [f"photo1_{i:04d}" for i in range(1058)]
    couples(tmp_path, stems)
    (tmp_path / "pairs.json").write_text(json.dumps([{"name": stem, "style": i % 3} for i, stem in enumerate(stems)]))
    dataset = load_pairs("fs2k", tmp_path)
    assert splits(dataset) == {"train": 1058}
    assert list(dataset["style"][:4]) == ["style0", "style1", "style2", "style0"]
    for kind in ("photo/photo1_0007.jpg", "sketch/photo1_0007.png"):
        (tmp_path / kind).unlink()
    assert "disagree about photo1_0007" in complaint("fs2k", tmp_path)


# ── CUFS and CUFSF ──


def official_students(root: Path) -> Path:
    """The students' names as CUHK has them: sketches have other stems than photos."""
    train = [f"f-{i:03d}-01" for i in range(5, 39)] + [f"m-{i:03d}-01" for i in range(8, 62)]
    test = [f"f-{i:03d}-01" for i in range(39, 59)] + [f"m1-{i:03d}-01" for i in range(80)]
    touch(root / "train/photo", (f"{name}.jpg" for name in train))
    touch(root / "train/sketch", (f"{name[0].upper()}2{name[1:]}-sz1.jpg" for name in train))
    touch(root / "test/photos", (f"{name}.jpg" for name in test))
    touch(root / "test/sketches", (f"{name}-sz1.jpg" for name in test))
    return root


def numbered_cufs(root: Path) -> Path:
    """The renumbered copy that the usual lists are made for."""
    for part, count in (("CUHK", 188), ("AR", 123), ("XM2VTS", 295)):
        couples(root / part, map(str, range(1, count + 1)), "photos", "sketches")
    tests = {"CUHK": range(89, 189), "AR": range(81, 124), "XM2VTS": range(101, 296)}
    lines = [f"{part}/photos/{i}.jpg||{part}/sketches/{i}.jpg||x.mat||7" for part, those in tests.items() for i in those]
    (root / "list_test.txt").write_text("\n".join(lines) + "\n")
    return root


def test_cufs_by_the_usual_list(tmp_path: Path) -> None:
    dataset = load_pairs("cufs", numbered_cufs(tmp_path))
    assert splits(dataset) == {"train": 268, "test": 338}
    assert Counter(zip(dataset["style"], dataset["split"], strict=True)) == {
        ("student", "train"): 88,
        ("student", "test"): 100,
        ("ar", "train"): 80,
        ("ar", "test"): 43,
        ("xm2vts", "train"): 100,
        ("xm2vts", "test"): 195,
    }
    assert len(set(dataset["identity"])) == 606


def test_the_list_knows_the_parts_by_any_of_their_names(tmp_path: Path) -> None:
    root = numbered_cufs(tmp_path)
    (root / "CUHK").rename(root / "student")
    assert splits(load_pairs("cufs", root)) == {"train": 268, "test": 338}


def test_folders_go_before_the_list(tmp_path: Path) -> None:
    official_students(tmp_path / "student")
    (tmp_path / "list_test.txt").write_text("CUHK/photos/1.jpg||CUHK/sketches/1.jpg")
    assert splits(load_pairs("cufs", tmp_path)) == {"train": 88, "test": 100}


def test_a_list_of_another_copy_is_refused(tmp_path: Path) -> None:
    root = numbered_cufs(tmp_path)
    listed = (root / "list_test.txt").read_text()
    for kind, suffix in (("photos", "jpg"), ("sketches", "png")):
        (root / f"AR/{kind}/123.{suffix}").rename(root / f"AR/{kind}/000.{suffix}")
    assert "lists 123, which is not there, in ar" in complaint("cufs", root)
    (root / "list_test.txt").write_text(listed.replace("XM2VTS", "other"))
    (root / "AR").rename(root / "kept")
    assert "lists nothing in xm2vts" in complaint("cufs", root)
    (root / "list_test.txt").write_bytes(b"\xff\xfe\x00")
    assert "is not text" in complaint("cufs", root)
    (root / "list_test.txt").write_text("one\ntwo\n")
    assert "no list of test pairs" in complaint("cufs", root)


def test_students_under_their_official_names(tmp_path: Path) -> None:
    official_students(tmp_path / "CUHK_student")
    dataset = load_pairs("cufs", tmp_path)
    assert splits(dataset) == {"train": 88, "test": 100}
    pairs = dict(zip(dataset["identity"], files(dataset, "sketch"), strict=True))
    assert pairs["student-f-005-01"].name == "F2-005-01-sz1.jpg"
    assert pairs["student-m1-002-01"].name == "m1-002-01-sz1.jpg"


def test_students_split_by_prefix_and_parts_that_nobody_split(tmp_path: Path) -> None:
    couples(tmp_path / "student", [f"train_{i:02d}" for i in range(88)] + [f"test_{i:02d}" for i in range(100)])
    couples(tmp_path / "ar", [f"{i:03d}" for i in range(123)])
    assert splits(load_pairs("cufs", tmp_path)) == {"train": 88, "test": 100, "all": 123}
    (tmp_path / "ar/photo/100.jpg").unlink()
    (tmp_path / "ar/sketch/100.png").unlink()
    assert "122 pairs, not 123" in complaint("cufs", tmp_path)


def cufsf_names() -> dict[str, str]:
    """Photo stem → sketch stem, for the 1194 subjects."""
    return {f"{i:05d}fb001d_931230": f"{i:05d}" for i in range(1, 1195)}


def whole_cufsf(root: Path) -> Path:
    touch(root / "photo", (f"{name}.tif" for name in cufsf_names()))
    touch(root / "cropped_sketch", (f"{name}.jpg" for name in cufsf_names().values()))
    return root


def test_cufsf_is_paired_by_subject_and_split_by_list(tmp_path: Path) -> None:
    root = whole_cufsf(tmp_path)
    dataset = load_pairs("cufsf", root)
    assert splits(dataset) == {"all": 1194}
    assert [path.stem[:5] for path in files(dataset, "photo")] == [path.stem for path in files(dataset, "sketch")]
    listed = (f"CUHK_FERET/photos/{i:05d}.jpg||CUHK_FERET/sketches/{i:05d}.jpg" for i in range(1, 945))
    (root / "list_test_F.txt").write_text("\n".join(listed))
    assert splits(load_pairs("cufsf", root)) == {"train": 250, "test": 944}


def test_cufsf_that_is_partial_or_renamed(tmp_path: Path) -> None:
    couples(tmp_path, [f"{i:05d}" for i in range(1193)])
    assert "1193 pairs, not 1194" in complaint("cufsf", tmp_path)
    touch(tmp_path / "photo", ["face.jpg"])
    assert "face does not begin with the five digits" in complaint("cufsf", tmp_path)


# ── WildSketch, SKSF-A, OS-Sketch ──


def test_wildsketch(tmp_path: Path) -> None:
    for split in ("train", "test"):
        touch(tmp_path / split / "images", (f"face_{i}.jpg" for i in range(400)))
        touch(tmp_path / split / "sketches", (f"sketch_{i}.png" for i in range(400)))
    dataset = load_pairs("wildsketch", tmp_path)
    assert splits(dataset) == {"train": 400, "test": 400}
    assert len(set(dataset["identity"])) == 800
    numbers = [[path.stem.split("_")[1] for path in files(dataset, column)] for column in ("photo", "sketch")]
    assert numbers[0] == numbers[1]
    for path in (tmp_path / "test").glob("*/*_9.*"):
        path.unlink()
    assert "399 pairs, not 400" in complaint("wildsketch", tmp_path)


def test_sksf_a(tmp_path: Path) -> None:
    for folder in ("Photo", *(f"style{n}" for n in range(1, 8))):
        touch(tmp_path / folder, (f"{i}.png" for i in range(1, 135)))
    dataset = load_pairs("sksf-a", tmp_path)
    assert len(dataset) == 938
    assert Counter(dataset["style"]) == {f"style{n}": 134 for n in range(1, 8)}
    assert len(set(dataset["identity"])) == 134
    (tmp_path / "style4/77.png").unlink()
    assert "77.png" in complaint("sksf-a", tmp_path)
    for path in tmp_path.glob("*/77.png"):
        path.unlink()
    assert "133 sketches, not 134" in complaint("sksf-a", tmp_path)
    (tmp_path / "style7").rename(tmp_path / "more")
    (tmp_path / "Photo/77.png").touch()
    for n in range(1, 7):
        (tmp_path / f"style{n}/77.png").touch()
    assert "no folder style7/" in complaint("sksf-a", tmp_path)


def os_sketch(root: Path) -> Path:
    for part, count in (("internet", 40), ("CUFS", 100), ("WildSketch", 150)):
        couples(root / part, map(str, range(count)))
    return root


def test_os_sketch_takes_its_part_out_of_the_whole_of_cufsf(tmp_path: Path) -> None:
    root = os_sketch(tmp_path)
    assert "ask CUHK for CUFSF" in complaint("os-sketch", root)
    whole_cufsf(root / "CUFSF")
    dataset = load_pairs("os-sketch", root)
    assert Counter(dataset["style"]) == {"internet": 40, "cufs": 100, "cufsf": 110, "wildsketch": 150}
    assert splits(dataset) == {"all": 400}
    assert len(set(dataset["identity"])) == 400
    taken = sorted(path.stem for path in files(dataset, "photo") if "cufsf" in str(path).lower())
    assert (taken[0], taken[-1]) == ("00043fb001d_931230", "00152fb001d_931230")


def test_os_sketch_that_is_partial(tmp_path: Path) -> None:
    root = os_sketch(tmp_path)
    couples(root / "cufsf", [f"{i:05d}" for i in range(43, 152)])
    assert "109 of its pairs, not 110" in complaint("os-sketch", root)
    touch(root / "cufsf/photo", ["00152fa001d_931230.jpg"])
    touch(root / "cufsf/sketch", ["00152.jpg"])
    assert len(load_pairs("os-sketch", root)) == 400
    (root / "internet").rename(root / "kept")
    assert "sort the pairs of the archive into internet/, cufs/, cufsf/, wildsketch/" in complaint("os-sketch", root)


# ── real ones ──


@pytest.mark.skipif(not SHARED.is_dir(), reason="no development data here")
@pytest.mark.parametrize(
    ("name", "place", "counts"),
    [("cufs", "cufs", {"train": 88, "test": 100, "all": 123}), ("fs2k", "fs2k", {"train": 1058})],
)
def test_real_folders(name: str, place: str, counts: dict[str, int]) -> None:
    dataset = load_pairs(name, SHARED / place)
    assert splits(dataset) == counts
    for pair in to_pairs(dataset.select(range(0, len(dataset), 150))):
        assert pair.photo.size == pair.sketch.size
        assert pair.photo.mode == "RGB"
