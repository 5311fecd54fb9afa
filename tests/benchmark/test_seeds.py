"""recipes/measure_seeds.py pairs pictures of the same seed, exemplar and photo."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oneshot_sketch.benchmark import load_protocol
from oneshot_sketch.benchmark.record import Job, Outcome, Record
from oneshot_sketch.metrics import bootstrap_interval


def test_differences_are_taken_photo_by_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend("recipes")
    protocol = load_protocol("seeds")
    record, part, photos = Record(tmp_path, protocol), protocol.parts[0].title, [f"photo {i}" for i in range(6)]
    random, kept = np.random.default_rng(0), {}
    for entrant in protocol.entrants:
        for exemplar in range(protocol.exemplars):
            values = random.random(6)
            kept.setdefault(entrant.title.split(", seed ")[0], []).append(values)
            order = random.permutation(6)  # rows may come in any order
            rows = [{"photo": photos[i], "identity": photos[i], "style": "", "tone": values[i]} for i in order]
            rows = [{**row, "ssim": 2 * row["tone"], "lpips": -row["tone"]} for row in rows]
            record.keep(Job(part, entrant.title, exemplar), Outcome(0, 0, 0, {}, {}, {}, rows), [Image.new("RGB", (8, 8))] * 6)
    lines = list(runpy.run_path("recipes/measure_seeds.py")["table"](record))
    assert len(lines) == 6
    by_seed = {title: np.stack(values) for title, values in kept.items()}
    apart = by_seed["learned instruction"] - by_seed["InstructPix2Pix, best text"]
    low, high = bootstrap_interval(apart.flatten().tolist(), photos * len(apart))
    tones = next(line for line in lines if "| tone, InstructPix2Pix, best text |" in line)
    mean, interval = tones.split(" | ")[4].rstrip(" |").split(" ", 1)
    assert float(mean) == pytest.approx(apart.mean(), abs=1e-4)
    assert [float(x) for x in interval.strip("[]").split(", ")] == pytest.approx([low, high], abs=1e-4)
