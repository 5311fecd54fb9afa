"""Weights and an image → an image. Pipelines never import learners."""
