"""Writes the small models of this folder: twelve architectures of public libraries with a few random weights.

    pip install torch torchvision transformers onnx onnxscript
    python make.py              # all of them
    python make.py regnet       # these

Written with torch 2.15.0, torchvision, transformers 5.24.0. Weights are rounded to 64ths, so that they take little room.
`NAME.script.onnx` are from TorchScript (opset 17), `NAME.export.onnx` from torch.export (opset 18), and `NAME.training.onnx`
from TorchScript with BatchNormalization in training mode, which gives the running statistics too. `gradients.py` writes what
stands beside them.
"""

import logging
import sys
import warnings

import onnx
import torch
import transformers as t
from torch.export import Dim
from torchvision.models.regnet import BlockParams, RegNet
from torchvision.models.swin_transformer import SwinTransformer

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

SMALL = dict(
    vocab_size=100, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
    max_position_embeddings=40,
)
IDS = torch.randint(5, 90, (2, 12), generator=torch.Generator().manual_seed(0))
TEXT = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}
IMAGE = {"image": torch.zeros(2, 3, 32, 32)}


class Named(torch.nn.Module):
    """Gives one output of a model whose inputs are given in order."""

    def __init__(self, model, names, output):
        super().__init__()
        self.model, self.names, self.output = model, names, output

    def forward(self, *values):
        result = self.model(**dict(zip(self.names, values)))
        return result if self.output is None else getattr(result, self.output)


class UNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        conv = lambda a, b: torch.nn.Sequential(
            torch.nn.Conv2d(a, b, 3, padding=1), torch.nn.BatchNorm2d(b), torch.nn.ReLU())
        self.down, self.middle, self.up = conv(3, 8), conv(8, 16), conv(24, 8)
        self.out = torch.nn.Conv2d(8, 5, 1)

    def forward(self, image):
        f = torch.nn.functional
        down = self.down(image)
        middle = f.interpolate(self.middle(f.max_pool2d(down, 2)), scale_factor=2, mode="bilinear", align_corners=False)
        return self.out(self.up(torch.cat([middle, down], 1)))


def text(name, config, output="last_hidden_state", attention="sdpa"):
    config._attn_implementation, config.use_cache = attention, False
    return Named(getattr(t, name)(config), list(TEXT), output), TEXT


def regnet():
    """With squeeze and excitation, convolutions in groups, and running statistics that differ."""
    torch.manual_seed(0)
    model = RegNet(BlockParams([1, 1], [8, 16], [4, 8], [1.0, 1.0], [2, 2], 0.25), num_classes=10, stem_width=8)
    for layer in norms(model):
        layer.running_mean.copy_((16 * torch.randn(layer.running_mean.shape)).round() / 64)
        layer.running_var.copy_((64 + 32 * torch.rand(layer.running_var.shape)).round() / 64)
    return model


def norms(model):
    return [layer for layer in model.modules() if isinstance(layer, torch.nn.BatchNorm2d)]


def models():
    yield "bert", "script", *text("BertForSequenceClassification", t.BertConfig(**SMALL, num_labels=3), "logits")
    yield "roberta", "export", *text("RobertaModel", t.RobertaConfig(**{**SMALL, "max_position_embeddings": 50}))
    yield "deberta_v2", "script", *text("DebertaV2Model", t.DebertaV2Config(
        **SMALL, relative_attention=True, position_buckets=8, norm_rel_ebd="layer_norm", share_att_key=True,
        pos_att_type=["p2c", "c2p"], position_biased_input=False, type_vocab_size=0), attention="eager")
    yield "modernbert", "export", *text("ModernBertModel", t.ModernBertConfig(
        **SMALL, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2, local_attention=8,
        global_attn_every_n_layers=2), attention="eager")
    yield "gpt2", "script", *text("GPT2Model", t.GPT2Config(
        vocab_size=100, n_embd=32, n_layer=2, n_head=4, n_positions=40))
    yield "llama", "export", *text("LlamaModel", t.LlamaConfig(**SMALL, num_key_value_heads=2))
    yield "t5_encoder", "script", *text("T5EncoderModel", t.T5Config(
        vocab_size=100, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4), attention="eager")
    vit = t.ViTForImageClassification(t.ViTConfig(
        image_size=32, patch_size=8, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        num_labels=10))
    yield "vit", "export", Named(vit, ["pixel_values"], "logits"), IMAGE
    yield "swin", "script", SwinTransformer([4, 4], 16, [2, 2], [2, 4], [4, 4], num_classes=10), IMAGE
    yield "unet", "script", UNet(), IMAGE
    yield "xlnet", "script", *text("XLNetModel", t.XLNetConfig(
        vocab_size=100, d_model=32, n_layer=2, n_head=4, d_inner=64, use_mems_eval=False), attention="eager")
    yield "regnet", "training", regnet(), IMAGE


def main():
    for name, exporter, model, inputs in models():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        torch.manual_seed(0)
        model.eval()
        with torch.no_grad():
            for parameter in model.parameters():
                # what began as zeros or ones would be stored once
                spread = parameter + 0.05 * torch.randn(parameter.shape)
                parameter.copy_((spread * 64).round() / 64)
        path, values = f"{name}.{exporter}.onnx", tuple(inputs.values())
        open_axes = [0, 1] if "input_ids" in inputs else [0]
        if exporter in ("script", "training"):
            for layer in norms(model) if exporter == "training" else []:
                layer.train()
            mode = torch.onnx.TrainingMode.PRESERVE if exporter == "training" else torch.onnx.TrainingMode.EVAL
            axes = {key: {axis: ("batch", "sequence")[axis] for axis in open_axes} for key in inputs}
            torch.onnx.export(model, values, path, input_names=list(inputs), output_names=["y"], dynamic_axes=axes,
                              opset_version=17, training=mode, do_constant_folding=exporter == "script", dynamo=False)
        else:
            shapes = tuple({axis: Dim.DYNAMIC for axis in open_axes} for _ in inputs)
            program = torch.onnx.export(model, values, input_names=list(inputs), output_names=["y"],
                                        dynamic_shapes=(shapes,), opset_version=18, dynamo=True, verbose=False)
            program.save(path)
        file = onnx.load(path)
        for node in file.graph.node:
            kept = [entry for entry in node.metadata_props if entry.key == "pkg.torch.onnx.name_scopes"]
            del node.metadata_props[:]
            node.metadata_props.extend(kept)
            node.doc_string = ""
        for value in file.graph.value_info:
            del value.metadata_props[:]
        onnx.save(file, path)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        print(f"{path}: {parameters} numbers in parameters")


if __name__ == "__main__":
    main()
