"""Reads what runs on a BERT have written for others: PEFT loads the folder `adapter`, Python's onnxruntime `adapter.onnx_adapter`.

    python read_adapters.py bert.script.onnx RUN...

Needs the packages `torch`, `transformers`, `peft`, `onnx` and `onnxruntime`. PEFT's model, and `base.onnx` with the adapter where a run
has one, are held against the run's `model.onnx` on two rows, of which one is shorter.
"""

import logging
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import peft
import torch
import transformers
from onnx import numpy_helper

CLOSE = 1e-5
IDS = np.array([[(7 * row + 3 * place) % 90 + 5 for place in range(12)] for row in range(2)], dtype=np.int64)
MASK = np.array([[1] * 12, [1] * 9 + [0] * 3], dtype=np.int64)


def bert(path):
    """The model of the file: matrices of MatMul are under the paths of their nodes, all else under its own name."""
    graph = onnx.load(path).graph
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    # equal tensors are stored once: what carries a name of its own is made of it
    for node in graph.node:
        if node.op_type == "Identity" and node.input[0] in held:
            held[node.output[0]] = held[node.input[0]]
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in held:
            parts = node.name.split("/")[1:-1]
            # `layer` in front of `layer.0` is the list that it is in
            own = [part for part, behind in zip(parts, [*parts[1:], ""]) if not behind.startswith(part + ".")]
            held[".".join(own) + ".weight"] = held[node.input[1]].T
    config = transformers.BertConfig(
        vocab_size=100, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=40, num_labels=3)
    model = transformers.BertForSequenceClassification(config)
    own = {name: torch.tensor(held["model." + name].copy()) for name, _ in model.named_parameters()}
    missing = model.load_state_dict(own, strict=False)
    assert not missing.unexpected_keys, missing
    return model.eval()


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(of, options=None):
    rows = {"input_ids": IDS, "attention_mask": MASK}
    return of.run(None, {made.name: rows[made.name] for made in of.get_inputs() if made.name in rows}, options)[0]


def furthest(a, b):
    return float(np.abs(a - b).max())


def read(path, folder):
    wanted = run(session(folder / "model.onnx"))
    model = peft.PeftModel.from_pretrained(bert(path), folder / "adapter").eval()
    with torch.no_grad():
        found = model(input_ids=torch.tensor(IDS), attention_mask=torch.tensor(MASK)).logits.numpy()
        untouched = bert(path)(input_ids=torch.tensor(IDS), attention_mask=torch.tensor(MASK)).logits.numpy()
    off, moved = furthest(found, wanted), furthest(untouched, wanted)
    assert moved > 100 * CLOSE, f"{folder.name}: training has changed next to nothing, {moved:.1e}"
    assert off < CLOSE, f"{folder.name}: PEFT is off by {off:.1e}"
    said = f"{folder.name}: PEFT within {off:.1e} of what differs from the base by {moved:.1e}"
    if (folder / "adapter.onnx_adapter").exists():
        adapter, options = onnxruntime.LoraAdapter(), onnxruntime.RunOptions()
        adapter.Load(str(folder / "adapter.onnx_adapter"))
        options.add_active_adapter(adapter)
        base = session(folder / "base.onnx")
        off, without = furthest(run(base, options), wanted), furthest(run(base), wanted)
        assert off < CLOSE, f"{folder.name}: onnxruntime with the adapter is off by {off:.1e}"
        assert without > 100 * CLOSE, f"{folder.name}: the adapter changes next to nothing, {without:.1e}"
        said += f", onnxruntime with the adapter {off:.1e}, without {without:.1e}"
    print(said, flush=True)


def main(path, *folders):
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    for folder in folders:
        read(path, Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
