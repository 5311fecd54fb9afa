"""Losses take tensors and never load a network."""

from oneshot_sketch.losses.adversarial import discriminator_loss, generator_loss, r1_penalty
from oneshot_sketch.losses.clip_similarity import clip_directional_loss, clip_similarity_loss
from oneshot_sketch.losses.edit_direction import edit_cosine, edit_direction, edit_direction_loss, pool_rows
from oneshot_sketch.losses.perceptual import part_crops, perceptual_loss, perceptual_mse_loss
from oneshot_sketch.losses.reconstruction import draw_weight, reconstruction_loss

__all__ = [
    "clip_directional_loss",
    "clip_similarity_loss",
    "discriminator_loss",
    "draw_weight",
    "edit_cosine",
    "edit_direction",
    "edit_direction_loss",
    "generator_loss",
    "part_crops",
    "perceptual_loss",
    "perceptual_mse_loss",
    "pool_rows",
    "r1_penalty",
    "reconstruction_loss",
]
