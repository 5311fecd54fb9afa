"""The systems that come with the benchmark; importing this registers them."""

from oneshot_sketch.benchmark.rivals import filters, gatys, instruction, pix2pix, sdedit, stylesketch, text  # noqa: F401 # pyright: ignore[reportUnusedImport]
