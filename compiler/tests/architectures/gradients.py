"""Writes `NAME.gradients.json` beside each model of this folder: what float64 autograd says of the step that `architectures.rs` makes.

    pip install torch onnx numpy
    python gradients.py             # of all files
    python gradients.py regnet.training

The graph of the file is evaluated by `tests/exports/evaluation.py`, with the head, the two rows and the targets that `architectures.rs` has, and differentiated
by PyTorch. Of each float initializer that the loss reaches by a finite gradient (bounds of a range may have another) the file has the Euclidean length of its gradient, and its parts along two directions of ones of
both signs; of each running statistic the same of its next value. Numbers stand in the order in which the file stores them.
"""

import json
import pathlib
import sys

import numpy
import onnx
import torch

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "tests" / "exports"))

import evaluation  # noqa: E402
import operators  # noqa: E402

CLASSES, ROWS, SEQUENCE = 5, 2, 9
# Layers of class scores, which get new numbers for five classes. Models with neither these nor class scores of pixels get a head behind the mean of their tokens.
SCORES = {"bert.script": "model.classifier", "regnet.training": "fc", "swin.script": "head", "vit.export": "model.classifier"}
PIXELS = {"unet.script"}
HEAD = "head"


def numbers(count, seed):
    """In −1 to 1, as `numbers` of `architectures.rs`, in its 32-bit floats."""
    places = (numpy.arange(count, dtype=numpy.int64) * 7919 + seed * 104729 + 13) % 2003
    return (places.astype(numpy.float32) / numpy.float32(1001) - numpy.float32(1)).astype(numpy.float64)


def direction(count, seed):
    """Ones of both signs, as `direction` of `architectures.rs`."""
    mask = 2**32 - 1
    signs = []
    for at in range(count):
        mixed = (at * 0x9E37_79B1 + seed * 0x85EB_CA77) & mask
        mixed = ((mixed ^ mixed >> 16) * 0x045D_9F3B) & mask
        mixed = ((mixed ^ mixed >> 16) * 0x045D_9F3B) & mask
        signs.append(1.0 if (mixed ^ mixed >> 16) & 1 else -1.0)
    return numpy.array(signs)


def told(values):
    flat = values.detach().numpy().astype(numpy.float64).reshape(-1)
    along = [float(flat @ direction(flat.size, seed)) / flat.size**0.5 for seed in (1, 2)]
    return {"count": flat.size, "length": round_off(numpy.linalg.norm(flat)), "along": [round_off(value) for value in along]}


def round_off(value):
    return float(f"{value:.10g}")


class Statistics:
    """BatchNormalization by PyTorch itself, which keeps the next running statistics by the names of what they follow."""

    def __init__(self):
        self.next = {}

    def rule(self, call, x, scale, bias, mean, variance):
        by_batch = bool(call.get("training_mode", 0))
        following = [mean.detach().clone(), variance.detach().clone()]
        momentum = 1 - numpy.float32(call.get("momentum", 0.9)).astype(numpy.float64)
        y = torch.nn.functional.batch_norm(x, *following, scale, bias, by_batch, momentum, call.get("epsilon", 1e-5))
        if by_batch:
            self.next.update(zip(call.node.input[3:5], following))
        return (y, *following) if call.outputs > 1 else y


def inputs_of(graph):
    values = {}
    for entry in graph.graph.input:
        if entry.name == "attention_mask":
            mask = torch.ones(ROWS, SEQUENCE, dtype=torch.int64)
            mask[1, -2:] = 0
            values[entry.name] = mask
        elif entry.name == "input_ids":
            values[entry.name] = (torch.arange(ROWS * SEQUENCE) * 37 % 80 + 5).reshape(ROWS, SEQUENCE)
        else:
            shape = [ROWS, *(axis.dim_value for axis in entry.type.tensor_type.shape.dim[1:])]
            values[entry.name] = torch.from_numpy(numbers(int(numpy.prod(shape)), 3)).reshape(shape)
    return values


def targets_of(scores):
    """A class for each row, or for each pixel of it."""
    inner = scores[0, 0].numel()
    return ((torch.arange(ROWS)[:, None] + torch.arange(inner)) % CLASSES).reshape(ROWS, *scores.shape[2:])


def step(file, dtype=torch.float64):
    """Loss, gradients and next statistics of a file, by the names of its initializers."""
    graph, statistics = evaluation.Graph(onnx.load(HERE / f"{file}.onnx"), dtype), Statistics()
    operators.RULES["", "BatchNormalization"] = statistics.rule
    inputs = {name: value.to(dtype) if value.is_floating_point() else value for name, value in inputs_of(graph).items()}
    head = SCORES.get(file, HEAD)
    if file not in PIXELS:
        width = graph.values[f"{head}.weight"].shape[1] if file in SCORES else 32
        graph.values[f"{head}.weight"] = torch.from_numpy(numbers(CLASSES * width, 11) / 8).to(dtype).reshape(CLASSES, width)
        graph.values[f"{head}.bias"] = torch.from_numpy(numbers(CLASSES, 12) / 8).to(dtype)
    for value in graph.values.values():
        if value.is_floating_point():
            value.requires_grad_()
    scores = graph.run(inputs)["y"]
    if file not in SCORES and file not in PIXELS:
        mask = inputs["attention_mask"].to(dtype)[:, :, None]
        pooled = (scores * mask).sum(1) / mask.sum(1)
        scores = pooled @ graph.values[f"{head}.weight"].T + graph.values[f"{head}.bias"]
    loss = torch.nn.functional.cross_entropy(scores, targets_of(scores))
    loss.backward()
    reached = {name: value.grad for name, value in graph.values.items() if value.is_floating_point() and value.grad is not None}
    gradients = {name: gradient for name, gradient in reached.items() if gradient.isfinite().all()}
    return loss.item(), gradients, statistics.next


def main():
    files = sys.argv[1:] or sorted(path.name.removesuffix(".onnx") for path in HERE.glob("*.onnx"))
    for file in files:
        loss, gradients, statistics = step(file)
        of_one_line = lambda entries: ",\n".join(f"  {json.dumps(name)}: {json.dumps(told(value), allow_nan=False)}" for name, value in sorted(entries.items()))
        text = f'{{"loss": {round_off(loss)!r},\n "gradients": {{\n{of_one_line(gradients)}}},\n "statistics": {{\n{of_one_line(statistics)}}}}}\n'
        json.loads(text)
        (HERE / f"{file}.gradients.json").write_text(text)
        print(f"{file}: loss {loss:.6f}, {len(gradients)} gradients, {len(statistics)} next statistics")


if __name__ == "__main__":
    main()
