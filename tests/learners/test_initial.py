"""Where learning starts: from words that a backbone was taught, if it was."""

from __future__ import annotations

import torch
from torch import Tensor

from oneshot_sketch import FrozenInstructPix2Pix, InstructionLearnerConfig
from oneshot_sketch.attributes import describe, typical
from oneshot_sketch.learners.initial import OPENING, starting_point

CONFIG = InstructionLearnerConfig(text="ink sketch")


def test_on_mini_it_is_the_look_of_the_hand(mini: FrozenInstructPix2Pix, oval: Tensor) -> None:
    photos, sketches = torch.cat([oval, oval.flip(-1)]), torch.cat([-oval, oval.roll(9, 2)])
    start = starting_point(mini, photos, sketches, CONFIG)
    looks = typical(sketches, photos)
    assert start.text == f"{OPENING} {describe(looks.mean(0))}" != f"{OPENING} {describe(looks[0])}"
    assert torch.equal(start.rows, mini.encode_text([start.text])[0])


def test_a_text_is_taken_where_it_is_asked_for(mini: FrozenInstructPix2Pix, oval: Tensor) -> None:
    config = InstructionLearnerConfig(text="ink sketch", init="text", rows=None)
    start = starting_point(mini, oval, -oval, config)
    assert (start.text, start.ins) == ("ink sketch", (1, 3))


def test_a_backbone_that_was_not_taught_the_words_starts_from_the_text(tiny_frozen: FrozenInstructPix2Pix, oval: Tensor) -> None:
    assert starting_point(tiny_frozen, oval, -oval, CONFIG).text == "ink sketch"
