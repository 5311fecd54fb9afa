"""The one exception a user can cause."""

from __future__ import annotations


class InputError(ValueError):
    """Unusable input. The message is one sentence: what, why, and what to do about it."""
