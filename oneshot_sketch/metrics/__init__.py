"""How close a drawn sketch is to the artist's: functions of two batches, one number an image."""

from oneshot_sketch.metrics.lpips import SqueezeLpips
from oneshot_sketch.metrics.ssim import ssim
from oneshot_sketch.metrics.tone import tone_distance

__all__ = ["SqueezeLpips", "ssim", "tone_distance"]
