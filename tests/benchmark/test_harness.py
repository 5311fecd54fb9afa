from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from conftest import picture
from PIL import Image, ImageFilter

from oneshot_sketch import InputError, PhotoSketchPair
from oneshot_sketch.benchmark import Protocol, harness, load_protocol, register, shipped_protocols, system
from oneshot_sketch.benchmark.exemplars import choose
from oneshot_sketch.benchmark.harness import run
from oneshot_sketch.benchmark.protocol import Crop, Entrant, Measure, Part
from oneshot_sketch.benchmark.record import Job, Record, slug
from oneshot_sketch.benchmark.report import report
from oneshot_sketch.benchmark.summary import summarise
from oneshot_sketch.images import to_tensor
from oneshot_sketch.metrics import bootstrap_interval, ssim

PAIRS = 8
SMALL = """
title = "a"
size = 3
parts = [{ title = "p", data = "folder" }]
entrants = [{ title = "e", system = "blur" }]
measures = [{ metric = "ssim" }]
"""
CALLS: list[str] = []


class Blur:
    """Learns how much the exemplars' sketches are blurred: not at all, it only counts them."""

    def __init__(self, radius: float = 1.0) -> None:
        self.radius = radius

    def learn(self, pairs: Sequence[PhotoSketchPair]) -> None:
        CALLS.append(f"learn {len(pairs)}")
        self.shift = 7 * len(pairs[0].name)

    def sketch(self, photos: Sequence[Image.Image]) -> list[Image.Image]:
        CALLS.append("sketch")
        return [photo.convert("L").filter(ImageFilter.GaussianBlur(self.radius)).convert("RGB") for photo in photos]


