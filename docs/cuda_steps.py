"""PyTorch's side of "On CUDA" in performance.md.

python3 cuda_steps.py export FOLDER                      writes mobilenet.onnx, resnet50.onnx and vit.onnx with random weights, and a recipe for each
python3 cuda_steps.py [--device cpu] MODEL:BATCH:PRECISION …   times training steps, for example resnet50:32:bfloat16
"""

import statistics
import sys
import time
from pathlib import Path

import torch
import torchvision

MODELS = {
    "mobilenet": torchvision.models.mobilenet_v2,
    "resnet50": torchvision.models.resnet50,
    "vit": torchvision.models.vit_b_16,
}
SIZES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
WARM_UP, TIMED = 10, 20

RECIPE = """\
version: 1
seed: 1
model: {{path: {name}.onnx, head: new, train: all}}
data:
  train: ${{MILLSTREAM_CORPUS}}/data/flowers-mini/flowers-mini-train-*.parquet
  evaluate: ${{MILLSTREAM_CORPUS}}/data/flowers-mini/flowers-mini-test-*.parquet
  batch: 32
transforms:
  train:
    - random_resized_crop: {{size: 224, area: [0.5, 1.0]}}
    - horizontal_flip
    - normalize: {{mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}}
  evaluate:
    - resize: {{shorter_side: 256}}
    - center_crop: {{size: 224}}
    - normalize: {{mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}}
training:
  epochs: 3
  optimizer: {{adamw: {{learning_rate: 1e-4}}}}
  device: cuda
output: {{folder: runs/{name}}}
"""


def export(folder):
    for name in MODELS:
        torch.manual_seed(1)
        model = MODELS[name](num_classes=1000).eval()
        axes = {"image": {0: "batch"}, "logits": {0: "batch"}}
        torch.onnx.export(
            model, torch.zeros(1, 3, 224, 224), str(folder / f"{name}.onnx"), opset_version=17, dynamo=False,
            input_names=["image"], output_names=["logits"], dynamic_axes=axes,
        )
        (folder / f"{name}.yaml").write_text(RECIPE.format(name=name))


def step_times(name, batch, precision, device):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.manual_seed(1)
    model = MODELS[name](num_classes=5).to(device).train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
        if isinstance(module, torch.nn.Dropout):
            module.p = 0
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    scaler = torch.amp.GradScaler(device, enabled=precision == "float16")
    images, classes = torch.randn(batch, 3, 224, 224), torch.randint(0, 5, (batch,))
    if device == "cuda":
        images = images.pin_memory()
        torch.cuda.reset_peak_memory_stats()
    mixed = torch.autocast(device, dtype=SIZES.get(precision, torch.bfloat16), enabled=precision in SIZES)
    times = []
    for _ in range(WARM_UP + TIMED):
        began = time.perf_counter()
        with mixed:
            scores = model(images.to(device, non_blocking=True))
            loss = torch.nn.functional.cross_entropy(scores, classes.to(device))
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        loss.item()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return times[WARM_UP:]


def main(arguments):
    if arguments[:1] == ["export"]:
        return export(Path(arguments[1]))
    device = "cuda"
    if arguments[:1] == ["--device"]:
        device, arguments = arguments[1], arguments[2:]
    for wanted in arguments:
        name, batch, precision = wanted.split(":")
        milliseconds = 1e3 * statistics.median(step_times(name, int(batch), precision, device))
        held = torch.cuda.max_memory_reserved() / 2**20 if device == "cuda" else 0
        print(f"{wanted} on {device}: {milliseconds:.2f} ms, {held:.0f} MiB reserved", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
