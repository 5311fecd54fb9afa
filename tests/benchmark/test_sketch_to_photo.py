from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import picture
from PIL import Image, ImageOps
from small_sketch_to_photo import put_networks
from tiny_stylegan import drawn_face

from oneshot_sketch import InputError, PhotoSketchPair
from oneshot_sketch.benchmark import Protocol, Unavailable, build, load_protocol, register, system
from oneshot_sketch.benchmark.exemplars import choose
from oneshot_sketch.benchmark.harness import run
from oneshot_sketch.benchmark.measures import build_metric
from oneshot_sketch.benchmark.protocol import Entrant, Measure, Part
from oneshot_sketch.benchmark.record import Job, Record
from oneshot_sketch.benchmark.report import report
from oneshot_sketch.benchmark.summary import summarise
from oneshot_sketch.images import to_tensor
from oneshot_sketch.metrics import Features, LpipsDiversity, rank_one
from oneshot_sketch.metrics.lpips import TappedDistance

SIDE = 32


class Negative:
    """The sketch's negative, ever darker from one answer to the next."""

    def learn(self, pairs: Sequence[PhotoSketchPair]) -> None:
        assert np.asarray(pairs[0].sketch).std() > 0

    def photograph(self, sketches: Sequence[Image.Image], count: int) -> list[list[Image.Image]]:
        return [[ImageOps.invert(s).point(lambda v, n=n: v // (n + 1)) for n in range(count)] for s in sketches]


@pytest.fixture(autouse=True)
def negative(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    register("negative")(Negative)
    layer = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, bias=False))
    torch.nn.init.constant_(layer[0].weight, 0.1)
    tapped = TappedDistance("one layer", layer, [0], [torch.ones(4)])
    monkeypatch.setattr("oneshot_sketch.benchmark.measures._tapped", lambda *_: tapped)
    yield
    del system._FACTORIES["negative"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for i in range(7):
        pair = {"photo": picture(SIDE, SIDE, seed=20 + i), "sketch": drawn_face(i, SIDE)}
        for kind, image in pair.items():
            (tmp_path / "data/set" / kind).mkdir(parents=True, exist_ok=True)
            image.save(tmp_path / "data/set" / kind / f"person{i}.png")
    return tmp_path / "data"


def protocol(*entrants: Entrant, **changes: Any) -> Protocol:
    parts = (
        Part("whole", "folder", "set"),
        Part("half", "folder", "set", completion=0.5),
        Part("noisy", "folder", "set", noise=0.5),
    )
    measures = (Measure("ssim"), Measure("lpips-diversity"), Measure("fid", {"network": "pooled"}))
    settings: dict[str, Any] = {
        "title": "Back",
        "about": "To photos.",
        "parts": parts,
        "entrants": entrants or (Entrant("negative", "negative"),),
        "measures": measures,
        "pairs": 2,
        "exemplars": 1,
        "photos": 0,
        "size": SIDE,
        "lookalike_bits": 0,
        "direction": "sketch-to-photo",
        "images": 3,
    }
    return Protocol(**(settings | changes))


def test_sketches_are_given_and_photos_are_the_truth(data: Path, tmp_path: Path) -> None:
    record = run(protocol(), data, tmp_path / "out", progress=False)
    job = Job("whole", "negative", 0)
    rows = record.outcome(job).images
    assert len(rows) == 5
    for row in rows:
        sketch, photo = (Image.open(data / "set" / kind / f"{row['photo']}.png").convert("RGB") for kind in ("sketch", "photo"))
        assert np.array_equal(record.sketch(job, row["photo"]), ImageOps.invert(sketch))
        assert np.array_equal(Image.open(record.given("whole", "sketch", row["photo"])), sketch)
        assert np.array_equal(Image.open(record.given("whole", "photo", row["photo"])), photo)
        metric = build_metric("ssim")
        metric.update(to_tensor(ImageOps.invert(sketch)), truths=to_tensor(photo))
        assert row["ssim"] == pytest.approx(metric.compute().value, abs=1e-5)


def test_unfinished_and_noisy_sketches_are_the_same_every_time_and_only_sketches_change(data: Path) -> None:
    wanted = protocol()
    whole, half, noisy = (choose(wanted, part, data) for part in wanted.parts)
    assert [np.asarray(x).tobytes() for x in half.truths] == [np.asarray(x).tobytes() for x in whole.truths]
    again = choose(wanted, wanted.parts[1], data)
    for before, less, same, more in zip(whole.given, half.given, again.given, noisy.given, strict=True):
        a, b, c, d = (np.asarray(x, np.int16) for x in (before, less, same, more))
        assert np.array_equal(b, c)
        assert (b >= a).all() and (b > a + 50).any()
        assert (d <= a).all() and (d < a - 50).any()
    assert [np.asarray(p.sketch).tobytes() for p in half.reserved] == [np.asarray(p.sketch).tobytes() for p in whole.reserved]


def test_diversity_is_over_several_photos_of_one_sketch(data: Path, tmp_path: Path) -> None:
    record = run(protocol(images=2), data, tmp_path / "out", progress=False)
    outcome = record.outcome(Job("whole", "negative", 0))
    metric = build_metric("lpips-diversity")
    assert isinstance(metric, LpipsDiversity)
    sketch = Image.open(data / "set/sketch" / f"{outcome.images[0]['photo']}.png").convert("RGB")
    metric.update(to_tensor(Negative().photograph([sketch], 2)[0]))
    assert outcome.images[0]["lpips-diversity"] == pytest.approx(metric.compute().value, abs=1e-5) != 0
    assert "2 pictures of each" in outcome.names["lpips-diversity"]


def test_the_report_says_which_way_it_went(data: Path, tmp_path: Path) -> None:
    run(protocol(), data, tmp_path / "out", progress=False)
    report(tmp_path / "out")
    text, page = ((tmp_path / "out" / name).read_text() for name in ("table.md", "report.html"))
    assert "Learned from 2 pairs, 1 time over, each time making photos of all other sketches at 32 pixels" in text
    assert "OS-Sketch" not in text + page
    assert "## half" in text and "| negative |" in text
    rows = list(csv.DictReader((tmp_path / "out/table.csv").open()))
    assert [row["part"] for row in rows] == ["whole", "half", "noisy"]
    assert Image.open(next((tmp_path / "out/sheets").glob("whole*.png"))).height == 3 * (128 + 18 + 6) + 6


def test_a_run_of_an_earlier_version_goes_on(data: Path, tmp_path: Path) -> None:
    forward = protocol(Entrant("grey", "filter", {"kind": "grey"}), parts=(Part("whole", "folder", "set"),))
    forward = Protocol(**{**forward.__dict__, "direction": "photo-to-sketch", "images": 1, "measures": (Measure("ssim"),)})
    run(forward, data, tmp_path / "out", progress=False)
    file = tmp_path / "out/protocol.json"
    old = json.loads(file.read_text())
    for key in ("direction", "images"):
        del old[key]
    for key in ("completion", "noise"):
        del old["parts"][0][key]
    file.write_text(json.dumps(old))
    assert summarise(Record(tmp_path / "out")).parts() == ["whole"]
    report(tmp_path / "out")
    run(forward, data, tmp_path / "out", progress=False)
    with pytest.raises(InputError, match="other settings"):
        run(protocol(parts=forward.parts, measures=forward.measures), data, tmp_path / "out", progress=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"direction": "sideways"}, "direction is 'sideways'"),
        ({"direction": "photo-to-sketch"}, "are of protocols with direction"),
        ({"images": 0}, "images is 0"),
        ({"images": 1}, "give the protocol images = 2 or more"),
        ({"entrants": (Entrant("grey", "filter", {"kind": "grey"}),)}, "'filter' does not go sketch to photo"),
    ],
)
def test_what_cannot_go_this_way_is_refused_at_once(changes: dict[str, Any], message: str, data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        run(protocol(**changes), data, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_parts_out_of_range_are_refused() -> None:
    for wrong in ({"completion": 0.0}, {"completion": 1.2}, {"noise": -0.5}):
        with pytest.raises(InputError, match=r"completion in \(0, 1\]"):
            Part("p", "folder", **wrong)


def sketches(count: int = 2) -> list[Image.Image]:
    return [drawn_face(seed, 48).convert("RGB") for seed in range(count)]


def test_rivals_without_weights_say_so(tmp_path: Path) -> None:
    missing = str(tmp_path / "nothing")
    for name, options in {
        "generated_face": {"kind": "mean", "generator": missing},
        "latent_optimisation": {"generator": missing},
        "picture_that_sketch": {"pipeline": missing},
        "nearest_photo": {"features": {"network": "fine-grained", "weights": missing}},
    }.items():
        with pytest.raises(Unavailable, match="nothing is not here"):
            build(name, options)
    with pytest.raises(InputError, match="choose mean or random"):
        build("generated_face", {"kind": "median"})


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put_networks(tmp_path_factory.mktemp("networks"))


def photographed(name: str, options: dict[str, Any], count: int) -> np.ndarray:
    """(sketches, count, side, side, 3), the same twice, and the first the same whatever the count."""
    rival: Any = build(name, options)
    rival.learn([PhotoSketchPair(picture(48, 48, i), drawn_face(9, 48).convert("RGB")) for i in range(3)])
    answers = [np.stack([np.stack(row) for row in rival.photograph(sketches(), n)]) for n in (count, count, 1)]
    assert answers[0].shape == (2, count, 48, 48, 3)
    assert np.array_equal(answers[0], answers[1]) and np.array_equal(answers[0][:, :1], answers[2])
    return answers[0]


def test_the_mean_face_is_one_and_random_faces_are_many(networks: Path) -> None:
    mean, many = (
        photographed("generated_face", {"kind": kind, "generator": str(networks / "generator")}, 3) for kind in ("mean", "random")
    )
    assert all(np.array_equal(mean[0, 0], face) for face in mean.reshape(-1, 48, 48, 3))
    assert len({face.tobytes() for face in many.reshape(-1, 48, 48, 3)}) == 6


def test_the_nearest_photo_is_the_nearest_by_its_features(networks: Path) -> None:
    options = {"network": "fine-grained", "weights": str(networks / "embedding")}
    answers = photographed("nearest_photo", {"features": options}, 4)
    photos = [picture(48, 48, i) for i in range(3)]
    metric: Any = build_metric("rank-1", {"gallery": "truths", **options})
    features: Features = metric.features
    gallery = features(to_tensor(photos))
    for sketch, answer in zip(sketches(), answers, strict=True):
        first = [np.array_equal(answer[0], photo) for photo in photos].index(True)
        assert rank_one(gallery, list("abc"), features(to_tensor(sketch)), ["abc"[first]]).item()
        assert len({face.tobytes() for face in answer[:3]}) == 3 and np.array_equal(answer[3], answer[0])


@pytest.mark.parametrize("mapper", ["autoregressive", "parallel"])
def test_mappers_answer_as_their_pipeline_does(mapper: str, networks: Path) -> None:
    options = {"pipeline": str(networks / mapper), "seed": 4, "truncation": 0.9}
    answers = photographed("picture_that_sketch", options, 3)
    rival: Any = build("picture_that_sketch", options)
    straight = rival.pipe(sketches()[1], num_images=3, seed=5, truncation=0.9).images
    assert np.array_equal(answers[1, 2], straight[2].resize((48, 48), Image.Resampling.LANCZOS))
    assert not np.array_equal(answers[0, 0], answers[0, 1])
    few = photographed("picture_that_sketch", {**options, "num_latents": 1}, 1)
    assert not np.array_equal(few[:, 0], answers[:, 0])


def test_optimised_latents_draw_the_sketch_better_than_the_mean_face(networks: Path) -> None:
    options = {name: str(networks / name) for name in ("generator", "sketch_generator")}
    answers = photographed("latent_optimisation", {**options, "changes": {"steps": 12, "mean_weight": 0.0}}, 2)
    assert not np.array_equal(answers[0, 0], answers[0, 1])
    rival: Any = build("latent_optimisation", {**options, "changes": {"steps": 12, "mean_weight": 0.0}})
    target = to_tensor(sketches()[0].resize((32, 32), Image.Resampling.LANCZOS))
    found = rival._optimised(sketches())[0][None]
    mean = rival.generator.w_avg.expand_as(found)
    with torch.no_grad():
        errors = [(rival.drawing.synthesize(ws).image - target).square().mean().item() for ws in (found, mean)]
    assert errors[0] < 0.98 * errors[1]
    assert all(
        parameter.grad is None for net in (rival.generator, rival.drawing.sketch_generator) for parameter in net.parameters()
    )


def test_the_shipped_protocol_runs_on_small_networks(networks: Path, data: Path, tmp_path: Path) -> None:
    """Every entrant and measure of sketch_to_photo.toml, by its own options, on two sketches of one part."""
    shipped = load_protocol("sketch_to_photo")
    weights = data / "weights/picture_that_sketch"
    weights.parent.mkdir()
    weights.symlink_to(networks)
    own = {"generator": str(networks / "generator"), "sketch_generator": str(networks / "sketch_generator")}
    extra: dict[str, Any] = {
        "generated_face": {"generator": own["generator"]},
        "latent_optimisation": {**own, "changes": {"steps": 1}},
    }
    entrants = tuple(replace(e, options={**e.options, **extra.get(e.system, {})}) for e in shipped.entrants)
    measures = tuple(m for m in shipped.measures if m.metric != "fid")
    small = replace(
        shipped, parts=(Part("p", "folder", "set"),), entrants=entrants, measures=measures, pairs=4, images=2, size=SIDE
    )
    record = run(small, data, tmp_path / "out", progress=False)
    assert not record.absent()
    summary = summarise(record)
    assert {line.entrant for line in summary.of("p")} == {entrant.title for entrant in shipped.entrants}
    assert {measure.metric for measure in measures} == set(summary.names)
    cells = {line.entrant: line.cells for line in summary.of("p")}
    assert cells["mean face"]["lpips-diversity"].mean == 0 < cells["random face"]["lpips-diversity"].mean
    assert cells["mean face"]["rank-1"].mean <= 1 / 3 and cells["random face"]["rank-5"].mean == 1  # among three