@pytest.fixture(autouse=True)
def blur() -> Iterator[None]:
    CALLS.clear()
    register("blur")(Blur)
    yield
    del system._FACTORIES["blur"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for i in range(PAIRS):
        photo = picture(64, 64, seed=20 + i)
        for kind, image in (("photo", photo), ("sketch", photo.convert("L").point(lambda v: min(255, v + 40)))):
            (tmp_path / "data/set" / kind).mkdir(parents=True, exist_ok=True)
            image.save(tmp_path / "data/set" / kind / f"person{i}.png")
    return tmp_path / "data"


def protocol(*more: Entrant, **changes: object) -> Protocol:
    settings: dict[str, object] = {
        "title": "Blurs",
        "about": "Two blurs & a filter.",
        "parts": (Part("The set", "folder", "set"),),
        "entrants": (
            Entrant("little", "blur", {"radius": 0.5}),
            Entrant("much", "blur", {"radius": 4.0}, pairs=2),
            Entrant("grey", "filter", {"kind": "grey"}),
            Entrant("Gatys", "gatys", {"network": "squeezenet", "weights": "data:nothing.pth"}),
            *more,
        ),
        "measures": (Measure("ssim"), Measure("tone"), Measure("fid", {"network": "squeeze", "weights": "data:none.pth"})),
        "exemplars": 2,
        "photos": 4,
        "size": 64,
        "lookalike_bits": 0,
    }
    return Protocol(**(settings | changes))  # type: ignore[arg-type]


def tables(folder: Path) -> list[bytes]:
    report(folder)
    return [(folder / name).read_bytes() for name in ("table.md", "table.csv", "report.html")]


def test_the_numbers_are_the_metrics_on_the_saved_pictures(data: Path, tmp_path: Path) -> None:
    record = run(protocol(), data, tmp_path / "out", progress=False)
    summary = summarise(record)
    values, people = [], []
    for k in (0, 1):
        job = Job("The set", "much", k)
        for row in record.outcome(job).images:
            drawn, truth = record.sketch(job, row["photo"]), Image.open(data / f"set/sketch/{row['photo']}.png").convert("RGB")
            values.append(round(ssim(to_tensor(drawn), to_tensor(truth)).item(), 6))
            people.append(row["identity"])
    (line,) = [line for line in summary.of("The set") if line.entrant == "much"]
    assert line.sketches == 8
    assert line.cells["ssim"].mean == pytest.approx(np.mean(values), abs=1e-5)
    assert line.cells["ssim"].interval == pytest.approx(bootstrap_interval(values, people), abs=1e-5)
    means = {line.entrant: line.cells["ssim"].mean for line in summary.of("The set")}
    assert means["little"] > means["much"]
    assert summary.best(summary.of("The set"), "ssim") == max(means.values())
    assert summary.best(summary.of("The set"), "tone") == min(x.cells["tone"].mean for x in summary.of("The set"))


def test_exemplars_are_never_drawn_and_each_learns_its_number_of_pairs(data: Path, tmp_path: Path) -> None:
    record = run(protocol(), data, tmp_path / "out", progress=False)
    chosen = choose(protocol(), protocol().parts[0], data)
    assert len(chosen.reserved) == 3
    assert not {pair.name for pair in chosen.reserved} & {pair.name for pair in chosen.others}
    assert [p.name for p in chosen.exemplar(0, 2)][1] == chosen.exemplar(1, 2)[0].name
    assert CALLS.count("learn 1") == CALLS.count("learn 2") == 2
    assert {row["photo"] for job in record.jobs() for row in record.outcome(job).images} == {p.name for p in chosen.others}


def test_a_stopped_run_goes_on_and_computes_nothing_twice(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep, kept = Record.keep, []

    def stop(record: Record, job: Job, *rest: object) -> None:
        if len(kept) == 3:
            raise KeyboardInterrupt
        kept.append(job)
        keep(record, job, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Record, "keep", stop)
        run(protocol(), data, tmp_path / "out", progress=False)
    CALLS.clear()
    run(protocol(), data, tmp_path / "out", progress=False)
    assert CALLS.count("sketch") == 4 - sum(job.entrant in ("little", "much") for job in kept)
    before = tables(tmp_path / "out")
    CALLS.clear()
    run(protocol(), data, tmp_path / "out", progress=False)
    assert not CALLS
    assert tables(tmp_path / "out") == before

    run(protocol(), data, tmp_path / "whole", progress=False)
    without_costs = [_numbers(tmp_path / name) for name in ("out", "whole")]
    assert without_costs[0] == without_costs[1]


def _numbers(folder: Path) -> list[list[str]]:
    report(folder)
    return [row[:-3] for row in csv.reader((folder / "table.csv").open())]


def test_new_entrants_may_join_and_known_ones_may_not_change(data: Path, tmp_path: Path) -> None:
    run(protocol(), data, tmp_path / "out", progress=False)
    CALLS.clear()
    record = run(protocol(Entrant("more", "blur", {"radius": 8.0})), data, tmp_path / "out", progress=False)
    assert CALLS.count("sketch") == 2
    assert {job.entrant for job in record.jobs()} == {"little", "much", "grey", "more"}
    with pytest.raises(InputError, match="other entrant 'little'"):
        changed = (Entrant("little", "blur", {"radius": 2.0}),)
        run(protocol(entrants=changed), data, tmp_path / "out", progress=False)
    with pytest.raises(InputError, match="other settings"):
        run(protocol(photos=3), data, tmp_path / "out", progress=False)


def test_a_run_says_where_it_was_made_and_keeps_saying_so(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(protocol(), data, tmp_path / "out", only=["grey"], progress=False)
    monkeypatch.setattr(harness, "environment", lambda: {"torch": "0.0"})
    record = run(protocol(), data, tmp_path / "out", only=["little"], progress=False)
    assert record.environment()["torch"] == version("torch") and "device" in record.environment()
    report(tmp_path / "out")
    for name in ("table.md", "report.html"):
        assert f"torch {version('torch')}" in (tmp_path / "out" / name).read_text()


def test_only_some_entrants(data: Path, tmp_path: Path) -> None:
    record = run(protocol(), data, tmp_path / "out", only=["grey"], progress=False)
    assert {job.entrant for job in record.jobs()} == {"grey"}
    with pytest.raises(InputError, match="no entrant is called 'white'"):
        run(protocol(), data, tmp_path / "out", only=["white"])


def test_what_is_absent_is_listed_and_never_faked(data: Path, tmp_path: Path) -> None:
    record = run(protocol(), data, tmp_path / "out", progress=False)
    assert set(record.absent()) == {"Gatys", "fid"}
    report(tmp_path / "out")
    text = (tmp_path / "out/table.md").read_text()
    assert "- Gatys: " in text.split("## Not run")[1]
    assert not re.search(r"\| Gatys", text)


def test_the_page_is_self_contained_and_safe(data: Path, tmp_path: Path) -> None:
    entrant = Entrant("<script>alert(1)</script>", "blur", {})
    run(protocol(entrant), data, tmp_path / "out", progress=False)
    html = report(tmp_path / "out").read_text()
    assert "<script>alert" not in html
    assert not re.search(r'(src|href)="(?!data:image/jpeg;base64,)', html)
    assert html.count("<table") == 2
    assert "8" in html
    assert "As published for OS-Sketch" in html


def test_a_report_without_the_data_shows_none_of_it(data: Path, tmp_path: Path) -> None:
    run(protocol(), data, tmp_path / "out", progress=False)
    heights = []
    for without in (False, True):
        report(tmp_path / "out", without_data=without)
        heights.append(Image.open(tmp_path / "out/sheets" / f"{slug('The set')}.png").height)
    assert heights[0] - heights[1] == 3 * (128 + 18 + 6), "photo, artist, and the entrant that is the photo"


def test_styles_are_broken_down(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(protocol(), data, tmp_path / "out", progress=False)
    for file in (tmp_path / "out/results").rglob("*.jsonl"):
        head, *rows = (json.loads(line) for line in file.read_text().splitlines())
        rows = [{**row, "style": f"style{i % 2}"} for i, row in enumerate(rows)]
        file.write_text("".join(json.dumps(line) + "\n" for line in (head, *rows)))
    summary = summarise(Record(tmp_path / "out"))
    assert summary.styles("The set") == ["style0", "style1"]
    halves = [next(x for x in summary.of("The set", s) if x.entrant == "much").cells["ssim"].mean for s in ("style0", "style1")]
    whole = next(x for x in summary.of("The set") if x.entrant == "much").cells["ssim"].mean
    assert np.mean(halves) == pytest.approx(whole)


def test_a_system_must_return_a_sketch_a_photo(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original: Callable[..., list[Image.Image]] = Blur.sketch
    monkeypatch.setattr(Blur, "sketch", lambda self, photos: original(self, photos)[1:])
    with pytest.raises(InputError, match="'little' must return one sketch a photo"):
        run(protocol(), data, tmp_path / "out", progress=False)


@pytest.mark.parametrize("name", shipped_protocols())
def test_shipped_protocols_can_be_read(name: str) -> None:
    known = set(system.known_systems())
    assert {entrant.system for entrant in load_protocol(name).entrants} <= known


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = ", "cannot be read as TOML"),
        ('title = "a"', "no parts"),
        (SMALL, "size is 3"),
        ('title = "a"\ncolour = 1', "a protocol has no 'colour'"),
        ("[parts]\ntitle = 1", r"\[\[parts\]\]"),
        ('[[parts]]\ntitle="p"\ndata="folder"\ncrop = { side = 3 }', "side in"),
        ('[[entrants]]\ntitle="e"', "incomplete"),
    ],
)
def test_unusable_protocols_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(InputError, match=message):
        load_protocol(tmp_path / "p.toml")


def test_missing_protocols_and_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no protocol file"):
        load_protocol(tmp_path / "nothing.toml")
    with pytest.raises(InputError, match="holds no run"):
        report(tmp_path)


def test_a_crop_is_a_square_inside_the_picture() -> None:
    assert Crop(0.88, 0.5, 0.595).box(200, 250) == pytest.approx((12, 44.03, 188, 220.03), abs=0.01)
    assert Crop().box(475, 340) == (67.5, 0, 407.5, 340)
    stripes = Image.fromarray(np.arange(80, dtype=np.uint8).reshape(8, 10))
    assert np.array_equal(np.asarray(Crop(0.5, 0, 1).cut(stripes, 4)), np.asarray(stripes)[4:, :4])


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_crop_beyond_the_picture_continues_it_as_its_mirror_image(mode: str) -> None:
    picture = Image.fromarray(np.arange(80, dtype=np.uint8).reshape(8, 10)).convert(mode)
    pixels = np.asarray(picture)
    cut = np.asarray(Crop(2, 0.5, 0.5).cut(picture, 16))
    assert np.array_equal(cut[4:12, 3:13], pixels)
    assert np.array_equal(cut[3, 3:13], pixels[0]) and np.array_equal(cut[0, 3:13], pixels[3])
    assert np.array_equal(cut[4:12, 2], pixels[:, 0]) and np.array_equal(cut[4:12, 15], pixels[:, 7])
    with pytest.raises(InputError, match="a side in"):
        Crop(2.1)
