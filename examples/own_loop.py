"""Trains in a loop of one's own what `millstream compile` has written. Nothing of Millstream runs here.

    pip install onnxruntime numpy safetensors pyarrow pillow
    millstream compile examples/digits/pretrain.yaml -o step
    python examples/own_loop.py step
"""

import io
import json
import pathlib
import sys

import numpy
import onnxruntime
import pyarrow.parquet
from PIL import Image
from safetensors.numpy import load_file

DATA = pathlib.Path(__file__).parent / "digits" / "data"
BATCH, EPOCHS, LEARNING_RATE = 16, 4, 0.05


def rows(split):
    table = pyarrow.parquet.read_table(next(DATA.glob(f"digits-pretrain-{split}-*.parquet")))
    pictures = (Image.open(io.BytesIO(cell["bytes"])).convert("RGB").resize((16, 16)) for cell in table["image"].to_pylist())
    images = numpy.stack([numpy.asarray(picture, numpy.float32).transpose(2, 0, 1) / 127.5 - 1 for picture in pictures])
    return images, numpy.eye(5, dtype=numpy.float32)[table["label"].to_numpy()]


folder = pathlib.Path(sys.argv[1])
manifest = json.loads((folder / "manifest.json").read_text())
step, evaluation = (onnxruntime.InferenceSession(folder / f"{name}.onnx") for name in ("training_step", "evaluation"))
parameters = load_file(folder / "parameters.safetensors")
image, targets = manifest["inputs"][0]["name"], manifest["targets"][0]["name"]
wanted = [manifest["loss"]["name"]] + [entry["gradient"] for entry in manifest["parameters"]]
(images, labels), (test_images, test_labels) = rows("train"), rows("test")
random = numpy.random.default_rng(5)


def masks(rows):
    """What dropout leaves out, where the recipe has any: true stays, with the probability that the manifest says."""
    for entry in manifest.get("masks", []):
        shape = [length if isinstance(length, int) else rows for length in entry["shape"]]
        yield entry["name"], random.random(shape) < entry["keep"]


for epoch in range(EPOCHS):
    for batch in numpy.array_split(random.permutation(len(images)), len(images) // BATCH):
        loss, *gradients = step.run(wanted, {image: images[batch], targets: labels[batch], **dict(masks(len(batch))), **parameters})
        for entry, gradient in zip(manifest["parameters"], gradients):
            parameters[entry["name"]] -= LEARNING_RATE * entry["learning_rate_multiplier"] * gradient
    feed = {image: test_images, targets: test_labels, **parameters}
    test_loss, scores = evaluation.run([manifest["loss"]["name"], manifest["prediction"]["name"]], feed)
    right = (scores.argmax(1) == test_labels.argmax(1)).mean()
    print(f"epoch {epoch + 1}: loss {test_loss:.3f}, {right:.1%} of {len(scores)} digits are right")
