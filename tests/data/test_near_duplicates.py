"""Copies of a photo are found across a split, other photos are not."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from conftest import SHARED, picture
from PIL import Image, ImageEnhance
from scipy.fft import dctn

from oneshot_sketch.data import find_near_duplicates, load_pairs, report_near_duplicates
from oneshot_sketch.data.near_duplicates import LOOKALIKE_BITS, perceptual_hash


def noise(seed: int, size: tuple[int, int] = (120, 150)) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)


def disguised(photo: Image.Image) -> Image.Image:
    """Smaller, brighter, flatter and compressed."""
    photo = ImageEnhance.Contrast(ImageEnhance.Brightness(photo.resize((90, 110))).enhance(1.1)).enhance(0.8)
    photo.save(buffer := io.BytesIO(), "JPEG", quality=40)
    return Image.open(buffer)


def test_the_hash_is_of_scipys_cosine_transform() -> None:
    photo = noise(0)
    brightness = np.asarray(photo.convert("L").resize((64, 64), Image.Resampling.BOX), np.float64)
    low = dctn(brightness, norm="ortho")[:16, :16].ravel()[1:]
    assert np.array_equal(perceptual_hash(photo), low > np.median(low))


def test_a_disguised_copy_hashes_near_and_a_stranger_far() -> None:
    ours = perceptual_hash(noise(0))
    assert (ours != perceptual_hash(disguised(noise(0)))).sum() <= LOOKALIKE_BITS / 2
    assert min((ours != perceptual_hash(noise(seed))).sum() for seed in range(1, 20)) > LOOKALIKE_BITS


def write(root: Path, split: str, photos: dict[str, Image.Image]) -> None:
    for name, photo in photos.items():
        for kind, image in (("photo", photo), ("sketch", picture(120, 150))):
            (root / split / kind).mkdir(parents=True, exist_ok=True)
            image.save(root / split / kind / f"{name}.png")


def test_copies_are_found_and_reported(tmp_path: Path) -> None:
    write(tmp_path, "train", {"one": noise(1), "two": noise(2), "three": noise(3), "twice": disguised(noise(3))})
    write(tmp_path, "test", {"other": noise(4), "leak": disguised(noise(2))})
    dataset = load_pairs("folder", tmp_path)
    found = find_near_duplicates(dataset)
    assert {frozenset(pair.identities) for pair in found} == {frozenset(("leak", "two")), frozenset(("three", "twice"))}
    assert [pair.bits for pair in found] == sorted(pair.bits for pair in found)
    (leak,) = (pair for pair in found if pair.crosses_split)
    assert set(leak.splits) == {"train", "test"}
    assert {dataset[i]["identity"] for i in leak.rows} == {"leak", "two"}
    report = report_near_duplicates(found).splitlines()
    assert report[0] == "1 near-duplicates across splits, 1 within one."
    assert "leak" in report[1], "leaks come first"
    assert find_near_duplicates(dataset, bits=0) == []


def test_one_person_in_two_rows_is_no_duplicate(tmp_path: Path) -> None:
    write(tmp_path, "train", {"one": noise(1)})
    write(tmp_path, "test", {"one": noise(1)})
    assert find_near_duplicates(load_pairs("folder", tmp_path)) == []


def test_an_empty_selection_has_none(tmp_path: Path) -> None:
    write(tmp_path, "train", {"one": noise(1)})
    assert find_near_duplicates(load_pairs("folder", tmp_path).select([])) == []


@pytest.mark.skipif(not SHARED.is_dir(), reason="no development data here")
def test_known_twins_of_fs2k() -> None:
    """Two photos of one moment, named 147 apart; and others around them."""
    dataset = load_pairs("fs2k", SHARED / "fs2k")
    names = [f"photo1_{n}" for n in ("0333", "0480", "0573", "1364", "0301", "0299", "0161")]
    where = {name: i for i, name in enumerate(dataset["identity"])}
    found = find_near_duplicates(dataset.select([where[name] for name in names]))
    assert {frozenset(pair.identities) for pair in found} == {
        frozenset(("photo1_0333", "photo1_0480")),
        frozenset(("photo1_0573", "photo1_1364")),
    }
