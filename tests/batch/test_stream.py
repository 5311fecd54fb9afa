"""The plain function in this process: what is drawn, what is kept, what is refused, and that neighbours do not matter."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from batch.conftest import Photos, files
from conftest import picture
from PIL import Image
from test_adapters import some_companion

from oneshot_sketch import InputError, LearnedInstruction, OneShotSketchPipeline
from oneshot_sketch.batch import DrawingSettings, Summary, read_manifest, sketch_photos
from oneshot_sketch.batch import stream as stream_module
from oneshot_sketch.batch.drawing import Drawing

ONE_STEP = DrawingSettings(num_inference_steps=1)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches as they are drawn."""
    sizes: list[int] = []
    draw = Drawing.draw

    def counted(self: Drawing, fitted: Any, *others: Any) -> Any:
        sizes.append(len(fitted))
        return draw(self, fitted, *others)

    monkeypatch.setattr(Drawing, "draw", counted)
    return sizes


# ── what a sketch is ──


def test_a_companion_is_drawn_with_and_is_another_recipe(pencil: Path, photos: Photos) -> None:
    plain = LearnedInstruction.from_pretrained(pencil)
    pipe = OneShotSketchPipeline.from_pretrained(plain.record.backbone)
    fine = LearnedInstruction(plain.embeddings, plain.neutral, plain.rows, plain.record, some_companion(pipe.unet))
    drawings = [Drawing(one, DrawingSettings(resolution="photo")) for one in (plain, fine)]
    assert drawings[0].key("ab") != drawings[1].key("ab")
    pictures = [d.draw([d.fit(picture(32, 32))], ["ab"], 1, [None])[0][0] for d in drawings]
    seed = torch.Generator().manual_seed(drawings[1].seed("ab"))
    own = pipe.load_instruction(fine)(image=drawings[1].fit(picture(32, 32)), resolution="photo", generator=seed).images[0]
    np.testing.assert_array_equal(np.asarray(pictures[1]), np.asarray(own))
    assert not np.array_equal(np.asarray(pictures[0]), np.asarray(pictures[1]))


def test_the_sketch_is_the_pipelines_own_by_the_seed_it_carries(photos: Photos, pencil: Path, tmp_path: Path) -> None:
    folder = photos(2, sizes=((40, 48),))
    sketch_photos(folder, pencil, tmp_path / "out", settings=DrawingSettings(text="soft", seed=5))
    instruction = LearnedInstruction.from_pretrained(pencil)
    pipe = OneShotSketchPipeline.from_pretrained(instruction.record.backbone).load_instruction(instruction, "pencil")
    seeds = set()
    for name in ("p0000", "p0001"):
        with Image.open(tmp_path / "out" / f"{name}.png") as sketch:
            settings = json.loads(sketch.info["oneshot_sketch"])
            generator = torch.Generator().manual_seed(settings["seed"])
            own = pipe(image=Image.open(folder / f"{name}.png"), text="soft", generator=generator)
            assert np.array_equal(np.asarray(sketch), np.asarray(own.images[0]))
        assert own.settings.items() <= settings.items()
        seeds.add(settings["seed"])
    assert len(seeds) == 2, "no two photos share their noise"


@pytest.mark.parametrize("size", [2, 3, 4])
def test_neighbours_order_and_interruptions_leave_every_byte_as_it_is(
    photos: Photos, pencil: Path, tmp_path: Path, size: int
) -> None:
    folder = photos(11, sizes=((32, 32), (32, 32), (40, 24)))
    sketch_photos(folder, pencil, tmp_path / "straight", batch_size=size, settings=ONE_STEP)
    straight = files(tmp_path / "straight")
    backwards = [str(path) for path in sorted(folder.iterdir(), reverse=True)]
    sketch_photos(backwards, pencil, tmp_path / "back", batch_size=size, settings=ONE_STEP)
    assert files(tmp_path / "back") == straight
    for name in ("p0001", "p0002", "p0007"):
        (tmp_path / "back" / f"{name}.png").unlink()
    again = sketch_photos(folder, pencil, tmp_path / "back", batch_size=size, settings=ONE_STEP)
    assert again == Summary(drawn=3, kept=8)
    assert files(tmp_path / "back") == straight


