"""Data sets of photo–sketch pairs, and what must be done to pairs before they are learned from or judged."""

from oneshot_sketch.data.alignment import align
from oneshot_sketch.data.catalogue import CATALOGUE, load_pairs
from oneshot_sketch.data.contrast import high_contrast_grey
from oneshot_sketch.data.near_duplicates import NearDuplicate, find_near_duplicates, report_near_duplicates
from oneshot_sketch.data.rows import Source, to_pair, to_pairs
from oneshot_sketch.data.splits import split_by_hash
from oneshot_sketch.landmarks import YuNet

__all__ = [
    "CATALOGUE",
    "NearDuplicate",
    "Source",
    "YuNet",
    "align",
    "find_near_duplicates",
    "high_contrast_grey",
    "load_pairs",
    "report_near_duplicates",
    "split_by_hash",
    "to_pair",
    "to_pairs",
]
