"""Runs of "Methods compared" in performance.md: each method with each seed through `millstream train`, one line of JSON a run.

MILLSTREAM_CORPUS=../shared python3 docs/methods.py TABLE [--millstream FILE] [--device cuda] [--seeds 1 2 3] [--at-once 1] [--methods NAME …]
        [--set KEY=VALUE …]

TABLE  sst2     the first 2,000 training rows, one epoch (needs pyarrow, which cuts them)
       whole    all 6,920 rows, three epochs
       flowers  MobileNetV2 on flowers-mini, eight epochs
       vit      a small vision transformer (needs torch and torchvision), trained on five classes of cifar10-mini, tuned on the other five
       times    sst2's step times on one thread of the CPU
"""

import argparse
import concurrent.futures
import glob
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

CORPUS = Path(os.environ["MILLSTREAM_CORPUS"]).resolve()
TEXT_MODEL = CORPUS / "models/minilm-l6-h384-v12k"
IMAGE_MODEL = CORPUS / "models/mobilenet_v2_1.0_224/model.onnx"
QUERY_VALUE = {"roles": ["query", "value"]}
# PEFT compares the ends of names: its `output.dense` is `attention.output.dense` too
IA3_OF_BERT_IN_PEFT = {"layers": {"match": ["*.key", "*.value"]}, "feed_forward": {"match": ["*output.dense"]}}
WARM_UP = 8

# name: (train, methods, rate, multipliers)
GENTLE_BASE = [{"match": "head", "multiplier": 20}]
TEXT = {
    "full": ("all", [], 5e-5, GENTLE_BASE),
    "head": ("head", [], 1e-3, None),
    "lora_query_value": ("head", [{"lora": {"rank": 8, "alpha": 16, "layers": QUERY_VALUE}}], 1e-3, None),
    "lora": ("head", [{"lora": {"rank": 8, "alpha": 16}}], 1e-3, None),
    "dora": ("head", [{"lora": {"rank": 8, "alpha": 16, "dora": True}}], 1e-3, None),
    "prefix_tuning": ("head", [{"prefix_tuning": {"length": 20, "standard_deviation": 0.1}}], 1e-2, None),
    "ia3": ("head", ["ia3"], 1e-2, None),
    "ia3_as_peft": ("head", [{"ia3": IA3_OF_BERT_IN_PEFT}], 1e-2, None),
    "adapter": ("head", ["adapter"], 1e-3, None),
    "vera": ("head", ["vera"], 1e-2, None),
    "oft": ("head", ["oft"], 1e-3, None),
    "boft": ("head", ["boft"], 1e-3, None),
    "prompt_tuning": ("head", ["prompt_tuning"], 1e-2, None),
    "p_tuning": ("head", ["p_tuning"], 1e-3, None),
    "p_tuning_lstm": ("head", [{"p_tuning": {"encoder": "lstm"}}], 1e-3, None),
}
CLASSIFIER = [{"match": "classifier", "multiplier": 1.0}, {"match": "*", "multiplier": 0.05}]
FLOWERS = {
    "head": ("head", [], 2e-3, None),
    "full": ("all", [], 2e-3, CLASSIFIER),
    "lora": ("head", [{"lora": {"rank": 8, "alpha": 16, "layers": "all"}}], 2e-3, None),
    "lora_last": ("head", [{"lora": {"rank": 8, "alpha": 16, "layers": {"match": ["conv3*", "conv4*", "conv5*"]}}}], 2e-3, None),
}
VIT = {
    "head": ("head", [], 3e-3, None),
    "full": ("all", [], 3e-4, None),
    "lora_query_value": ("head", [{"lora": {"rank": 8, "alpha": 16, "layers": QUERY_VALUE}}], 3e-3, None),
    "lora": ("head", [{"lora": {"rank": 8, "alpha": 16}}], 3e-3, None),
}


def recipe(model, data, transforms, training, seed):
    found = {"version": 1, "seed": seed, "model": model, "data": data, "training": training, "output": {"folder": "runs"}}
    return found | ({"transforms": transforms} if transforms else {})


def training(rate, multipliers, epochs, schedule, device):
    found = {
        "epochs": epochs, "threads": 1 if device == "cpu" else 4, "device": device, "schedule": {schedule: {"warmup": 0.1}},
        "optimizer": {"adamw": {"learning_rate": rate, "weight_decay": 0.01}},
    }
    return found | ({"learning_rate_multipliers": multipliers} if multipliers else {})


def text(setting, rows, epochs, seed, device):
    train, methods, rate, multipliers = setting
    model = {
        "path": str(TEXT_MODEL / "model.onnx"), "head": {"on_features": {"pooling": "mean", "dropout": 0.1}}, "train": train,
        "methods": methods,
    }
    tokens = {"column": "text", "tokenizer": str(TEXT_MODEL / "tokenizer.json"), "max_length": 64}
    data = {
        "train": str(rows), "evaluate": str(CORPUS / "data/sst2/sst2-test-*.parquet"), "batch": 32, "allow_overlap": True,
        "order": "global", "inputs": {"input_ids": {"token_ids": tokens}},
    }
    return recipe(model, data, None, training(rate, multipliers, epochs, "linear", device), seed)


def image(setting, model, data, batch, epochs, transforms, seed, device):
    train, methods, rate, multipliers = setting
    model = {"path": str(model), "head": "new", "train": train, "methods": methods}
    data = {"train": str(data[0]), "evaluate": str(data[1]), "batch": batch}
    return recipe(model, data, transforms, training(rate, multipliers, epochs, "cosine", device), seed)


