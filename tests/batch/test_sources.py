"""What a user may name, and what each photo's sketch is then called."""

from __future__ import annotations

import csv
import tracemalloc
import weakref
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import picture

from oneshot_sketch.batch.claims import Claims
from oneshot_sketch.batch.photos import DataSet, Photo
from oneshot_sketch.batch.sources import Source, find_photos
from oneshot_sketch.errors import InputError


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """ada.png, b/grace.jpg, b/c/mary.png, notes and hidden files."""
    folder = tmp_path / "album"
    (folder / "b" / "c").mkdir(parents=True)
    for i, name in enumerate(("ada.png", "b/grace.jpg", "b/c/mary.png", ".hidden.png")):
        picture(seed=i).save(folder / name)
    (folder / "b" / "notes.txt").write_text("not a photo")
    return folder


def names(source: Source, **options: object) -> list[str]:
    return [photo.name for photo in find_photos(source, **options)]  # type: ignore[arg-type]


def test_a_folder_gives_stems_and_a_recursive_one_keeps_its_folders(album: Path) -> None:
    assert names(album) == ["ada"]
    assert names(str(album), recursive=True) == ["ada", "b/grace", "b/c/mary"]
    assert [photo.path for photo in find_photos(album)] == [str(album / "ada.png")]


def test_the_output_inside_a_folder_is_no_source(album: Path) -> None:
    assert names(album, recursive=True, output=album / "b" / "c") == ["ada", "b/grace"]


def test_a_glob_keeps_what_its_wildcards_match(album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert names(f"{album}/*.png") == ["ada"]
    assert names(f"{album}/**/*.[pj][np]g") == ["ada", "b/c/mary", "b/grace"]
    assert names(f"{album}/b/*/*.png") == ["c/mary"]
    monkeypatch.chdir(album / "b")
    assert names("../*.png") == ["ada"]
    (album / "b" / "one[1].png").touch()
    assert names("one[1].png") == ["one[1]"], "a file of that very name is no pattern"


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_a_table_gives_paths_from_its_own_folder(album: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    paths = ["ada.png", "b/grace.jpg", str(album / "b/c/mary.png"), "/elsewhere/ann.v2.png", "../jane.png"]
    table = album / f"list{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.table({"age": range(5), "path": paths}), table)
    else:
        with table.open("w", newline="", encoding="utf-8-sig") as lines:
            writer = csv.writer(lines, delimiter="\t" if suffix == ".tsv" else ",")
            writer.writerows([("age", "path"), *enumerate(paths)])
    found = list(find_photos(table))
    assert [photo.name for photo in found] == ["ada", "b/grace", "b/c/mary", "elsewhere/ann.v2", "jane"]
    assert found[0].read() == (album / "ada.png").read_bytes()
    assert found[3].path == "/elsewhere/ann.v2.png"
    with pytest.raises(InputError, match=r"no column 'face'; give --column one of: age, path"):
        names(table, column="face")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_long_table_streams(tmp_path: Path, suffix: str) -> None:
    table, rows = tmp_path / f"long{suffix}", 20_000
    paths = [f"faces/{i:07d}.jpg" for i in range(rows)]
    pq.write_table(pa.table({"path": paths}), tmp_path / "long.parquet", row_group_size=5000)
    with (tmp_path / "long.csv").open("w") as lines:
        lines.writelines(["path\n", *(f"{path}\n" for path in paths)])
    del paths
    alive: weakref.WeakSet[Photo] = weakref.WeakSet()
    for photo in find_photos(table):
        alive.add(photo)
        assert len(alive) < 5
    tracemalloc.start()
    assert next(find_photos(table)).name == "faces/0000000"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 700_000, "bytes; the paths alone are 1.4 MB as Python's strings"


@pytest.mark.parametrize("kind", ["saved", "parquet", "folder"])
def test_a_data_set_gives_its_rows(album: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    place = tmp_path / "set"
    paths = [str(album / "ada.png"), str(album / "b/grace.jpg")]
    rows = datasets.Dataset.from_dict({"face": paths, "age": [1, 2]}).cast_column("face", datasets.Image())
    if kind == "saved":
        datasets.DatasetDict({"train": rows}).save_to_disk(place)
    elif kind == "parquet":
        place.mkdir()
        rows.to_parquet(place / "data.parquet")
    else:
        (album / "b" / "notes.txt").unlink()
        place = album / "b"
        paths = [str(place / "c/mary.png"), paths[1]]
    found = list(find_photos(DataSet(str(place))))
    assert [photo.name for photo in found] == ["00000000", "00000001"]
    assert {photo.read() for photo in found} == {Path(path).read_bytes() for path in paths}
    assert found[1].path == f"{place}[1]"
    for wrong, what in ((DataSet(str(place), column="age"), "no image column 'age'"), (DataSet(str(place), "dev"), "dev")):
        with pytest.raises(InputError, match=what):
            names(wrong)


def test_lines_of_paths(album: Path) -> None:
    found = list(find_photos(iter([f"{album}/ada.png\n", "\n", "b/grace.jpg\r\n"])))
    assert [(photo.name, photo.path) for photo in found] == [("ada", f"{album}/ada.png"), ("grace", "b/grace.jpg")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("no.csv", None, "does not exist"),
        ("no.parquet", None, "does not exist"),
        ("bad.parquet", b"PAR1 nonsense", "is not a Parquet table"),
        ("bad.csv", b"path\n\xff\xfe\x00", "is not a table in UTF-8"),
        ("other.csv", b"a,b\n1,2\n", "no column of paths; give --column one of: a, b"),
        ("empty.csv", b"", "one of: none there"),
        ("none/*.jpg", None, "matches no file"),
        ("set", None, "could not be opened as a data set"),
    ],
)
def test_what_names_nothing_says_so(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    source = DataSet(str(tmp_path / name)) if name == "set" else str(tmp_path / name)
    with pytest.raises(InputError, match=message) as said:
        names(source)
    assert "\n" not in str(said.value)


def test_a_parquet_table_of_pictures_is_shown_the_way(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [b"\x89PNG"]}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match="holds binary, not paths; .* --dataset"):
        names(tmp_path / "t.parquet")


def test_claims_refuse_two_photos_of_one_name_and_a_sketch_on_a_photo(tmp_path: Path) -> None:
    claims = Claims(tmp_path / "out")
    assert claims.claim(Photo("ada", "x/ada.png"))
    assert not claims.claim(Photo("ada", "x/ada.png")), "named twice"
    with pytest.raises(InputError, match=r"x/ada\.png and y/ada\.png would both become ada\.png"):
        claims.claim(Photo("ada", "y/ada.png"))
    with pytest.raises(InputError, match="would replace the photo"):
        claims.claim(Photo("grace", str(tmp_path / "out" / "grace.png")))
    with pytest.raises(InputError, match=r"would replace the photo .*ada\.png"):
        claims.claim(Photo("b", str(tmp_path / "out" / "ada.png"))), "another's sketch, claimed before"
    assert claims.claim(Photo("mary", str(tmp_path / "out" / "jane.png")))
    with pytest.raises(InputError, match=r"would replace the photo .*jane\.png"):
        claims.claim(Photo("jane", "x/jane.jpg"))


def test_shards_cover_every_photo_once_and_evenly() -> None:
    shards = [Photo(f"faces/{i}", "").shard(4) for i in range(4000)]
    assert set(shards) == {0, 1, 2, 3}
    assert all(900 < shards.count(k) < 1100 for k in range(4))
