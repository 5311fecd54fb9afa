"""The systems that come with the benchmark; importing this registers them."""

from oneshot_sketch.benchmark.rivals import filters, gatys, ide, instruction, pix2pix, sdedit, text  # noqa: F401 # pyright: ignore[reportUnusedImport]
