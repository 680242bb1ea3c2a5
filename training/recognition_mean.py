"""The mean face of dlib's recognition network, most of which its converter takes away.

    python -m training.recognition_mean HEADS --weights dlib_face_recognition_resnet_model_v1.dat

dlib's descriptors share a large common part, so that the cosine of any two faces is above 0.8. Seen from nearer to the
mean of many faces, cosines spread, as those of other recognisers do; distances stay as they are. Half of the mean comes
from rendered heads (HEADS: a folder of pictures with their meta.jsonl), half from openpeople's portraits and selfies:
neither kind of picture is favoured.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import torch
from PIL import Image

from models.faces.detect import detect_faces, load_detector
from models.faces.recognition import RecognitionNet, recognition_chip
from models.images import to_tensor
from training.convert_faces import RECOGNITION_MEAN, convert_dlib_recognition

HEADS = 1000
PHOTOS = ("studio_portrait.jpg", "amateur_selfie.jpg")
LONGEST_SIDE = 1280


def heads(folder: Path, count: int = HEADS) -> Iterator[torch.Tensor]:
    """Chips (1, 3, 150, 150) of `count` rendered heads, evenly spread over the folder."""
    rows = [json.loads(line) for line in (folder / "meta.jsonl").read_text(encoding="utf-8").splitlines()]
    for index in range(0, len(rows), max(1, len(rows) // count)):
        image = to_tensor(Image.open(folder / rows[index]["file"]).convert("RGB"))
        yield recognition_chip(image, torch.tensor([rows[index]["landmarks"]]))


def photos() -> Iterator[torch.Tensor]:
    """Chips (1, 3, 150, 150) of the made-up adults of the package openpeople, two each."""
    spec = find_spec("openpeople")
    if spec is None or spec.origin is None:
        raise SystemExit("The package openpeople is missing: pip install openpeople==0.1.2")
    detector = load_detector()
    for path in sorted((Path(spec.origin).parent / "data" / "curated").glob("*/assets/*.jpg")):
        if path.name in PHOTOS:
            image = Image.open(path).convert("RGB")
            image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
            face = detect_faces(image, detector)[0]
            yield recognition_chip(to_tensor(image), torch.from_numpy(face.landmarks)[None])


@torch.no_grad()
def mean_descriptor(net: RecognitionNet, chips: Iterator[torch.Tensor]) -> torch.Tensor:
    """The mean (128,) of the descriptors."""
    return torch.cat([net.descriptors(each) for each in chips]).mean(0)


def main() -> None:
    """Read the command line, write the mean."""
    parser = argparse.ArgumentParser(description="Measure the mean descriptor of dlib's recognition network.")
    parser.add_argument("heads", type=Path, help="a folder of rendered heads with meta.jsonl")
    parser.add_argument("--weights", type=Path, required=True, help="dlib_face_recognition_resnet_model_v1.dat")
    arguments = parser.parse_args()
    net = RecognitionNet().eval()
    net.load_state_dict(convert_dlib_recognition(arguments.weights, centre=False))
    both = torch.stack([mean_descriptor(net, heads(arguments.heads)), mean_descriptor(net, photos())])
    RECOGNITION_MEAN.write_text(json.dumps([round(each, 5) for each in both.mean(0).tolist()]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
