"""The metrics that protocols may name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from oneshot_sketch.backbone import FrozenInstructPix2Pix
from oneshot_sketch.benchmark.system import by_name, or_unavailable
from oneshot_sketch.errors import InputError
from oneshot_sketch.metrics import (
    DirectionalSimilarity,
    Features,
    FrechetDistance,
    Fsim,
    IdentityRetrieval,
    InceptionFeatures,
    KernelDistance,
    Lpips,
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
    return FrechetDistance(_extractor(**extractor))


def kernel(**extractor: Any) -> Metric:
    return KernelDistance(_extractor(**extractor))


def retrieval(gallery: str = "photos", **extractor: Any) -> Metric:
    return IdentityRetrieval(_extractor(**extractor), gallery)  # type: ignore[arg-type]


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
    "rank-1": retrieval,
}


@cache
def _extractor(network: str = "inception", weights: str | None = None, heads: str | None = None, caffe: bool = False) -> Features:
    """ "inception", a network of LPIPS (its last features, averaged over the picture), or CLIP's image tower by "clip:NAME"."""
    if network == "inception":
        return or_unavailable(lambda: InceptionFeatures(weights), weights)
    if network.startswith("clip:"):
        towers, name = _clip(network.removeprefix("clip:"))
        return Features(f"{name}, image tower", towers.encode_image)
    tapped = _tapped(network, weights, heads, caffe)
    return Features(f"{tapped.settings}, last features averaged", tapped.pooled)


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
