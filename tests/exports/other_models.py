"""Segmentation, sound, recurrence and tables."""

import functools

import torch
import torch.nn.functional as f
from torch import nn

from architectures import CLASSES, PIXEL_CLASSES, Architecture


class Output(nn.Module):
    """One of a model's outputs, as large as the picture."""

    def __init__(self, model, name):
        super().__init__()
        self.model, self.name = model, name

    def forward(self, image):
        result = self.model(image)
        scores = result[self.name] if isinstance(result, dict) else getattr(result, self.name)
        if scores.shape[-1] != image.shape[-1]:
            scores = f.interpolate(scores, size=image.shape[-2:], mode="bilinear", align_corners=False)
        return scores


class UNet(nn.Module):
    def __init__(self, transposed):
        super().__init__()

        def double(before, after):
            layers = [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(),
                      nn.Conv2d(after, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
            return nn.Sequential(*layers)
        self.down, self.deeper, self.middle = double(3, 8), double(8, 16), double(16, 32)
        widen = nn.ConvTranspose2d if transposed else None
        self.rise = nn.ModuleList([widen(32, 16, 2, 2), widen(16, 8, 2, 2)] if transposed else [
            nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(a, b, 1)) for a, b in ((32, 16), (16, 8))])
        self.up, self.upper = double(32, 16), double(16, 8)
        self.scores = nn.Conv2d(8, PIXEL_CLASSES, 1)

    def forward(self, image):
        first = self.down(image)
        second = self.deeper(f.max_pool2d(first, 2))
        third = self.middle(f.max_pool2d(second, 2))
        fourth = self.up(torch.cat([self.rise[0](third), second], 1))
        return self.scores(self.upper(torch.cat([self.rise[1](fourth), first], 1)))


class HrNet(nn.Module):
    """timm's HRNet, all its maps brought to one size."""

    def __init__(self):
        super().__init__()
        import timm
        self.model = timm.create_model("hrnet_w18_small", features_only=True, pretrained=False)
        self.scores = nn.Conv2d(sum(self.model.feature_info.channels()), PIXEL_CLASSES, 1)

    def forward(self, image):
        maps = [f.interpolate(part, size=image.shape[-2:], mode="bilinear", align_corners=False) for part in self.model(image)]
        return self.scores(torch.cat(maps, 1))


def pixel_models():
    import torchvision.models.segmentation as s
    import transformers as t
    from torchvision.models import resnet
    from torchvision.models._utils import IntermediateLayerGetter

    plain = dict(weights=None, weights_backbone=None, num_classes=PIXEL_CLASSES)

    def on_resnet(model, head):
        backbone = resnet.ResNet(resnet.Bottleneck, [1, 1, 1, 1], replace_stride_with_dilation=[False, True, True])
        return Output(model(IntermediateLayerGetter(backbone, {"layer4": "out"}), head), "out")

    def row(name, family, make, size=64):
        return Architecture(f"segmentation.{name}", family, "pixels", size, make)

    small = dict(depths=[1, 1, 1, 1], hidden_sizes=[16, 32, 48, 64], decoder_hidden_size=32, num_attention_heads=[1, 2, 2, 4])
    segformer = t.SegformerConfig(num_labels=PIXEL_CLASSES, **small)
    from torchvision.models.segmentation import deeplabv3, fcn
    return [
        row("fcn", "fcn", lambda: on_resnet(fcn.FCN, fcn.FCNHead(2048, PIXEL_CLASSES))),
        row("deeplabv3", "deeplabv3", lambda: on_resnet(
            deeplabv3.DeepLabV3, deeplabv3.DeepLabHead(2048, PIXEL_CLASSES, (2, 4)))),
        row("deeplabv3_mobilenet", "deeplabv3", lambda: Output(s.deeplabv3_mobilenet_v3_large(**plain), "out")),
        row("lraspp", "lraspp", lambda: Output(s.lraspp_mobilenet_v3_large(**plain), "out")),
        row("unet_transposed", "unet", functools.partial(UNet, True), 32),
        row("unet_bilinear", "unet", functools.partial(UNet, False), 32),
        row("hrnet", "hrnet", HrNet),
        row("segformer", "segformer", lambda: Output(t.SegformerForSemanticSegmentation(segformer), "logits")),
    ]


class Reshaped(nn.Module):
    """Numbers of a row as what a model takes; the mean of what it gives, and a linear layer."""

    def __init__(self, shape, model, width, output=None):
        super().__init__()
        self.shape, self.model, self.output = shape, model, output
        self.classifier = nn.Linear(width, CLASSES)

    def forward(self, numbers):
        result = self.model(numbers.reshape(numbers.shape[0], *self.shape) if self.shape else numbers)
        result = result[0] if isinstance(result, tuple) else result if self.output is None else getattr(result, self.output)
        return self.classifier(result.mean(1) if result.dim() == 3 else result)


def sound_models():
    import transformers as t
    wide = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, conv_dim=(16, 16, 16), conv_kernel=(10, 3, 2),
                conv_stride=(5, 2, 2), num_feat_extract_layers=3, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, num_codevectors_per_group=8)
    whisper = t.WhisperConfig(d_model=32, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=64, num_mel_bins=16, max_source_positions=20,
                              decoder_layers=1, decoder_attention_heads=4, decoder_ffn_dim=64, vocab_size=100, pad_token_id=0, bos_token_id=1,
                              eos_token_id=2, decoder_start_token_id=1)
    ast = t.ASTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_length=40, num_mel_bins=16, patch_size=8,
                      frequency_stride=8, time_stride=8)

    def row(name, family, size, make):
        return Architecture(f"sound.{name}", family, "numbers", size, make)

    def encoder(model, config):
        return getattr(__import__("transformers.models.whisper.modeling_whisper", fromlist=[model]), model)(config)
    return [
        row("wav2vec2", "wav2vec2", 800, lambda: Reshaped(None, t.Wav2Vec2Model(t.Wav2Vec2Config(**wide)), 32, "last_hidden_state")),
        row("wav2vec2_stable", "wav2vec2", 800, lambda: Reshaped(None, t.Wav2Vec2Model(t.Wav2Vec2Config(
            **wide, feat_extract_norm="layer", do_stable_layer_norm=True)), 32, "last_hidden_state")),
        row("hubert", "hubert", 800, lambda: Reshaped(None, t.HubertModel(t.HubertConfig(**{
            key: value for key, value in wide.items() if key != "num_codevectors_per_group"})), 32, "last_hidden_state")),
        row("whisper_encoder", "whisper", 16 * 40, lambda: Reshaped((16, 40), encoder("WhisperEncoder", whisper), 32, "last_hidden_state")),
        row("audio_spectrogram", "ast", 40 * 16, lambda: Reshaped((40, 16), t.ASTModel(ast), 32, "last_hidden_state")),
    ]