def run(millstream, name, recipe, folder, keep=False, more=()):
    path, output = folder / f"{name}.json", folder / name
    path.write_text(json.dumps(recipe))
    command = [millstream, "train", str(path), "--json", "--overwrite", "-o", str(output), *more]
    stamps, said = [], {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        for line in process.stdout:
            event = json.loads(line)
            if event.get("event") == "step":
                stamps.append(time.perf_counter())
            elif event.get("event") == "error" or "steps" in event:
                said = event
    if process.returncode:
        raise SystemExit(f"{name}: {said.get('message')}")
    if not keep:
        subprocess.run(["rm", "-r", str(output)], check=True)
    steps = [after - before for before, after in zip(stamps, stamps[1:])][WARM_UP:]
    evaluation = said.get("evaluation") or {}
    told = {"run": name, "accuracy": evaluation.get("accuracy"), "loss": evaluation.get("loss")}
    print(json.dumps(told | {"step_ms": round(1e3 * statistics.median(steps), 1)}), flush=True)


def first_rows(folder):
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = [pq.read_table(path) for path in sorted(glob.glob(str(CORPUS / "data/sst2/sst2-train-*.parquet")))]
    pq.write_table(pa.concat_tables(tables).slice(0, 2000), folder / "train.parquet")
    return folder / "train.parquet"


def halves(folder):
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    found = {}
    for split in ("train", "test"):
        files = sorted(glob.glob(str(CORPUS / f"data/cifar10-mini/cifar10-mini-{split}-*.parquet")))
        whole = pa.concat_tables([pq.read_table(path) for path in files]).replace_schema_metadata(None)
        for half, first in (("a", 0), ("b", 5)):
            part = whole.filter(pc.and_(pc.greater_equal(whole["label"], first), pc.less(whole["label"], first + 5)))
            part = part.set_column(1, "label", pc.subtract(part["label"], first))
            found[half, split] = folder / f"{half}-{split}.parquet"
            pq.write_table(part, found[half, split])
    return [(found[half, "train"], found[half, "test"]) for half in ("a", "b")]


def vision_transformer(path):
    import torch
    import torchvision

    torch.manual_seed(1)
    model = torchvision.models.VisionTransformer(
        image_size=32, patch_size=4, num_layers=6, num_heads=3, hidden_dim=192, mlp_dim=768, num_classes=5
    ).eval()
    axes = {"image": {0: "batch"}, "logits": {0: "batch"}}
    torch.onnx.export(
        model, torch.zeros(1, 3, 32, 32), str(path), opset_version=17, dynamo=False, input_names=["image"],
        output_names=["logits"], dynamic_axes=axes,
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("table", choices=["sst2", "whole", "flowers", "vit", "times"])
    parser.add_argument("--millstream", default="millstream")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--methods", nargs="+", help="these rows of the table alone")
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE for each `millstream train`")
    wanted = parser.parse_args()
    device = wanted.device
    changed = [word for one in wanted.set for word in ("--set", one)]
    folder = Path(tempfile.mkdtemp())
    if wanted.table == "times":
        rows = first_rows(folder)
        for seed in wanted.seeds:
            for name in ("full", "lora_query_value", "lora"):
                one = text(TEXT[name], rows, 1, 1, "cpu")
                del one["data"]["evaluate"]
                run(wanted.millstream, f"{name}-{seed}", one, folder, more=["--set", "training.max_steps=24", *changed])
        return
    if wanted.table in ("sst2", "whole"):
        rows, epochs = (first_rows(folder), 1) if wanted.table == "sst2" else (CORPUS / "data/sst2/sst2-train-*.parquet", 3)
        names = TEXT if wanted.table == "sst2" else ("full", "lora")
        jobs = {(name, seed): text(TEXT[name], rows, epochs, seed, device) for name in names for seed in wanted.seeds}
    elif wanted.table == "flowers":
        data = [CORPUS / f"data/flowers-mini/flowers-mini-{split}-*.parquet" for split in ("train", "test")]
        normalize = {"normalize": {"mean": [0.50196078] * 3, "std": [0.50196078] * 3}}
        transforms = {
            "train": [{"random_resized_crop": {"size": 224, "area": [0.5, 1.0]}}, "horizontal_flip", normalize],
            "evaluate": [{"resize": {"shorter_side": 256}}, {"center_crop": {"size": 224}}, normalize],
        }
        jobs = {
            (name, seed): image(setting, IMAGE_MODEL, data, 16, 8, transforms, seed, device)
            for name, setting in FLOWERS.items() for seed in wanted.seeds
        }
    else:
        first, second = halves(folder)
        normalize = {"normalize": {"mean": [0.5] * 3, "std": [0.25] * 3}}
        crop = {"random_resized_crop": {"size": 32, "area": [0.5, 1.0]}}
        transforms = {"train": ["horizontal_flip", crop, normalize], "evaluate": [normalize]}
        vision_transformer(folder / "vit.onnx")
        pretrain = image(("all", [], 1e-3, None), folder / "vit.onnx", first, 64, 60, transforms, 1, device)
        run(wanted.millstream, "pretrained", pretrain, folder, keep=True)
        base = folder / "pretrained/model.onnx"
        jobs = {
            (name, seed): image(setting, base, second, 32, 15, transforms, seed, device)
            for name, setting in VIT.items() for seed in wanted.seeds
        }
    if wanted.methods:
        jobs = {job: recipe for job, recipe in jobs.items() if job[0] in wanted.methods}
    with concurrent.futures.ThreadPoolExecutor(wanted.at_once) as pool:
        list(pool.map(lambda job: run(wanted.millstream, f"{job[0][0]}-{job[0][1]}", job[1], folder, more=changed), jobs.items()))


if __name__ == "__main__":
    main()
