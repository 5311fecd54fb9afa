"""How good a drawn sketch is: functions of pictures or of features, and accumulators that run them over batches."""

from oneshot_sketch.metrics.accumulator import Metric, Score
from oneshot_sketch.metrics.bootstrap import bootstrap_interval
from oneshot_sketch.metrics.clip_direction import DirectionalSimilarity, directional_similarity
from oneshot_sketch.metrics.diversity import LpipsDiversity, lpips_diversity
from oneshot_sketch.metrics.features import Features
from oneshot_sketch.metrics.fine_grained import FineGrainedMeasure, fine_grained_similarity
from oneshot_sketch.metrics.frechet import FrechetDistance, frechet_distance
from oneshot_sketch.metrics.fsim import Fsim, fsim
from oneshot_sketch.metrics.inception import InceptionFeatures
from oneshot_sketch.metrics.kernel import KernelDistance, kernel_distance
from oneshot_sketch.metrics.lpips import Lpips, PerceptualDistance
from oneshot_sketch.metrics.lpips_caffe import SqueezeLpips
from oneshot_sketch.metrics.ms_ssim import MultiScaleSsim, ms_ssim
from oneshot_sketch.metrics.retrieval import IdentityRetrieval, rank_k, rank_one
from oneshot_sketch.metrics.scoot import Scoot, scoot
from oneshot_sketch.metrics.ssim import Ssim, ssim
from oneshot_sketch.metrics.tone import ToneDistance, tone_distance

__all__ = [
    "DirectionalSimilarity",
    "Features",
    "FineGrainedMeasure",
    "FrechetDistance",
    "Fsim",
    "IdentityRetrieval",
    "InceptionFeatures",
    "KernelDistance",
    "Lpips",
    "LpipsDiversity",
    "Metric",
    "MultiScaleSsim",
    "PerceptualDistance",
    "Scoot",
    "Score",
    "SqueezeLpips",
    "Ssim",
    "ToneDistance",
    "bootstrap_interval",
    "directional_similarity",
    "fine_grained_similarity",
    "frechet_distance",
    "fsim",
    "kernel_distance",
    "lpips_diversity",
    "ms_ssim",
    "rank_k",
    "rank_one",
    "scoot",
    "ssim",
    "tone_distance",
]
