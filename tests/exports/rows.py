"""The rows that every model is trained on: as Parquet for Millstream, and as tensors for PyTorch."""

import functools
import io
import json
import pathlib

import numpy
import pyarrow
import pyarrow.parquet
import torch

from architectures import CLASSES, PIXEL_CLASSES

ROWS, BATCH, WORDS = 10, 4, 100
INPUTS = {"image": ["image"], "bytes": ["image"], "pixels": ["image"], "numbers": ["numbers"], "tokens": ["input_ids", "attention_mask"]}


def input_names(architecture):
    return INPUTS[architecture.kind][:1 if architecture.kind == "tokens" and not architecture.mask else 2]


@functools.cache
def made(kind, size):
    """Inputs of all rows, and their targets."""
    random = numpy.random.default_rng(size)
    labels = numpy.arange(ROWS) * 7 % CLASSES
    if kind in ("image", "bytes", "pixels"):
        pictures = random.integers(0, 256, (ROWS, size, size, 3), numpy.uint8)
        masks = random.integers(0, PIXEL_CLASSES, (ROWS, size, size), numpy.uint8)
        return pictures, masks if kind == "pixels" else labels
    if kind == "tokens":
        # the longest first, so that the batch is as long as an exporter saw it
        lengths = [size - at % 4 for at in range(ROWS)]
        return [random.integers(3, WORDS, length) for length in lengths], labels
    return random.standard_normal((ROWS, size)).astype(numpy.float32), labels


def tensors(architecture):
    """Inputs of the first batch, as the model takes them."""
    values, _ = made(architecture.kind, architecture.size)
    if architecture.kind in ("image", "bytes", "pixels"):
        pictures = values[:BATCH] if architecture.channels_last else values[:BATCH].transpose(0, 3, 1, 2)
        return (torch.from_numpy(pictures if architecture.kind == "bytes" else pictures.astype(numpy.float32) / 255),)
    if architecture.kind == "tokens":
        ids = torch.zeros(BATCH, architecture.size, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for row, tokens in enumerate(values[:BATCH]):
            ids[row, :len(tokens)], mask[row, :len(tokens)] = torch.from_numpy(tokens), 1
        return (ids, mask)[:len(input_names(architecture))]
    return (torch.from_numpy(values[:BATCH]),)


def targets(architecture):
    return torch.from_numpy(made(architecture.kind, architecture.size)[1][:BATCH].astype(numpy.int64))


def loss_of(architecture, scores, probabilities=False):
    """The mean cross-entropy of the batch."""
    if probabilities:
        return torch.nn.functional.nll_loss(torch.log(scores), targets(architecture))
    return torch.nn.functional.cross_entropy(scores, targets(architecture))


def write(architecture, folder):
    """The Parquet file, and the tokenizer beside it; written once."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{architecture.kind}-{architecture.size}.parquet"
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.exists():
        words = {"[PAD]": 0, "[UNK]": 1, **{f"w{at}": at for at in range(2, WORDS)}}
        padding = dict(strategy="BatchLongest", direction="Right", pad_to_multiple_of=None, pad_id=0, pad_type_id=0, pad_token="[PAD]")
        special = [dict(id=0, content="[PAD]", single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)]
        replace(tokenizer, json.dumps(dict(
            version="1.0", truncation=None, padding=padding, added_tokens=special, normalizer=None, pre_tokenizer=dict(type="WhitespaceSplit"),
            post_processor=None, decoder=None, model=dict(type="WordLevel", vocab=words, unk_token="[UNK]"))).encode())
    if path.exists():
        return path, tokenizer
    values, wanted = made(architecture.kind, architecture.size)
    columns = {"label": pyarrow.array([int(label) for label in wanted])} if architecture.kind != "pixels" else {}
    if architecture.kind in ("image", "bytes", "pixels"):
        columns["image"] = pyarrow.array([png(picture) for picture in values])
    if architecture.kind == "pixels":
        columns["mask"] = pyarrow.array([png(mask) for mask in wanted])
    if architecture.kind == "tokens":
        columns["text"] = pyarrow.array([" ".join(f"w{token}" for token in tokens) for tokens in values])
    if architecture.kind == "numbers":
        columns.update({f"x{at}": pyarrow.array(values[:, at]) for at in range(architecture.size)})
    table = pyarrow.table(columns)
    if architecture.kind != "pixels":
        features = {"label": {"names": [f"class {at}" for at in range(CLASSES)], "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer)
    replace(path, buffer.getvalue())
    return path, tokenizer


def replace(path, contents):
    import os
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(contents)
    part.replace(path)


def png(pixels):
    from PIL import Image
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def data(architecture, folder):
    """The part `data` of a recipe, and the loss."""
    path, tokenizer = write(architecture, folder)
    inputs = {
        "image": lambda: {"image": {"image": {"column": "image"}}},
        "bytes": lambda: {"image": {"image": {"column": "image"}}},
        "pixels": lambda: {"image": {"image": {"column": "image"}}},
        "numbers": lambda: {"numbers": {"number": {"column": [f"x{at}" for at in range(architecture.size)]}}},
        "tokens": lambda: {"input_ids": {"token_ids": {
            "column": "text", "tokenizer": str(tokenizer), "max_length": architecture.size, "pad_to_multiple_of": 1}}},
    }[architecture.kind]()
    target = {"mask": {"column": "mask", "classes": [f"class {at}" for at in range(PIXEL_CLASSES)]}} \
        if architecture.kind == "pixels" else {"class_label": {"column": "label"}}
    loss = "sparse_cross_entropy" if architecture.kind == "pixels" else "cross_entropy"
    return dict(train=str(path), batch=BATCH, order="sequential", group_by_length=False, workers=1, inputs=inputs, targets={"wanted": target}), loss
