"""Any list of metrics over batches gives the numbers of its functions, under names that say how."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from oneshot_sketch.errors import InputError
from oneshot_sketch.metrics import (
    DirectionalSimilarity,
    Features,
    FrechetDistance,
    Fsim,
    IdentityRetrieval,
    KernelDistance,
    Metric,
    MultiScaleSsim,
    PerceptualDistance,
    Scoot,
    Ssim,
    ToneDistance,
    frechet_distance,
    fsim,
    kernel_distance,
    ms_ssim,
    rank_one,
    scoot,
    ssim,
    tone_distance,
)
from oneshot_sketch.metrics.lpips import TappedDistance

Distance = Callable[[Tensor, Tensor], Tensor]
COLOURS = Features("mean colour", lambda images: images.mean((2, 3)))


def network() -> TappedDistance:
    torch.manual_seed(0)
    return TappedDistance("one layer", torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3)), [0], [torch.ones(4)])


PER_IMAGE: list[tuple[Callable[[], Metric], Distance, str, bool]] = [
    (Ssim, ssim, "SSIM (luma, Gaussian 11×11, σ 1.5, 48×40 px)", True),
    (lambda: MultiScaleSsim(2), lambda a, b: ms_ssim(a, b, 2), "MS-SSIM (luma, Gaussian 11×11, σ 1.5, 2 scales, 48×40 px)", True),
    (Fsim, fsim, "FSIM (luma, 4 scales, 4 orientations, 48×40 px)", True),
    (Scoot, scoot, "Scoot (luma, 6 levels, 4×4 blocks, 48×40 px)", True),
    (ToneDistance, tone_distance, "Tone distance (luma, Wasserstein-1, 48×40 px)", False),
    (lambda: PerceptualDistance(network()), lambda a, b: network()(a, b), "LPIPS (one layer, 48×40 px)", False),
]


@pytest.fixture
def batches(colours: tuple[Tensor, Tensor]) -> list[tuple[Tensor, Tensor, Tensor, Sequence[str]]]:
    """Three and then two drawn, artist's, photos and names."""
    a, b = (torch.cat([x, -x])[:5, :, :40, :48] for x in colours)
    everything = (b, a, a.flip(3), ["ann", "bob", "cem", "dan", "eve"])
    first, second = (tuple(x[part] for x in everything) for part in (slice(3), slice(3, 5)))
    return [first, second]  # type: ignore[list-item]


@pytest.mark.parametrize("make, function, name, higher", PER_IMAGE, ids=[row[2].partition(" (")[0] for row in PER_IMAGE])
def test_a_number_an_image(make: Callable[[], Metric], function: Distance, name: str, higher: bool, batches: list) -> None:
    metric = make()
    assert metric.name.endswith(")") and "px" not in metric.name
    for sketches, truths, _, _ in batches:
        metric.update(sketches, truths)
    score = metric.compute()
    drawn, true = (torch.cat([batch[i] for batch in batches]) for i in (0, 1))
    expected = function(drawn, true).tolist()
    assert score.per_image == pytest.approx(expected, abs=1e-5)
    assert score.value == pytest.approx(sum(expected) / 5, abs=1e-5)
    assert (score.name, metric.higher_is_better) == (name, higher)
    better, worse = (function(true[:1], x).item() for x in (true[:1], true[:1].roll(20, 3)))
    assert better == worse if isinstance(metric, ToneDistance) else (better > worse) == higher


@pytest.mark.parametrize(
    "make, function, name",
    [
        (FrechetDistance, frechet_distance, "Fréchet distance (mean colour, not Inception, 5 pictures, 48×40 px)"),
        (KernelDistance, kernel_distance, "Kernel distance (mean colour, not Inception, 5 pictures, 48×40 px)"),
    ],
)
def test_a_number_a_set(make, function, name: str, batches: list) -> None:
    metric = make(COLOURS)
    metric.update(*batches[0])
    metric.update(*batches[1])
    score = metric.compute()
    drawn, true = (torch.cat([batch[i] for batch in batches]).mean((2, 3)) for i in (0, 1))
    assert score.value == pytest.approx(function(drawn, true), rel=1e-4)
    assert (score.name, score.per_image, metric.higher_is_better) == (name, None, False)


