"""Writes the folders beside this file: adapters for `../architectures/bert.script.onnx`, as PEFT saves them, and what PEFT's model makes.
That of `prefix_tuning_gpt2` is for `gpt2.script.onnx` there, that of `prefix_tuning_llama` for `llama.onnx` here, which it writes too: the
exporter has named each axis of each input otherwise, and rows lie one behind the other where the last token of each is picked.

    pip install torch transformers peft onnx safetensors
    python make.py [NAME...]

Written with torch 2.15.0, transformers 5.24.0, peft 0.21.2. `scores.json` holds the class scores of two rows for each folder,
of models without classes the first four numbers of each token.
"""

import json
import logging
import pathlib
import shutil
import sys
import warnings

import onnx
import torch
import transformers as t
from onnx import numpy_helper
from peft import (
    BOFTConfig, IA3Config, LNTuningConfig, LoraConfig, OFTConfig, PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig, VeraConfig,
    get_peft_model,
)

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
HERE = pathlib.Path(__file__).parent
IDS = torch.tensor([[(7 * row + 3 * place) % 90 + 5 for place in range(12)] for row in range(2)])
MASK = torch.tensor([[1] * 12, [1] * 9 + [0] * 3])
PART = ["query", "value"]
CONFIGS = {
    "lora": LoraConfig(
        r=2, lora_alpha=6, use_rslora=True, target_modules=[*PART, "word_embeddings", "intermediate.dense"], bias="lora_only",
        rank_pattern={"intermediate.dense": 3}, alpha_pattern={"encoder.layer.1.attention.self.value": 5},
        modules_to_save=["classifier"]),
    "dora": LoraConfig(r=2, lora_alpha=3, use_dora=True, target_modules=PART),
    "dora_of_tables": LoraConfig(r=2, lora_alpha=3, use_dora=True, target_modules=["query", "word_embeddings"]),
    "ia3": IA3Config(target_modules=["key", "value", "output.dense"], feedforward_modules=["output.dense"]),
    "vera": VeraConfig(r=4, target_modules=[*PART, "intermediate.dense"]),
    "vera_drawn": VeraConfig(r=4, target_modules=[*PART, "output.dense"], save_projection=False, projection_prng_key=11),
    "oft": OFTConfig(r=0, oft_block_size=8, target_modules=PART),
    "oft_exact": OFTConfig(r=0, oft_block_size=8, use_cayley_neumann=False, target_modules=PART),
    "boft": BOFTConfig(boft_block_size=4, boft_n_butterfly_factor=2, target_modules=PART),
    "boft_of_eight": BOFTConfig(boft_block_size=8, boft_n_butterfly_factor=1, target_modules=PART),
    "lora_bias": LoraConfig(r=2, lora_alpha=6, lora_bias=True, target_modules=PART),
    "pissa": LoraConfig(r=2, lora_alpha=3, init_lora_weights="pissa", target_modules=PART),
    "ln_tuning": LNTuningConfig(target_modules=["LayerNorm"], modules_to_save=["classifier"]),
    "prompt_tuning": PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=4),
    "p_tuning": PromptEncoderConfig(task_type="SEQ_CLS", num_virtual_tokens=3, encoder_hidden_size=6),
    "prefix_tuning": PrefixTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=3, prefix_projection=True, encoder_hidden_size=6),
    "prefix_tuning_gpt2": PrefixTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=3),
    "prefix_tuning_llama": PrefixTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=3),
}


def bert():
    """The model of the file: matrices of MatMul are under the names of their nodes, all else under its own."""
    graph = onnx.load(HERE.parent / "architectures/bert.script.onnx").graph
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Identity" and node.input[0] in held:
            held[node.output[0]] = held[node.input[0]]
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in held:
            path = [part for part in node.name.split("/")[1:-1]]
            path = [part for at, part in enumerate(path) if at + 1 == len(path) or not path[at + 1].startswith(part + ".")]
            held[".".join(path) + ".weight"] = held[node.input[1]].T
    model = t.BertForSequenceClassification(t.BertConfig(
        vocab_size=100, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=40, num_labels=3))
    own = {name: torch.tensor(held["model." + name].copy()) for name, _ in model.named_parameters()}
    model.load_state_dict(own, strict=False)
    return model.eval()


def gpt2():
    graph = onnx.load(HERE.parent / "architectures/gpt2.script.onnx").graph
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    model = t.GPT2Model(t.GPT2Config(vocab_size=100, n_embd=32, n_layer=2, n_head=4, n_positions=40))
    model.load_state_dict({name: torch.tensor(held["model." + name].copy()) for name, _ in model.named_parameters()}, strict=False)
    return model.eval()


class Classes(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


def llama():
    torch.manual_seed(0)
    model = t.LlamaForSequenceClassification(t.LlamaConfig(
        vocab_size=100, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=16,
        max_position_embeddings=40, num_labels=3, pad_token_id=0, attn_implementation="eager")).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            spread = parameter + 0.2 * torch.randn(parameter.shape)
            parameter.copy_((spread * 64).round() / 64)
    path, axes = HERE / "llama.onnx", {name: [0, 1] for name in ("input_ids", "attention_mask")}
    if not path.exists():
        torch.onnx.export(Classes(model), (IDS, MASK), str(path), input_names=list(axes), output_names=["y"], dynamic_axes=axes,
                          opset_version=17, dynamo=False)
        file = onnx.load(path)
        for node in file.graph.node:
            node.doc_string = ""
        onnx.save(file, path)
    return model


def of(name):
    return {"gpt2": gpt2, "llama": llama}.get(name.rsplit("_", 1)[-1], bert)()


def scores(model):
    with torch.no_grad():
        made = model(input_ids=IDS, attention_mask=MASK)
        made = made.logits if hasattr(made, "logits") else made.last_hidden_state[:, :, :4]
        return [round(value, 6) for value in made.flatten().tolist()]


def main(*names):
    """Those of these names, or all."""
    found = json.loads((HERE / "scores.json").read_text()) if names else {name: scores(of(name)) for name in ("", "_gpt2", "_llama")}
    for name, config in CONFIGS.items():
        if names and name not in names:
            continue
        torch.manual_seed(0)
        model = get_peft_model(of(name), config).eval()
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data += torch.randn_like(parameter) * 0.1
        found[name] = scores(model)
        model.save_pretrained(HERE / name)
        (HERE / name / "README.md").unlink()
    (HERE / "scores.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