class TabularTransformer(nn.Module):
    """A token for each number, as the FT-transformer has it."""

    def __init__(self, count, width=16):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(count, width)), nn.Parameter(torch.randn(count, width))
        self.first = nn.Parameter(torch.randn(1, 1, width))
        layer = nn.TransformerEncoderLayer(width, 4, 32, 0.0, "gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, CLASSES))

    def forward(self, numbers):
        tokens = numbers.unsqueeze(-1) * self.weight + self.bias
        tokens = torch.cat([self.first.expand(numbers.shape[0], -1, -1), tokens], 1)
        return self.head(self.encoder(tokens)[:, 0])


class Convolved(nn.Module):
    """Convolutions along a series, with dilation."""

    def __init__(self):
        super().__init__()
        layers = [nn.Conv1d(4, 8, 3, padding=1), nn.BatchNorm1d(8), nn.ELU(), nn.Conv1d(8, 8, 3, padding=2, dilation=2), nn.GELU(),
                  nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, CLASSES)]
        self.layers = nn.Sequential(*layers)

    def forward(self, numbers):
        return self.layers(numbers.reshape(numbers.shape[0], 4, 12))


def table_models():
    def row(name, family, size, make):
        return Architecture(f"tables.{name}", family, "numbers", size, make)

    def dense(*activations):
        layers = [nn.Linear(8, 32)]
        for activation in activations:
            layers += [activation, nn.Linear(32, 32)]
        return nn.Sequential(*layers, nn.Linear(32, CLASSES))
    norms = nn.BatchNorm1d(32), nn.LayerNorm(32), nn.GroupNorm(4, 32)
    rare = nn.SELU(), nn.CELU(), nn.Hardswish(), nn.Hardsigmoid(), nn.Softsign(), nn.Mish(), nn.PReLU(), nn.LeakyReLU(), nn.Hardtanh(), nn.Softplus()
    return [
        row("mlp", "mlp", 8, lambda: dense(nn.ReLU(), nn.GELU(), nn.SiLU(), nn.Tanh())),
        row("mlp_norms", "mlp", 8, lambda: dense(*norms)),
        row("mlp_activations", "mlp", 8, lambda: dense(*rare)),
        row("ft_transformer", "ft_transformer", 8, functools.partial(TabularTransformer, 8)),
        row("lstm", "recurrent", 48, lambda: Reshaped((12, 4), nn.LSTM(4, 16, batch_first=True), 16)),
        row("lstm_two_ways", "recurrent", 48, lambda: Reshaped((12, 4), nn.LSTM(4, 16, 2, batch_first=True, bidirectional=True), 32)),
        row("gru", "recurrent", 48, lambda: Reshaped((12, 4), nn.GRU(4, 16, batch_first=True, bidirectional=True), 32)),
        row("rnn", "recurrent", 48, lambda: Reshaped((12, 4), nn.RNN(4, 16, batch_first=True), 16)),
        row("convolved_series", "convolved", 48, Convolved),
    ]
