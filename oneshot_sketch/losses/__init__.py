"""Losses take tensors and never load a network."""

from oneshot_sketch.losses.edit_direction import edit_cosine, edit_direction, edit_direction_loss, pool_rows
from oneshot_sketch.losses.reconstruction import draw_weight, reconstruction_loss

__all__ = ["draw_weight", "edit_cosine", "edit_direction", "edit_direction_loss", "pool_rows", "reconstruction_loss"]