def test_inception_alone_is_called_fid_and_kid() -> None:
    standard = Features("Inception-v3 2015, 2048", COLOURS)
    assert FrechetDistance(standard).name.startswith("Fréchet distance")
    standard.is_inception = True
    assert FrechetDistance(standard).name == "FID (Inception-v3 2015, 2048)"
    assert KernelDistance(standard).name == "KID (Inception-v3 2015, 2048)"


@pytest.mark.parametrize("gallery", ["photos", "truths"])
def test_identities_are_found_among_all_batches(gallery, batches: list) -> None:
    metric = IdentityRetrieval(COLOURS, gallery)
    for batch in batches:
        metric.update(*batch)
    score = metric.compute()
    drawn, true, photos = (torch.cat([batch[i] for batch in batches]).mean((2, 3)) for i in range(3))
    names = [name for batch in batches for name in batch[3]]
    hits = rank_one(photos if gallery == "photos" else true, names, drawn, names)
    assert score.per_image == tuple(hits.float().tolist())
    assert score.name == f"Rank-1 identity retrieval (mean colour, cosine, among {gallery}, 5 people, 48×40 px)"


def test_names_say_how_many_sizes(batches: list) -> None:
    metric = ToneDistance()
    metric.update(*batches[0])
    square = torch.zeros(1, 3, 128, 128)
    metric.update(square, square)
    assert metric.name == "Tone distance (luma, Wasserstein-1, 2 sizes)"
    metric = ToneDistance()
    metric.update(square, square)
    assert metric.name == "Tone distance (luma, Wasserstein-1, 128 px)"


ALL = [
    *(make for make, *_ in PER_IMAGE),
    lambda: FrechetDistance(COLOURS),
    lambda: KernelDistance(COLOURS),
    lambda: IdentityRetrieval(COLOURS),
    lambda: DirectionalSimilarity(None, "no CLIP"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("make", ALL)
def test_refuses_bad_pictures_and_keeps_nothing_of_them(make: Callable[[], Metric], batches: list) -> None:
    metric = make()
    before = metric.name
    sketches, truths, photos, names = batches[0]
    failed = sketches.clone()
    failed[1, 2, 3, 4] = torch.nan
    for bad, sentence in (
        (failed, "NaN"),
        (sketches * 127.5 + 127.5, r"must lie in \[-1, 1\]"),
        ((sketches * 127.5 + 127.5).byte(), "reads float32"),
        (sketches.half(), "reads float32"),
        (sketches[:, :1], "stack RGB"),
        (sketches[0], "stack RGB"),
        (sketches[:0], "stack RGB"),
    ):
        with pytest.raises(InputError, match=sentence):
            metric.update(bad, truths, photos, names)
    with pytest.raises(InputError, match=r"needs (truths|photos)|for each sketch"):
        metric.update(sketches)
    assert metric.name == before
    with pytest.raises(InputError, match="judged no picture yet"):
        metric.compute()


def test_refuses_a_set_of_one_and_one_person(batches: list) -> None:
    one = [x[:1] for x in batches[0]]
    for make in (FrechetDistance, KernelDistance):
        metric = make(COLOURS)
        metric.update(*one)
        with pytest.raises(InputError, match="at least 2 pictures"):
            metric.compute()
    metric = IdentityRetrieval(COLOURS)
    metric.update(*one)
    with pytest.raises(InputError, match="at least two people"):
        metric.compute()
    with pytest.raises(InputError, match="one identity"):
        metric.update(*batches[0][:3], ["ann"])


def test_refuses_pictures_of_two_shapes(batches: list) -> None:
    sketches, truths, _, _ = batches[0]
    for make, *_ in PER_IMAGE:
        with pytest.raises(InputError, match="one shape"):
            make().update(sketches, truths[..., :-1])


def test_refuses_features_that_are_not_rows() -> None:
    images = torch.zeros(2, 3, 8, 8)
    for function, sentence in (
        (lambda x: x, "one row a picture"),
        (lambda x: x.mean((2, 3))[:1], "1 rows for 2 pictures"),
        (lambda x: x.mean((2, 3)) * torch.nan, "NaN"),
    ):
        with pytest.raises(InputError, match=sentence):
            Features("broken", function)(images)
