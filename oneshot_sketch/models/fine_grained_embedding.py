"""One embedding for sketches and photos in which a sketch lies beside the very photo it shows.

The public baseline of fine-grained sketch-based retrieval (Baseline_FGSBIR): one network for both, VGG-16's features, their
maxima over the picture, a linear layer, unit length.
"""

from __future__ import annotations

from collections.abc import Sequence

from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

from oneshot_sketch.models.image_trunk import Backbone, ImageTrunk


class FineGrainedEmbedding(ModelMixin, ConfigMixin):
    """Pictures → unit vectors; near each other where a sketch shows that photo.

    Args:
        backbone, widths, units: see `ImageTrunk`; the defaults are the published baseline's, "small" suits 64 to 128 pixels.
        dim: length of the vectors.
        input_size: side at which pictures are looked at; others are resized.
    """

    @register_to_config
    def __init__(
        self,
        backbone: Backbone = "vgg16",
        dim: int = 512,
        input_size: int = 256,
        widths: Sequence[int] = (48, 96, 192),
        units: int = 2,
    ) -> None:
        super().__init__()
        self.trunk = ImageTrunk(backbone, input_size, widths, units)
        self.head = nn.Linear(self.trunk.channels, dim)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1 or 3, h, w) in [-1, 1], sketch or photo → (B, dim) of length 1."""
        return F.normalize(self.head(self.trunk(images).amax((2, 3))), dim=1)
