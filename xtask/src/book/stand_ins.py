"""In place of what code on a page takes from the network: small models with random weights, and a tokenizer of letters."""

import sys
from pathlib import Path

NAME = "a name on the hub"


def encoder():
    import transformers

    sizes = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
    return transformers.BertModel(transformers.BertConfig(vocab_size=64, max_position_embeddings=128, **sizes))


def segmenter():
    import transformers

    sizes = dict(depths=[1] * 4, hidden_sizes=[8, 8, 16, 16], decoder_hidden_size=16, num_labels=3)
    return transformers.SegformerForSemanticSegmentation(transformers.SegformerConfig(**sizes))


def tokenizer():
    import tokenizers
    import transformers

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    letters = [chr(ord("a") + place) for place in range(26)]
    words = special + letters + ["##" + letter for letter in letters]
    inner = tokenizers.Tokenizer(
        tokenizers.models.WordPiece({word: place for place, word in enumerate(words)}, unk_token="[UNK]")
    )
    inner.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    inner.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = dict(pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]")
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **names)


if "transformers" in Path(sys.argv[0]).read_text():
    import transformers

    transformers.AutoModel.from_pretrained = staticmethod(lambda name: encoder())
    transformers.AutoTokenizer.from_pretrained = staticmethod(lambda name: tokenizer())
    transformers.SegformerForSemanticSegmentation.from_pretrained = staticmethod(lambda name: segmenter())
