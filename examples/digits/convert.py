"""Writes scikit-learn's handwritten digits as Parquet in the Hugging Face convention.

    pip install scikit-learn pyarrow pillow
    python examples/digits/convert.py

The files are committed, so nobody has to run this. It is kept to show how they came about, and writes the same rows in
the same order each time. See PROVENANCE.md for the origin of the digits.

Two tasks are made of the ten classes, and no picture is in two files:

    pretrain  digits 0-4, labels 0..4   three quarters of each class to train on, one quarter held out
    finetune  digits 5-9, labels 0..4   SHOTS pictures of each class to train on, all others held out

The fine-tuning set is small on purpose: with few pictures it matters whether they are augmented, and the many held-out
ones measure the difference well.
"""

import io
import json
import pathlib
import random

import pyarrow
import pyarrow.parquet
from PIL import Image
from sklearn.datasets import load_digits

SEED = 5
SHOTS = 20
ROWS_IN_A_GROUP = 100
FOLDER = pathlib.Path(__file__).parent / "data"


def png(pixels):
    """8x8 numbers in 0..16 as an 8-bit grey PNG."""
    scaled = (pixels * 255 / 16).round().astype("uint8")
    out = io.BytesIO()
    Image.fromarray(scaled).save(out, "PNG", optimize=True)
    return out.getvalue()


def split(labels, digits, train_rows):
    """Row numbers to train on and to hold out: as many of each class as `train_rows` says, both lists shuffled."""
    shuffle = random.Random(SEED).shuffle
    train, test = [], []
    for digit in digits:
        rows = [row for row, label in enumerate(labels) if label == digit]
        shuffle(rows)
        count = train_rows(len(rows))
        train += rows[:count]
        test += rows[count:]
    shuffle(train)
    shuffle(test)
    return {"train": train, "test": test}


def write(name, rows, images, labels, digits):
    names = [str(digit) for digit in digits]
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    image_type = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    schema = pyarrow.schema(
        [("image", image_type), ("label", pyarrow.int64())],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    table = pyarrow.table(
        {
            "image": [{"bytes": png(images[row]), "path": f"digit_{row:04}.png"} for row in rows],
            "label": [digits.index(labels[row]) for row in rows],
        },
        schema=schema,
    )
    pyarrow.parquet.write_table(
        table,
        FOLDER / f"{name}-00000-of-00001.parquet",
        row_group_size=ROWS_IN_A_GROUP,
        compression="snappy",
        use_dictionary=False,
        write_statistics=["label"],
        write_page_index=True,
    )
    print(f"{name}: {table.num_rows} rows")


def main():
    digits = load_digits()
    labels = digits.target.tolist()
    FOLDER.mkdir(exist_ok=True)
    tasks = {
        "pretrain": ([0, 1, 2, 3, 4], lambda rows: rows * 3 // 4),
        "finetune": ([5, 6, 7, 8, 9], lambda rows: SHOTS),
    }
    for task, (classes, train_rows) in tasks.items():
        for part, rows in split(labels, classes, train_rows).items():
            write(f"digits-{task}-{part}", rows, digits.images, labels, classes)


if __name__ == "__main__":
    main()
