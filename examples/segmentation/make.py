"""Composes handwritten digits on pieces of photographs, with a mask for each, as Parquet in the Hugging Face convention.

    pip install pyarrow pillow numpy
    python examples/segmentation/make.py FOLDER_WITH_PHOTOGRAPHS

The files are committed, so nobody has to run this. See PROVENANCE.md for the origin of digits and photographs. Pictures
are 48x48 JPEG; masks are grey PNG of the same size, 0 for the photograph and 1 for a digit.
"""

import io
import json
import pathlib
import random
import sys

import numpy
import pyarrow
import pyarrow.parquet
from PIL import Image

SEED = 11
SIDE = 48
HERE = pathlib.Path(__file__).parent


def digits(split):
    table = pyarrow.parquet.read_table(HERE.parent / "digits" / "data" / f"digits-pretrain-{split}-00000-of-00001.parquet")
    for row in table.to_pylist():
        yield Image.open(io.BytesIO(row["image"]["bytes"])).convert("L")


def compose(photographs, glyphs, chance):
    photograph = chance.choice(photographs)
    side = chance.randint(SIDE, min(photograph.size))
    left, top = (chance.randint(0, length - side) for length in photograph.size)
    picture = photograph.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.BILINEAR)
    picture = numpy.asarray(picture, dtype=numpy.float32).copy()
    mask = numpy.zeros((SIDE, SIDE), dtype=numpy.uint8)
    for glyph in chance.sample(glyphs, chance.choice([1, 2])):
        size = chance.randint(18, 30)
        ink = numpy.asarray(glyph.resize((size, size), Image.BICUBIC), dtype=numpy.float32) / 255
        left, top = chance.randint(0, SIDE - size), chance.randint(0, SIDE - size)
        colour = numpy.array([chance.choice([20, 235]) for _ in range(3)], dtype=numpy.float32)
        place = numpy.s_[top : top + size, left : left + size]
        cover = numpy.clip(ink * 1.6, 0, 1)[..., None]
        picture[place] = picture[place] * (1 - cover) + colour * cover
        mask[place][ink > 0.4] = 1
    return Image.fromarray(picture.round().astype("uint8")), Image.fromarray(mask)


def encoded(image, *arguments, **options):
    out = io.BytesIO()
    image.save(out, *arguments, **options)
    return out.getvalue()


def write(split, rows, photographs, glyphs, chance):
    pictures = [compose(photographs, glyphs, chance) for _ in range(rows)]
    struct = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    column = lambda files, kind: pyarrow.array([{"bytes": file, "path": f"{split}-{index}.{kind}"} for index, file in enumerate(files)], struct)
    image = column([encoded(picture, "JPEG", quality=85) for picture, _ in pictures], "jpg")
    mask = column([encoded(mask, "PNG", optimize=True) for _, mask in pictures], "png")
    features = {"image": {"_type": "Image"}, "mask": {"_type": "Image"}}
    schema = pyarrow.schema([("image", struct), ("mask", struct)], {"huggingface": json.dumps({"info": {"features": features}})})
    table = pyarrow.Table.from_arrays([image, mask], schema=schema)
    name = HERE / "data" / f"digits-on-photographs-{split}-00000-of-00001.parquet"
    pyarrow.parquet.write_table(table, name, row_group_size=100, compression="snappy", write_page_index=True)
    print(name.name, rows, name.stat().st_size)


def main():
    files = sorted(pathlib.Path(sys.argv[1]).glob("*.jpeg"))
    photographs = [Image.open(file).convert("RGB") for file in files]
    (HERE / "data").mkdir(exist_ok=True)
    # Neither a photograph nor a digit is in both.
    write("train", 300, photographs[:-2], list(digits("train")), random.Random(SEED))
    write("test", 80, photographs[-2:], list(digits("test")), random.Random(SEED + 1))


if __name__ == "__main__":
    main()
