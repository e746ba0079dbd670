"""Which of the module's parameters a file's trained ones are, number by number."""

import hashlib

import numpy
import onnx
from onnx import numpy_helper

# Of a module's numbers that a loss reaches, the share that must be trained for everything to be.
ENOUGH = 0.999

# Families of transformers whose first block is trained by its path, and how that ends; the longest that a module has is its.
FAMILIES = {"beit", "bert", "convnext", "llama", "swin", "t5_encoder"}
BLOCKS = ["layers.0.blocks.0.", "stages.0.blocks.0.", "encoder.layer.0.", "encoder.block.0.", "features.1.0.", "blocks.0.", "layers.0."]


def form(value):
    return tuple(sorted(length for length in value.shape if length > 1))


def key(value):
    """The same for the same numbers in whatever order."""
    flat = numpy.sort(numpy.asarray(value, numpy.float32).reshape(-1) + 0.0)
    return flat.size, hashlib.sha256(flat.tobytes()).digest()


def is_plain(value):
    """One number throughout says nothing of where it comes from."""
    return value.size < 2 or bool((value.reshape(-1) == value.reshape(-1)[0]).all())


def among(part, whole):
    """Which numbers of one tensor another has, where a few of them are there; nothing otherwise."""
    probe = part.reshape(-1)[:: max(1, part.size // 16)]
    if is_plain(part) or is_plain(whole) or not numpy.isin(probe, whole).any():
        return None
    return numpy.isin(part, whole)


def stored(model):
    """Float tensors of a file, as initializers and as `Constant` nodes."""
    graph = model.graph
    tensors = [*graph.initializer, *(entry.t for node in graph.node if node.op_type == "Constant" for entry in node.attribute if entry.name == "value")]
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    return [numpy_helper.to_array(tensor).astype(numpy.float32) for tensor in tensors if tensor.data_type in floats]


def trained_tensors(report, model):
    """What `check` says is trained, by name. What is stored once for several parameters has the numbers of what is stored."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    tensors.update((node.output[0], entry.t) for node in model.graph.node if node.op_type == "Constant" for entry in node.attribute if entry.name == "value")
    found = {}
    for layer in report["layers"]:
        for name, shape in layer["weights"] if layer["trained_parameters"] == layer["parameters"] else ():
            of = [name, *(entry["name"] for entry in report["stored_once"] if layer["name"] in entry["layers"])]
            same = [tensors[stored] for stored in of if stored in tensors and list(tensors[stored].dims) == shape]
            found[name] = numpy_helper.to_array(same[0]).astype(numpy.float32) if same else numpy.full(shape, numpy.nan, numpy.float32)
    return found


def first_block(architecture, known):
    """The path of the first block of a transformer, with a dot behind it; nothing of other architectures."""
    if not known or architecture.family not in FAMILIES:
        return None
    for block in BLOCKS:
        for name in known["values"]:
            at = f".{name}".find(f".{block}")
            if at >= 0:
                return name[: at + len(block)]
    return None


def of_block(known, block):
    """What is known of the module, of its parameters those of a block alone."""
    return dict(known, gradients={name: value for name, value in known["gradients"].items() if name.startswith(block)})


def of_others(known, block, trained):
    """Trained tensors of a file that are parameters outside of a block, by name or by their numbers, with what they are."""
    inside = {key(value) for name, value in known["values"].items() if name.startswith(block)}
    outside = {key(value): name for name, value in known["values"].items() if not name.startswith(block) and not is_plain(value)}
    found = {}
    for name, value in trained.items():
        of = name if name in known["values"] and not name.startswith(block) else outside.get(key(value))
        if of and key(value) not in inside:
            found[name] = of
    return found


def parent(name):
    """The module around the one that a parameter is of."""
    return name.rsplit(".", 2)[0] if name.count(".") > 1 else ""


def is_taken_up(name, value, changed):
    """Whether a scale or shift that is no longer in the file has become part of a weight beside it, whose numbers are others than the module's."""
    return len(form(value)) < 2 and any(value.size in of.shape and other.startswith(parent(name)) for other, of in changed.items())


def held(known, trained, model, in_halves=False):
    """The trained tensors of a file, by name, held against the module's parameters.

    Each of these is looked for by its name, by its numbers in any order, as a part of a larger one or in parts, and last by its shape among those
    that are left, since what is folded into a layer changes its numbers. What the loss does not reach in the module is not counted. Scale and shift of a
    BatchNormalization that the file no longer has are folded."""
    rounded = (lambda value: value.astype(numpy.float16).astype(numpy.float32)) if in_halves else (lambda value: value)
    values = {name: rounded(numpy.asarray(known["values"][name], numpy.float32)) for name in known["gradients"]}
    live = {name: known["gradients"][name] != 0 for name in values}
    trained = {name: numpy.asarray(value, numpy.float32) for name, value in trained.items()}
    left, free, changed = dict(values), dict(trained), {}

    def pair(name, found):
        left.pop(name)
        free.pop(found, None)

    for name in [name for name in left if name in free and left[name].size == free[name].size]:
        if key(values[name]) != key(free[name]):
            changed[name] = values[name]
        pair(name, name)
    by_key = {}
    for found, value in free.items():
        by_key.setdefault(key(value), []).append(found)
    for name in list(left):
        same = by_key.get(key(left[name]))
        if same:
            pair(name, same.pop(0))
    norms, there = known["norms"], {key(value) for value in stored(model)}

    def in_parts():
        # several in one, as query, key and value; or one in several, or some rows of it
        whole = set()
        for name in list(left):
            seen = numpy.zeros(left[name].shape, bool)
            for found, value in trained.items():
                if found not in free:
                    continue
                inside = among(left[name], value)
                if inside is not None and (inside.all() or among(value, left[name]) is not None and numpy.isin(value, left[name]).all()):
                    seen |= inside
                    whole.add(found)
            if seen[live[name]].all() and seen.any():
                left.pop(name)
        for found in whole:
            free.pop(found)

    def by_shape():
        # folded into a layer: what has its shape and is not in the file as it was; biases of layers before those of normalizations, which go with them
        for name in sorted(left, key=lambda name: name in norms):
            if key(left[name]) in there:
                continue
            same = [found for found, value in free.items() if form(value) == form(left[name])]
            # what is standardized may be stored as rows of numbers
            alike = [found for found, value in free.items() if value.size == left[name].size and value.size > max(value.shape)]
            if same or len(alike) == 1:
                changed[name] = values[name]
                pair(name, (same or alike)[0])

    # there are so few numbers of 16 bits that those of small tensors are all in a large one
    for step in (by_shape, in_parts) if in_halves else (in_parts, by_shape):
        step()
    copies = {key(value): name for name, value in values.items()}
    buffers = {key(rounded(numpy.asarray(value, numpy.float32))): name for name, value in known["buffers"].items() if not is_plain(value)}
    missing = {}
    for name, value in left.items():
        is_there = key(value) in there
        if not is_there and (name in norms or is_taken_up(name, value, changed)):
            continue
        missing[name] = dict(numbers=int(live[name].sum()), shape=list(value.shape), in_file=is_there)
    missing = {name: entry for name, entry in missing.items() if entry["numbers"]}
    extra = {}
    for name, value in free.items():
        of = None if is_plain(value) else copies.get(key(value))
        extra[name] = dict(shape=list(value.shape), of=of, buffer=None if of else buffers.get(key(value)))
    folded = sum(int(live[name].sum()) for name in left if name not in missing)
    total = sum(int(of.sum()) for of in live.values()) - folded
    lost = sum(entry["numbers"] for entry in missing.values())
    return dict(share=1 - lost / total if total else 1.0, reached=total, folded=folded, missing=missing, extra=extra)
