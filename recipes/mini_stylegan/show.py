"""The embedded prior on the bundled photos, and on faces of its own: a picture for docs/systems/sketch_prior.md.

    python recipes/mini_stylegan/show.py --output docs/systems/mini_prior.png

Rows: the square around each face, as the StyleGAN2 redraws it, as a sketch; then imagined faces and their sketches.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from measure import sheet
from PIL import Image

from oneshot_sketch.face_crop import FaceCrop
from oneshot_sketch.face_finder import the_face
from oneshot_sketch.images import to_rgb
from oneshot_sketch.models.inversion import invert
from oneshot_sketch.sketch_prior import SketchPrior

PHOTOS = Path(__file__).parents[2] / "assets/quickstart/photos"
IMAGINED = 5


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()

    prior = SketchPrior.from_pretrained("mini")
    generator, side = prior.generator, prior.generator.config["resolution"]
    squares = []
    for path in sorted(PHOTOS.glob("*.jpg"))[:IMAGINED]:
        photo = to_rgb(Image.open(path))
        face = the_face(prior.face_finder.find(photo), path.name)
        squares.append(FaceCrop.around(face.points, photo.size).cut(photo, side))
    photos = torch.cat(squares)
    found = invert(generator, photos, prior.encoder, config=prior.config.inversion)
    print("inversion errors", [round(error, 3) for error in found.error.tolist()])
    z = torch.randn(IMAGINED, generator.config["z_dim"], generator=torch.Generator().manual_seed(0))
    rows = [photos]
    for ws in (found.ws, generator.map(z, 0.7)):
        redrawn = generator.synthesize(ws)
        rows += [redrawn.image, prior.sketch_generator(redrawn.features, redrawn.image).expand(-1, 3, -1, -1) * 2 - 1]
    sheet(torch.cat(rows), IMAGINED, args.output)


if __name__ == "__main__":
    main()
