"""Networks of random weights, as performance.md trains them: those of torchvision, and of timm by `timm/NAME`.

python3 random_networks.py [--dynamo] FOLDER NAME:SIZE …    writes NAME.onnx, for example vgg11_bn:64 timm/vit_base_patch16_clip_224:224

Needs torch, torchvision, timm and onnx, with `--dynamo` onnxscript too.
"""

import sys
from pathlib import Path

import torch
import torchvision


def made(name):
    torch.manual_seed(1)
    source, _, model = name.rpartition("/")
    if source == "timm":
        import timm

        return timm.create_model(model, pretrained=False, exportable=True).eval()
    return torchvision.models.get_model(model, weights=None).eval()


def export(folder, name, size, dynamo):
    path = folder / f"{name.rpartition('/')[2]}.onnx"
    names = {"input_names": ["image"], "output_names": ["logits"]}
    if dynamo:
        axes = {"dynamic_shapes": ({0: torch.export.Dim("batch")},), "external_data": False}
        torch.onnx.export(made(name), (torch.zeros(2, 3, size, size),), str(path), dynamo=True, **names, **axes)
    else:
        axes = {"dynamic_axes": {"image": {0: "batch"}, "logits": {0: "batch"}}}
        torch.onnx.export(made(name), (torch.zeros(2, 3, size, size),), str(path), dynamo=False, opset_version=17, **names, **axes)
    print(f"{path}: {path.stat().st_size / 1e6:.0f} MB")


def main(arguments):
    dynamo = arguments[:1] == ["--dynamo"]
    folder, *wanted = arguments[dynamo:]
    for one in wanted:
        name, size = one.split(":")
        export(Path(folder), name, int(size), dynamo)


if __name__ == "__main__":
    main(sys.argv[1:])
