"""PyTorch's side of "Methods compared" in performance.md: the same text model by transformers and PEFT, at the settings of methods.py.

MILLSTREAM_CORPUS=../shared python3 docs/methods_peers.py TABLE [--device cuda] [--seeds 1] [--steps N] [--methods NAME …]

TABLE  sst2     the first 2,000 training rows, one epoch
       whole    all 6,920 rows, three epochs
       times    step times on one thread of the CPU, batches of 32 × 64 tokens

Needs torch, transformers, peft, onnx, tokenizers and pyarrow. One line of JSON a run; `--steps` ends each after so many.
"""

import argparse
import glob
import json
import statistics
import time

import onnx
import peft
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import transformers
from onnx.numpy_helper import to_array
from tokenizers import Tokenizer

from methods import CORPUS, TEXT_MODEL

BATCH, LONGEST, WARM_UP = 32, 64, 8
CONFIG = transformers.BertConfig(
    vocab_size=12000, hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536, hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)
ALL_LINEAR = ["query", "key", "value", "dense"]

# name: (what PEFT adds, rate of it, rate of the head)
METHODS = {
    "full": (None, 5e-5, 1e-3),
    "lora_query_value": (lambda: peft.LoraConfig(r=8, lora_alpha=16, target_modules=["query", "value"]), 1e-3, 1e-3),
    "lora": (lambda: peft.LoraConfig(r=8, lora_alpha=16, target_modules=ALL_LINEAR), 1e-3, 1e-3),
    "ia3": (
        lambda: peft.IA3Config(target_modules=["key", "value", "output.dense"], feedforward_modules=["output.dense"]), 1e-2, 1e-2,
    ),
}


def encoder():
    """The corpus' ONNX file as transformers' model: weights by their names, matrices without one by the bias behind them."""
    graph = onnx.load(str(TEXT_MODEL / "model.onnx")).graph
    stored = {one.name: torch.from_numpy(to_array(one).copy()) for one in graph.initializer}
    state = {name.removeprefix("m."): value for name, value in stored.items() if name.startswith("m.")}
    made = {node.output[0]: node for node in graph.node}
    for node in graph.node:
        for bias, product in (node.input, node.input[::-1]) if node.op_type == "Add" else ():
            if bias in stored and product in made and made[product].op_type == "MatMul" and made[product].input[1] in stored:
                state[bias.removeprefix("m.").removesuffix("bias") + "weight"] = stored[made[product].input[1]].T.contiguous()
    model = transformers.BertModel(CONFIG, add_pooling_layer=False)
    missing, unknown = model.load_state_dict(state, strict=False)
    if unknown or [name for name in missing if "position_ids" not in name]:
        raise SystemExit(f"missing {missing}, unknown {unknown}")
    return model


class Classifier(torch.nn.Module):
    def __init__(self, method):
        super().__init__()
        config = METHODS[method][0]
        self.encoder = encoder() if config is None else peft.get_peft_model(encoder(), config())
        self.dropout, self.head = torch.nn.Dropout(0.1), torch.nn.Linear(CONFIG.hidden_size, 2)

    def forward(self, tokens, mask):
        states = self.encoder(input_ids=tokens, attention_mask=mask).last_hidden_state
        mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return self.head(self.dropout(mean))


def rows(split, tokenizer):
    table = pa.concat_tables([pq.read_table(path) for path in sorted(glob.glob(str(CORPUS / f"data/sst2/sst2-{split}-*.parquet")))])
    return [one.ids for one in tokenizer.encode_batch(table["text"].to_pylist())], table["label"].to_pylist()


def padded(texts, device, length=None):
    length = length or max(map(len, texts))
    tokens = torch.tensor([one + [0] * (length - len(one)) for one in texts], device=device)
    mask = torch.tensor([[1] * len(one) + [0] * (length - len(one)) for one in texts], device=device)
    return tokens, mask


def groups(model, method):
    """Norms and biases have no decay, as in the recipes."""
    _, rate, rate_of_head = METHODS[method]
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decay = 0.01 if parameter.dim() > 1 else 0.0
            yield {"params": [parameter], "lr": rate_of_head if name.startswith("head") else rate, "weight_decay": decay}


def train(method, seed, epochs, data, test, wanted):
    torch.manual_seed(seed)
    model = Classifier(method).to(wanted.device).train()
    texts, labels = data
    batches = -(-len(texts) // BATCH)
    most = epochs * batches
    optimizer = torch.optim.AdamW(groups(model, method))
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, most // 10, most)
    order, times = [], []
    for step in range(min(most, wanted.steps or most)):
        order = order or list(torch.randperm(len(texts)).split(BATCH))
        drawn = order.pop(0).tolist()
        began = time.perf_counter()
        scores = model(*padded([texts[row] for row in drawn], wanted.device, LONGEST if wanted.table == "times" else None))
        loss = torch.nn.functional.cross_entropy(scores, torch.tensor([labels[row] for row in drawn], device=wanted.device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        loss.item()
        times.append(time.perf_counter() - began)
    trained = sum(one.numel() for one in model.parameters() if one.requires_grad)
    said = {"run": f"{method}-{seed}", "trained": trained, "step_ms": round(1e3 * statistics.median(times[WARM_UP:] or times), 1)}
    if test:
        said["accuracy"] = right(model.eval(), test, wanted.device) / len(test[0])
    print(json.dumps(said), flush=True)


@torch.no_grad()
def right(model, test, device):
    texts, labels = test
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    found = 0
    for first in range(0, len(order), BATCH):
        drawn = order[first : first + BATCH]
        classes = model(*padded([texts[row] for row in drawn], device)).argmax(-1).tolist()
        found += sum(said == labels[row] for said, row in zip(classes, drawn))
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("table", choices=["sst2", "whole", "times"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--steps", type=int)
    parser.add_argument("--methods", nargs="+", choices=METHODS)
    wanted = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(TEXT_MODEL / "tokenizer.json"))
    tokenizer.enable_truncation(LONGEST)
    tokenizer.no_padding()
    data, test = rows("train", tokenizer), rows("test", tokenizer)
    if wanted.table != "whole":
        data = tuple(column[:2000] for column in data)
    if wanted.table == "times":
        torch.set_num_threads(1)
        wanted.steps, test = wanted.steps or 24, None
    names = {"sst2": METHODS, "whole": ("full", "lora"), "times": ("full", "lora_query_value", "lora")}[wanted.table]
    for method in wanted.methods or names:
        for seed in wanted.seeds:
            train(method, seed, 3 if wanted.table == "whole" else 1, data, test, wanted)


if __name__ == "__main__":
    main()