def test_between_batch_sizes_a_grey_level_here_and_there(pencil: Path, tmp_path: Path) -> None:
    """On `mini`, whose networks are large enough for kernels to differ by the size of the batch."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(4):
        picture(128, 160, seed=i).save(folder / f"{i}.png")
    pipe = OneShotSketchPipeline.from_pretrained("mini")
    rows = pipe._encode_prompt("pencil drawing", torch.device("cpu"), 1, False)[0]
    record = LearnedInstruction.from_pretrained(pencil).record
    mini = type(record)(backbone="mini")
    instruction = LearnedInstruction(rows, rows, (1, 7), mini)
    for size in (1, 2, 4):
        sketch_photos(folder, instruction, tmp_path / str(size), batch_size=size)
    for name in range(4):
        one, *others = (np.asarray(Image.open(tmp_path / str(size) / f"{name}.png")).astype(int) for size in (1, 2, 4))
        for other in others:
            assert np.abs(one - other).max() <= 1
            assert (one != other).mean() < 1e-3
    (tmp_path / "4" / "2.png").rename(tmp_path / "2.png")
    assert sketch_photos(folder, instruction, tmp_path / "4", batch_size=4).drawn == 1
    assert (tmp_path / "4" / "2.png").read_bytes() == (tmp_path / "2.png").read_bytes()


# ── what is done again ──


def test_a_rerun_draws_nothing(photos: Photos, pencil: Path, tmp_path: Path, drawn: list[int]) -> None:
    folder = photos(5, bad=1)
    first = sketch_photos(folder, pencil, tmp_path / "out", batch_size=2, settings=ONE_STEP)
    assert (first.drawn, first.kept, first.failed) == (5, 0, 1)
    before, rows = files(tmp_path / "out"), list(read_manifest(tmp_path / "out"))
    assert drawn == [2, 2, 1]
    drawn.clear()
    second = sketch_photos(folder, pencil, tmp_path / "out", batch_size=2, settings=ONE_STEP)
    assert (second.drawn, second.kept, second.failed) == (0, 5, 1)
    assert drawn == []
    assert files(tmp_path / "out") == before
    assert [row for row in read_manifest(tmp_path / "out") if not row.error] == [row for row in rows if not row.error]


@pytest.mark.parametrize(
    ("settings", "all_again"),
    [
        (DrawingSettings(), False),
        (DrawingSettings(num_inference_steps=2), False),  # which is the instruction's own
        (DrawingSettings(num_inference_steps=1), True),
        (DrawingSettings(seed=1), True),
        (DrawingSettings(text="soft"), True),
        (DrawingSettings(guidance_scale=2), True),
        (DrawingSettings(image_guidance_scale=2), True),
        (DrawingSettings(resolution=48), True),
    ],
)
def test_a_changed_setting_draws_all_again(
    photos: Photos, pencil: Path, tmp_path: Path, settings: DrawingSettings, all_again: bool
) -> None:
    folder = photos(2)
    sketch_photos(folder, pencil, tmp_path / "out")
    assert sketch_photos(folder, pencil, tmp_path / "out", settings=settings).drawn == (2 if all_again else 0)


def test_what_changed_or_went_is_drawn_again_and_nothing_else(photos: Photos, pencil: Path, tmp_path: Path) -> None:
    folder, out = photos(5), tmp_path / "out"
    sketch_photos(folder, pencil, out, settings=ONE_STEP)
    before = files(out)
    picture(seed=99).save(folder / "p0001.png")
    (out / "p0002.png").unlink()
    (out / "p0003.png").write_bytes(before["p0003"][:100])
    os.replace(folder / "p0004.png", folder / "moved.png")
    assert sketch_photos(folder, pencil, out, settings=ONE_STEP) == Summary(drawn=4, kept=1)
    after = files(out)
    assert after["p0001"] != before["p0001"]
    assert {name: after[name] for name in ("p0000", "p0002", "p0003")} == {
        name: before[name] for name in ("p0000", "p0002", "p0003")
    }
    assert after["moved"] == before["p0004"]
    learned = LearnedInstruction.from_pretrained(pencil)
    other = LearnedInstruction(learned.embeddings + 1, learned.neutral, learned.rows, learned.record)
    assert sketch_photos(folder, other, out, settings=ONE_STEP).drawn == 5


def test_without_its_manifest_a_folder_is_recorded_again_not_drawn_again(
    photos: Photos, pencil: Path, tmp_path: Path, drawn: list[int]
) -> None:
    folder, out = photos(3), tmp_path / "out"
    sketch_photos(folder, pencil, out, settings=ONE_STEP)
    keys = [row.key for row in read_manifest(out)]
    (out / "manifest.sqlite").unlink()
    drawn.clear()
    assert sketch_photos(folder, pencil, out, settings=ONE_STEP) == Summary(kept=3)
    assert drawn == []
    assert [row.key for row in read_manifest(out)] == keys


def test_the_manifest_says_of_every_photo_what_became_of_it(photos: Photos, pencil: Path, tmp_path: Path) -> None:
    folder, out = photos(2, bad=1), tmp_path / "out"
    sketch_photos([folder, "no/such.png"], pencil, out, settings=ONE_STEP)
    rows = {row.name: row for row in read_manifest(out)}
    assert list(rows) == ["p0000", "p0000bad", "p0001", "such"]
    assert rows["such"].error == "no/such.png does not exist; check the path."
    assert "p0000bad.jpg is not a picture" in str(rows["p0000bad"].error)
    assert (rows["p0000bad"].key, rows["such"].sha256) == (None, None)
    with Image.open(out / "p0001.png") as sketch:
        settings = json.loads(sketch.info["oneshot_sketch"])
    assert (settings["photo"], settings["key"], settings["seed"]) == (
        rows["p0001"].sha256,
        rows["p0001"].key,
        rows["p0001"].seed,
    )


# ── bounds ──


def test_photos_of_many_shapes_are_drawn_in_full_batches(photos: Photos, pencil: Path, tmp_path: Path, drawn: list[int]) -> None:
    folder = photos(12, sizes=((32, 32), (24, 40), (40, 24)))
    sketch_photos(folder, pencil, tmp_path / "out", batch_size=4, settings=ONE_STEP)
    assert drawn == [4, 4, 4]


def test_no_more_photos_wait_than_allowed(
    photos: Photos, pencil: Path, tmp_path: Path, drawn: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "MAX_WAITING", 3 * 32 * 32 * 3)
    folder = photos(12, sizes=((32, 32), (24, 40), (40, 24)))
    summary = sketch_photos(folder, pencil, tmp_path / "out", batch_size=4, settings=ONE_STEP)
    assert summary.drawn == 12
    assert drawn[0] == 2, "the fourth photo overflows, and the largest group of one shape goes"
    assert max(drawn) <= 2


def test_reading_stays_a_bounded_step_ahead_of_drawing(photos: Photos, pencil: Path, tmp_path: Path, monkeypatch: Any) -> None:
    read = 0
    drawn_when_read: list[int] = []
    written = tmp_path / "out"
    monkeypatch.setattr(stream_module.os, "cpu_count", lambda: 2)

    def paths() -> Any:
        nonlocal read
        for path in sorted(photos(40).iterdir()):
            read += 1
            drawn_when_read.append(read - len(list(written.glob("*.png"))))
            yield str(path)

    assert sketch_photos(paths(), pencil, written, batch_size=2, settings=ONE_STEP).drawn == 40
    assert max(drawn_when_read) <= 2 * 2 + 2 + 3 * 2 + 1, "the window, a batch waiting, one drawn and one written"


# ── refused ──


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"workers": 2}, "start several processes with torchrun"),
        ({"settings": DrawingSettings(resolution=3)}, "resolution is 3"),
        ({"settings": DrawingSettings(num_inference_steps=0)}, "num_inference_steps is 0"),
        ({"device": "banana"}, "'banana'"),
    ],
)
def test_nonsense_is_refused_before_anything_is_written(
    photos: Photos, pencil: Path, tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        sketch_photos(photos(1), pencil, tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_an_empty_table_is_refused(pencil: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path\n")
    with pytest.raises(InputError, match="no photos"):
        sketch_photos(tmp_path / "t.csv", pencil, tmp_path / "out")


def test_processes_do_not_share_a_stream(pencil: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="cannot share one stream"):
        sketch_photos(iter(["a.png"]), pencil, tmp_path / "out")


def test_processes_without_a_launcher_take_their_share(
    photos: Photos, pencil: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = photos(12), tmp_path / "out"
    monkeypatch.setenv("WORLD_SIZE", "3")
    shares = []
    for rank in "012":
        monkeypatch.setenv("RANK", rank)
        shares.append(sketch_photos(folder, pencil, out, settings=ONE_STEP).drawn)
    assert sum(shares) == 12
    assert all(shares)
    assert sorted(path.name for path in out.glob("*.sqlite")) == [f"manifest-0000{k}.sqlite" for k in range(3)]
    monkeypatch.delenv("WORLD_SIZE")
    monkeypatch.delenv("RANK")
    assert sketch_photos(folder, pencil, out, settings=ONE_STEP) == Summary(kept=12)
    assert [row.name for row in read_manifest(out)] == [f"p{i:04d}" for i in range(12)]
