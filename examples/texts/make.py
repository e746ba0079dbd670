"""Messages of Django in eight languages, a tokenizer that is trained on them, and a small network on its tokens.

Run: python make.py DJANGO FOLDER, where DJANGO is the package `django` as its wheel holds it. FOLDER gets `messages.jsonl` (text, language),
`tokenizer.json` and `network.onnx`. Wants the packages onnx, numpy and tokenizers.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

LANGUAGES = {"da": "Danish", "de": "German", "es": "Spanish", "fr": "French", "it": "Italian", "nl": "Dutch", "pt": "Portuguese", "sv": "Swedish"}
PARTS = ["conf", "contrib/admin", "contrib/auth", "contrib/gis", "contrib/postgres"]
# Entries of the tokenizer, and numbers that stand for each.
TOKENS, WIDTH = 1000, 32


def translations(file):
    """What the messages of a file of gettext are in its language."""
    text = file.read_text(encoding="utf-8")
    for entry in re.finditer(r'^msgstr(?:\[\d\])? ((?:"(?:[^"\\]|\\.)*"\s*)+)', text, re.MULTILINE):
        lines = re.findall(r'"((?:[^"\\]|\\.)*)"', entry.group(1))
        yield "".join(lines).replace("\\n", " ").replace('\\"', '"')


def messages(django):
    """Each text once, with its language; what has fewer than twelve letters, or stands in two languages, is left out."""
    found = {}
    for code, language in LANGUAGES.items():
        for part in PARTS:
            file = django / part / "locale" / code / "LC_MESSAGES" / "django.po"
            # the first entry is about the file
            for text in list(translations(file))[1:] if file.exists() else []:
                text = " ".join(re.sub(r"%\([^)]*\)\w|%\w|\{[^}]*\}|<[^>]*>", " ", text).split())
                if sum(letter.isalpha() for letter in text) >= 12:
                    found.setdefault(text, set()).add(language)
    return [(text, *languages) for text, languages in sorted(found.items()) if len(languages) == 1]


def tokenizer(texts):
    made = Tokenizer(models.BPE(unk_token="[UNK]"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=TOKENS, special_tokens=["[PAD]", "[UNK]"], show_progress=False))
    return made


def network():
    """The mean of a row's embeddings, and a dense layer on it: `input_ids` and `attention_mask`, `[batch, sequence]`, to `logits`."""
    random = np.random.default_rng(1)
    embeddings = random.normal(0, 0.1, (TOKENS, WIDTH)).astype(np.float32)
    dense = random.normal(0, WIDTH**-0.5, (WIDTH, len(LANGUAGES))).astype(np.float32)
    weights = [(embeddings, "embeddings.weight"), (dense, "head.weight"), (np.zeros(len(LANGUAGES), np.float32), "head.bias")]
    constants = [(np.array([2]), "last"), (np.array([1]), "second")]
    nodes = [
        helper.make_node("Gather", ["embeddings.weight", "input_ids"], ["vectors"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["vectors", "column"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "second"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["mask", "second"], ["tokens"], keepdims=1),
        helper.make_node("Div", ["sum", "tokens"], ["mean"]),
        helper.make_node("MatMul", ["mean", "head.weight"], ["scores"]),
        helper.make_node("Add", ["scores", "head.bias"], ["logits"]),
    ]
    places = ["batch", "sequence"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, places) for name in ["input_ids", "attention_mask"]]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(LANGUAGES)])
    initializers = [numpy_helper.from_array(values, name) for values, name in weights + constants]
    graph = helper.make_graph(nodes, "texts", inputs, [output], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: python make.py DJANGO FOLDER")
    django, folder = map(Path, sys.argv[1:])
    rows = messages(django)
    if not rows:
        sys.exit(f"{django} holds no messages: it has to be the folder `django` of its wheel")
    folder.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps({"text": text, "language": language}, ensure_ascii=False) + "\n" for text, language in rows)
    (folder / "messages.jsonl").write_text("".join(lines), encoding="utf-8")
    tokenizer([text for text, _ in rows]).save(str(folder / "tokenizer.json"))
    onnx.save(network(), folder / "network.onnx")
    print(f"{len(rows)} messages in {len(LANGUAGES)} languages")


if __name__ == "__main__":
    main()
