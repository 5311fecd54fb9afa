"""Drawings in one step are compared with the artist's sketch where one step draws, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import piq
import pytest
import torch
from PIL import Image
from scipy.ndimage import uniform_filter
from scipy.stats import wasserstein_distance
from skimage.exposure import match_histograms
from torch import Tensor
from torch.nn import functional as F

from oneshot_sketch import FrozenInstructPix2Pix, InstructionLearner, InstructionLearnerConfig, OneShotSketchPipeline
from oneshot_sketch.cli.learning import bundled_pictures
from oneshot_sketch.filters import dodge_and_burn
from oneshot_sketch.images import grey, to_pil, to_tensor
from oneshot_sketch.learners.draws import draw_pictures
from oneshot_sketch.learners.likeness import compare
from oneshot_sketch.learners.material import Drawable
from oneshot_sketch.learners.shares import Shares
from oneshot_sketch.metrics import fsim
from oneshot_sketch.metrics.tone import grey_levels
from oneshot_sketch.pair import PhotoSketchPair

BRIEF = InstructionLearnerConfig(
    steps=12,
    draws=4,
    drawings=3,
    augmentations=2,
    grid=4,
    edit_weight=0.0,
    warmup=2,
    learning_rate=0.03,
    select_every=0,
    ema_decay=0,
)


@pytest.fixture(scope="module")
def darkened(oval: Tensor) -> PhotoSketchPair:
    """A dodge-and-burn drawing in greys alone."""
    return PhotoSketchPair(to_pil(oval)[0], to_pil(dodge_and_burn(oval) * 0.8 - 0.2)[0])


@pytest.fixture(scope="module")
def bundled() -> PhotoSketchPair:
    return PhotoSketchPair.open(bundled_pictures() / "pair_photo.jpg", bundled_pictures() / "pair_sketch.png")


def test_one_step_is_what_the_pipeline_draws_in_one(mini: FrozenInstructPix2Pix, darkened: PhotoSketchPair) -> None:
    pipe = OneShotSketchPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)
    scales = {"num_inference_steps": 1, "guidance_scale": 1.0, "image_guidance_scale": 1.0, "resolution": 128}
    theirs = pipe("a pencil sketch", image=darkened.photo, output_type="pt", generator=torch.Generator().manual_seed(0), **scales)
    z_p = mini.encode_photo(to_tensor(darkened.photo))
    noise = torch.randn(z_p.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        v = mini.predict(noise, torch.tensor([999]), mini.encode_text(["a pencil sketch"]), z_p)
        ours = mini.one_step(v)
    torch.testing.assert_close(ours / 2 + 0.5, theirs.images, atol=1e-3, rtol=0)


def test_the_losses_are_fsim_wasserstein_distance_of_grey_levels_and_error_of_shading(
    mini: FrozenInstructPix2Pix, darkened: PhotoSketchPair
) -> None:
    learner = InstructionLearner(mini, replace(BRIEF, augmentations=1, init="text"))
    material, drawable, draws = prepared(learner, darkened)
    first, stop = material.start.ins
    structure, tone, shading = learner._compared(material.start.rows[first:stop], material.start, drawable, draws).tolist()
    photo, sketch = darkened.tensors(256)
    with torch.no_grad():
        rows = material.start.rows.expand(3, -1, -1)
        drawn = mini.one_step(mini.predict(draws.noise, draws.t, rows, mini.encode_photo(photo).expand(3, -1, -1, -1)))
    small = [
        F.interpolate(x, (128, 128), mode="bicubic", antialias=True).clamp(-1, 1) for x in (drawn, sketch.expand(3, -1, -1, -1))
    ]
    ours, artists = (grey(x).double() / 2 + 0.5 for x in small)
    assert structure == pytest.approx(piq.fsim(ours, artists, chromatic=False).item(), abs=1e-5)
    apart = [wasserstein_distance(a, b) for a, b in zip(ours.flatten(1), artists.flatten(1), strict=True)]
    assert tone == pytest.approx(sum(apart) / 3, rel=1e-4)
    squares = [uniform_filter(x.numpy(), size=(1, 1, 8, 8), mode="nearest")[:, :, 4::8, 4::8] for x in (ours, artists)]
    assert shading == pytest.approx(((squares[0] - squares[1]) ** 2).mean(), rel=1e-4)


def test_shading_is_that_of_the_sketch_at_the_tones_aimed_for() -> None:
    pictures, sketches, others = torch.rand(3, 2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    _, tone, shading = compare(pictures, sketches, grey_levels(others))
    drawn, artists, wanted = ((grey(x) / 2 + 0.5)[:, 0].numpy() for x in (pictures, sketches, others))
    aimed = [match_histograms(a, w) for a, w in zip(artists, wanted, strict=True)]
    for i in range(2):
        assert tone[i].item() == pytest.approx(wasserstein_distance(drawn[i].ravel(), wanted[i].ravel()), rel=1e-4)
        apart = uniform_filter(drawn[i] - aimed[i], size=4, mode="nearest")[2::4, 2::4]
        assert shading[i].item() == pytest.approx((apart**2).mean(), rel=1e-3)


@pytest.mark.parametrize("pairs", [1, 3])
def test_the_tones_of_a_measured_start_count_as_one_more_pair(
    mini: FrozenInstructPix2Pix, bundled: PhotoSketchPair, pairs: int
) -> None:
    learner = InstructionLearner(mini, replace(BRIEF, augmentations=3))
    material = learner._encode([bundled] * pairs, progress=False)
    assert material.drawable is not None
    pipe = OneShotSketchPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)
    begun = pipe(material.start.text, image=bundled.photo, generator=torch.Generator().manual_seed(0), output_type="pt").images
    small = F.interpolate(begun, (128, 128), mode="bicubic", antialias=True).clamp(0, 1)
    artists = (grey(material.drawable.sketches[0]) / 2 + 0.5).flatten().sort().values
    expected = (grey(small).flatten().sort().values + pairs * artists) / (1 + pairs)
    torch.testing.assert_close(material.drawable.levels[0], expected, atol=2e-3, rtol=0)

    plain = InstructionLearner(mini, replace(BRIEF, init="text"))._encode([bundled], progress=False)
    assert plain.drawable is not None
    assert torch.equal(plain.drawable.levels, grey_levels(plain.drawable.sketches))


def test_they_are_drawn_at_the_size_the_pipeline_draws(
    mini: FrozenInstructPix2Pix, darkened: PhotoSketchPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sizes(**changes: int) -> tuple[int, int]:
        _, drawable, _ = prepared(InstructionLearner(mini, replace(BRIEF, **changes)), darkened)  # type: ignore[arg-type]
        return 8 * drawable.shape[-1], drawable.sketches.shape[-1]

    assert sizes() == (256, 128)
    assert sizes(resolution=64) == (256, 64)
    assert sizes(resolution=384) == (384, 384)
    monkeypatch.setattr(mini, "drawing", {key: value for key, value in mini.drawing.items() if key != "resolution"})
    assert sizes() == (128, 128)


def test_with_them_drawings_get_the_tones_and_lines_of_the_pair(mini: FrozenInstructPix2Pix, bundled: PhotoSketchPair) -> None:
    photo, sketch = bundled.tensors(256)

    def compared(**changes: float) -> tuple[float, float]:
        learner = InstructionLearner(mini, replace(BRIEF, **changes))  # type: ignore[arg-type]
        rows, z_p = learner.learn(bundled, progress=False).embeddings, mini.encode_photo(photo)
        with torch.no_grad():
            drawn = mini.one_step(mini.predict(torch.zeros_like(z_p), torch.tensor([999]), rows[None], z_p))
        levels = (grey(x).flatten().numpy() / 2 for x in (drawn, sketch))
        return fsim(drawn, sketch).item(), wasserstein_distance(*levels)

    alone = {"fsim_weight": 0.0, "tone_weight": 0.0, "shading_weight": 0.0}
    neither, tones, lines = (
        compared(drawings=0),
        compared(**alone | {"tone_weight": 16.0}),
        compared(**alone | {"fsim_weight": 12.0}),
    )
    shades = compared(**alone | {"shading_weight": 60.0})
    assert tones[1] < 0.75 * neither[1]
    assert lines[0] > neither[0] + 0.01
    assert lines[0] > tones[0]
    assert shades[1] < neither[1]


def test_micro_batches_add_up(mini: FrozenInstructPix2Pix, darkened: PhotoSketchPair) -> None:
    learner = InstructionLearner(mini, BRIEF)
    material, drawable, draws = prepared(learner, darkened)
    first, stop = material.start.ins
    free = material.start.rows[first:stop]
    whole = learner._compared(free, material.start, drawable, draws)
    shared = Shares(micro_batch=2).of(draws, 3)
    parts = [part * learner._compared(free, material.start, drawable, some) for some, part in shared]
    assert len(parts) == 2
    torch.testing.assert_close(torch.stack(parts).sum(0), whole)


@pytest.mark.parametrize("changes", [{"drawings": 0}, {"fsim_weight": 0.0, "tone_weight": 0.0, "shading_weight": 0.0}])
def test_without_weight_nothing_is_drawn(
    mini: FrozenInstructPix2Pix, darkened: PhotoSketchPair, changes: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mini, "one_step", None)
    config = replace(BRIEF, steps=1, judge="loss", resolution=64, **changes)  # type: ignore[arg-type]
    learner = InstructionLearner(mini, config)
    assert learner.config.drawings == 0
    assert "fsim" not in learner.learn(darkened, progress=False).record.curve


def test_tall_pairs_are_compared_in_their_shape(mini: FrozenInstructPix2Pix, bundled: PhotoSketchPair) -> None:
    tall = [image.crop((40, 0, image.width - 40, image.height)) for image in (bundled.photo, bundled.sketch)]
    assert isinstance(tall[0], Image.Image)
    _, drawable, draws = prepared(InstructionLearner(mini, BRIEF), PhotoSketchPair(*tall))
    height, width = drawable.sketches.shape[-2:]
    assert height > width
    assert drawable.shape[1] > drawable.shape[2]
    assert draws.noise.shape[1:] == drawable.shape
    record = InstructionLearner(mini, replace(BRIEF, steps=1)).learn(PhotoSketchPair(*tall), progress=False).record
    assert 0 < record.losses["fsim kept"] < 1


def test_a_backbone_of_many_steps_learns_without(tiny_frozen: FrozenInstructPix2Pix, pair: PhotoSketchPair) -> None:
    small = {"steps": 2, "draws": 2, "grid": 2, "augmentations": 1, "rows": 5}
    learner = InstructionLearner(tiny_frozen, InstructionLearnerConfig(**small))  # type: ignore[arg-type]
    record = learner.learn(pair, progress=False).record
    assert (record.config["drawings"], record.config["judge"]) == (0, "loss")
    assert "tone" not in record.curve


def prepared(learner: InstructionLearner, pair: PhotoSketchPair):
    material = learner._encode([pair], progress=False)
    assert isinstance(material.drawable, Drawable)
    views, shape = len(material.z_photo), material.drawable.shape
    return material, material.drawable, draw_pictures(learner.config, 0, views, 1000, shape)
