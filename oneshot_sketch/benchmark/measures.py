"""The metrics that protocols may name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from oneshot_sketch.backbone import FrozenInstructPix2Pix
from oneshot_sketch.benchmark.rivals.networks import pretrained
from oneshot_sketch.benchmark.system import by_name, or_unavailable
from oneshot_sketch.errors import InputError
from oneshot_sketch.metrics import (
    DirectionalSimilarity,
    Features,
    FineGrainedMeasure,
    FrechetDistance,
    Fsim,
    IdentityRetrieval,
    InceptionFeatures,
    KernelDistance,
    Lpips,
    LpipsDiversity,
    Metric,
    MultiScaleSsim,
    PerceptualDistance,
    Scoot,
    SqueezeLpips,
    Ssim,
    ToneDistance,
)
from oneshot_sketch.metrics.lpips import TappedDistance
from oneshot_sketch.models.clip import load_clip
from oneshot_sketch.models.fine_grained_embedding import FineGrainedEmbedding


def build_metric(name: str, options: Mapping[str, Any] | None = None) -> Metric:
    """A fresh metric; networks are loaded once.

    Raises:
        InputError: an unknown name or option.
        Unavailable: its weights are not here.
    """
    return by_name("metric", METRICS, name, options or {})


def perceptual(net: str = "alex", weights: str | None = None, heads: str | None = None, caffe: bool = False) -> Metric:
    """LPIPS; with `caffe`, `weights` are the Caffe release of SqueezeNet and `heads` must be given."""
    return PerceptualDistance(_tapped(net, weights, heads, caffe))


def frechet(**extractor: Any) -> Metric:
    return FrechetDistance(features_of(**extractor))


def kernel(**extractor: Any) -> Metric:
    return KernelDistance(features_of(**extractor))


def retrieval(k: int) -> Callable[..., Metric]:
    """Among how many nearest the person is looked for → the metric's factory."""

    def build(gallery: str = "photos", **extractor: Any) -> Metric:
        return IdentityRetrieval(features_of(**extractor), gallery, k)  # type: ignore[arg-type]

    return build


def diversity(net: str = "alex", weights: str | None = None, heads: str | None = None, caffe: bool = False) -> Metric:
    """LPIPS between several photos of one sketch; options as of `perceptual`."""
    return LpipsDiversity(_tapped(net, weights, heads, caffe))


def fine_grained(**extractor: Any) -> Metric:
    return FineGrainedMeasure(features_of(**extractor))


def clip_direction(clip: str = "mini") -> Metric:
    """`clip` is "mini", or what `load_clip` loads."""
    towers, name = _clip(clip)
    return DirectionalSimilarity(towers, name)


METRICS: dict[str, Callable[..., Metric]] = {
    "ssim": Ssim,
    "ms-ssim": MultiScaleSsim,
    "fsim": Fsim,
    "lpips": perceptual,
    "scoot": Scoot,
    "tone": ToneDistance,
    "clip-direction": clip_direction,
    "fid": frechet,
    "kid": kernel,
    "rank-1": retrieval(1),
    "rank-5": retrieval(5),
    "rank-10": retrieval(10),
    "lpips-diversity": diversity,
    "fine-grained": fine_grained,
}


@cache
def features_of(
    network: str = "inception", weights: str | None = None, heads: str | None = None, caffe: bool = False
) -> Features:
    """What stands for a picture.

    "inception", a network of LPIPS (its last features, averaged over the picture), CLIP's image tower by "clip:NAME", or
    "fine-grained", a `FineGrainedEmbedding` whose folder is `weights`.
    """
    if network == "inception":
        return or_unavailable(lambda: InceptionFeatures(weights), weights)
    if network == "fine-grained":
        return _fine_grained(weights)
    if network.startswith("clip:"):
        towers, name = _clip(network.removeprefix("clip:"))
        return Features(f"{name}, image tower", towers.encode_image)
    tapped = _tapped(network, weights, heads, caffe)
    return Features(f"{tapped.settings}, last features averaged", tapped.pooled)


def _fine_grained(folder: str | None) -> Features:
    if folder is None:
        raise InputError("a fine-grained embedding needs the folder it was saved in; give it as weights.")
    network = pretrained(FineGrainedEmbedding, Path(folder))
    return Features(f"fine-grained embedding {Path(folder).name}", lambda images: network(images.to(network.device)))


@cache
def _tapped(net: str, weights: str | None, heads: str | None, caffe: bool) -> TappedDistance:
    if caffe:
        if weights is None or heads is None:
            raise InputError("caffe weights need both weights and heads; give their files.")
        return or_unavailable(lambda: SqueezeLpips.from_files(weights, heads), weights, heads)
    if weights is None:
        return or_unavailable(lambda: Lpips.from_pretrained(net), None)  # type: ignore[arg-type]
    return or_unavailable(lambda: Lpips.from_files(net, weights, heads), weights, heads)  # type: ignore[arg-type]


@cache
def _clip(name: str) -> tuple[Any, str]:
    if name == "mini":
        return load_clip(FrozenInstructPix2Pix.from_pretrained("mini", device="cpu").clip), "the CLIP of mini"
    return or_unavailable(lambda: load_clip(name), None), name
