"""Sketching any number of photos: resumable, in batches, by one process, several, or a Ray cluster."""

from oneshot_sketch.batch.drawing import DrawingSettings
from oneshot_sketch.batch.manifest import Row, read_manifest
from oneshot_sketch.batch.photos import DataSet
from oneshot_sketch.batch.run import Summary, sketch_photos

__all__ = ["DataSet", "DrawingSettings", "Row", "Summary", "read_manifest", "sketch_photos"]
