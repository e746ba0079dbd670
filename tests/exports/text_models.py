"""Encoders and decoders of text, of transformers, with tiny configurations and a head on the mean of their tokens."""

import functools

import torch

from architectures import CLASSES, Architecture

WORDS, LONGEST = 100, 12
SIZE = dict(vocab_size=WORDS, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_position_embeddings=40)
SPECIAL = dict(pad_token_id=0, bos_token_id=1, eos_token_id=2)


class Pooled(torch.nn.Module):
    """The mean of the tokens, padding left out, and a linear layer."""

    def __init__(self, model, width, masked):
        super().__init__()
        self.model, self.classifier, self.masked = model, torch.nn.Linear(width, CLASSES), masked

    def forward(self, input_ids, attention_mask=None):
        given = dict(attention_mask=attention_mask) if self.masked else {}
        tokens = self.model(input_ids=input_ids, **given).last_hidden_state
        if not self.masked:
            return self.classifier(tokens.mean(1))
        counts = attention_mask.to(tokens.dtype).unsqueeze(-1)
        return self.classifier((tokens * counts).sum(1) / counts.sum(1))


class Scores(torch.nn.Module):
    """A model of the library with a head of its own."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


def make(name, config, options, attention, width, masked=True):
    import transformers as t
    config = getattr(t, config)(**options)
    config._attn_implementation = attention
    if hasattr(config, "use_cache"):
        config.use_cache = False
    if hasattr(config, "num_local_experts"):
        # the other ways count how often an expert is chosen, which no exporter writes
        config._experts_implementation = "batched_mm"
    if width is None:
        config.num_labels = CLASSES
        return Scores(getattr(t, name)(config))
    return Pooled(class_of(t, name)(config), width, masked)


def class_of(library, name):
    if name == "BartEncoder":
        from transformers.models.bart.modeling_bart import BartEncoder
        return BartEncoder
    return getattr(library, name)


def models():
    def row(name, model, config, options, width=32, attention="sdpa", masked=True):
        maker = functools.partial(make, model, config, options, attention, width, masked)
        return Architecture(f"transformers.{name}", name.split("-")[0], "tokens", LONGEST, maker, masked)

    deberta = dict(**SIZE, relative_attention=True, position_buckets=8, norm_rel_ebd="layer_norm", share_att_key=True,
                   pos_att_type=["p2c", "c2p"], position_biased_input=False, type_vocab_size=0)
    modern = dict(**SIZE, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2, local_attention=8,
                  global_attn_every_n_layers=2)
    roberta = dict(**{**SIZE, "max_position_embeddings": 50})
    distil = dict(vocab_size=WORDS, dim=32, n_layers=2, n_heads=4, hidden_dim=64, max_position_embeddings=40)
    t5 = dict(vocab_size=WORDS, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    gpt2 = dict(vocab_size=WORDS, n_embd=32, n_layer=2, n_head=4, n_positions=40)
    grouped = dict(**SIZE, num_key_value_heads=2, **SPECIAL)
    gemma = dict(**grouped, head_dim=8)
    return [
        row("bert", "BertForSequenceClassification", "BertConfig", SIZE, None),
        row("bert-eager", "BertModel", "BertConfig", SIZE, attention="eager"),
        row("distilbert", "DistilBertForSequenceClassification", "DistilBertConfig", distil, None),
        row("roberta", "RobertaForSequenceClassification", "RobertaConfig", roberta, None),
        row("camembert", "CamembertModel", "CamembertConfig", roberta),
        row("albert", "AlbertForSequenceClassification", "AlbertConfig", dict(**SIZE, embedding_size=16), None),
        row("electra", "ElectraForSequenceClassification", "ElectraConfig", dict(**SIZE, embedding_size=16), None),
        row("mpnet", "MPNetModel", "MPNetConfig", roberta, attention="eager"),
        row("deberta_v2", "DebertaV2ForSequenceClassification", "DebertaV2Config", deberta, None, "eager"),
        row("modernbert", "ModernBertModel", "ModernBertConfig", modern),
        row("modernbert-eager", "ModernBertModel", "ModernBertConfig", modern, attention="eager"),
        row("nomic", "NomicBertModel", "NomicBertConfig", SIZE),
        row("squeezebert", "SqueezeBertModel", "SqueezeBertConfig", dict(**SIZE, embedding_size=32), attention="eager"),
        row("mobilebert", "MobileBertModel", "MobileBertConfig", dict(**SIZE, embedding_size=16, intra_bottleneck_size=32, true_hidden_size=32)),
        row("convbert", "ConvBertModel", "ConvBertConfig", dict(**SIZE, embedding_size=32), attention="eager"),
        row("fnet", "FNetModel", "FNetConfig", SIZE, masked=False, attention="eager"),
        row("t5_encoder", "T5EncoderModel", "T5Config", t5, attention="eager"),
        row("mt5_encoder", "MT5EncoderModel", "MT5Config", {**t5, "feed_forward_proj": "gated-gelu"}, attention="eager"),
        row("gpt2", "GPT2Model", "GPT2Config", gpt2),
        row("gpt2-unmasked", "GPT2Model", "GPT2Config", gpt2, attention="eager", masked=False),
        row("gpt_neo", "GPTNeoModel", "GPTNeoConfig", dict(
            vocab_size=WORDS, hidden_size=32, num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]], window_size=4,
            max_position_embeddings=40), attention="eager"),
        row("gpt_neox", "GPTNeoXModel", "GPTNeoXConfig", SIZE),
        row("opt", "OPTModel", "OPTConfig", dict(
            vocab_size=WORDS, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=64, max_position_embeddings=40, word_embed_proj_dim=32)),
        row("bloom", "BloomModel", "BloomConfig", dict(vocab_size=WORDS, hidden_size=32, n_layer=2, n_head=4), attention="eager"),
        row("llama", "LlamaModel", "LlamaConfig", grouped),
        row("llama-eager", "LlamaModel", "LlamaConfig", grouped, attention="eager"),
        row("mistral", "MistralModel", "MistralConfig", dict(**grouped, sliding_window=8)),
        row("qwen2", "Qwen2Model", "Qwen2Config", grouped),
        row("qwen3", "Qwen3Model", "Qwen3Config", gemma),
        row("gemma", "GemmaModel", "GemmaConfig", gemma),
        row("gemma2", "Gemma2Model", "Gemma2Config", gemma, attention="eager"),
        row("gemma3", "Gemma3TextModel", "Gemma3TextConfig", gemma),
        row("phi", "PhiModel", "PhiConfig", {**SIZE, **SPECIAL}),
        row("phi3", "Phi3Model", "Phi3Config", grouped),
        row("mixtral", "MixtralModel", "MixtralConfig", dict(**grouped, num_local_experts=2, num_experts_per_tok=1)),
        row("bart_encoder", "BartEncoder", "BartConfig", dict(
            vocab_size=WORDS, d_model=32, encoder_layers=2, decoder_layers=1, encoder_attention_heads=4, encoder_ffn_dim=64, max_position_embeddings=40)),
        row("xlnet", "XLNetModel", "XLNetConfig", dict(vocab_size=WORDS, d_model=32, n_layer=2, n_head=4, d_inner=64), attention="eager"),
        row("clip_text", "CLIPTextModel", "CLIPTextConfig", {**SIZE, **SPECIAL}),
    ]
