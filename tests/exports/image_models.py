"""Classifiers of images, of torchvision and timm, in small versions of their own."""

import functools

from architectures import CLASSES, Architecture


def torchvision_models():
    import torchvision.models as t
    from torch import nn
    from torchvision.models import convnext, efficientnet, mobilenetv3, resnet, swin_transformer, vision_transformer

    def narrow(model, first, width=32):
        """Classifiers of 4096 numbers, which only make the file large, are narrowed; small pictures have one place at the end."""
        model.avgpool = nn.AdaptiveAvgPool2d(1)
        kept = [layer for layer in model.classifier if not isinstance(layer, nn.Linear)]
        layers = iter([nn.Linear(first, width), nn.Linear(width, width), nn.Linear(width, CLASSES)])
        model.classifier = nn.Sequential(*(next(layers) if isinstance(layer, nn.Linear) else layer for layer in model.classifier))
        assert len(model.classifier) == len(kept) + 3
        return model

    def row(name, family, size, make, *arguments, **options):
        return Architecture(f"torchvision.{name}", family, "image", size, functools.partial(make, *arguments, **options))

    few, n = dict(weights=None, num_classes=CLASSES), dict(num_classes=CLASSES)
    inverted = efficientnet.MBConvConfig
    blocks = [inverted(1, 3, 1, 16, 8, 1), inverted(6, 3, 2, 8, 16, 2), inverted(6, 5, 2, 16, 24, 1)]
    fused = [efficientnet.FusedMBConvConfig(1, 3, 1, 8, 8, 1), efficientnet.FusedMBConvConfig(4, 3, 2, 8, 16, 2), inverted(6, 5, 2, 16, 24, 1)]
    stages = [convnext.CNBlockConfig(16, 32, 1), convnext.CNBlockConfig(32, 48, 1), convnext.CNBlockConfig(48, None, 1)]
    swin = dict(patch_size=[4, 4], embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=[4, 4], **n)
    v2 = dict(block=swin_transformer.SwinTransformerBlockV2, downsample_layer=swin_transformer.PatchMergingV2)
    return [
        row("alexnet", "alexnet", 64, lambda: narrow(t.alexnet(**few), 256)),
        row("vgg11", "vgg", 32, lambda: narrow(t.vgg11(**few), 512)),
        row("vgg11_bn", "vgg", 32, lambda: narrow(t.vgg11_bn(**few), 512)),
        row("resnet", "resnet", 64, resnet.ResNet, resnet.BasicBlock, [1, 1, 1, 1], **n),
        row("resnet_bottleneck", "resnet", 64, resnet.ResNet, resnet.Bottleneck, [1, 1, 1, 1], **n),
        row("resnext", "resnext", 64, resnet.ResNet, resnet.Bottleneck, [1, 1, 1, 1], groups=32, width_per_group=4, **n),
        row("resnet_dilated", "resnet", 64, resnet.ResNet, resnet.Bottleneck, [1, 1, 1, 1],
            replace_stride_with_dilation=[False, True, True], **n),
        row("regnet_x", "regnet", 64, t.regnet_x_400mf, **few),
        row("regnet_y", "regnet", 64, t.regnet_y_400mf, **few),
        row("squeezenet1_0", "squeezenet", 64, t.squeezenet1_0, **few),
        row("squeezenet1_1", "squeezenet", 64, t.squeezenet1_1, **few),
        row("densenet", "densenet", 64, t.DenseNet, 12, (2, 3, 2, 2), 16, **n),
        row("inception_v3", "inception", 96, t.inception_v3, aux_logits=False, init_weights=False, **few),
        row("googlenet", "googlenet", 64, t.googlenet, aux_logits=False, init_weights=False, **few),
        row("mobilenet_v2", "mobilenet", 64, t.mobilenet_v2, width_mult=0.35, **few),
        row("mobilenet_v3_small", "mobilenet", 64, t.mobilenet_v3_small, width_mult=0.5, **few),
        row("mobilenet_v3_large", "mobilenet", 64, t.mobilenet_v3_large, width_mult=0.5, **few),
        row("efficientnet", "efficientnet", 64, efficientnet.EfficientNet, blocks, 0.1, **n),
        row("efficientnet_v2", "efficientnet", 64, efficientnet.EfficientNet, fused, 0.1, last_channel=64, **n),
        row("mnasnet", "mnasnet", 64, t.mnasnet0_5, **few),
        row("shufflenet_v2", "shufflenet", 64, t.shufflenet_v2_x0_5, **few),
        row("convnext", "convnext", 64, convnext.ConvNeXt, stages, **n),
        row("vit", "vit", 32, vision_transformer.VisionTransformer, 32, 8, 2, 4, 32, 64, **n),
        row("swin", "swin", 32, swin_transformer.SwinTransformer, **swin),
        row("swin_v2", "swin", 32, swin_transformer.SwinTransformer, **swin, **v2),
        row("maxvit", "maxvit", 64, t.MaxVit, (64, 64), 16, 2, [16, 32], [1, 1], 8, 0.0, **n),
    ]


# Name in timm, family, side of the image, options.
SMALL_VIT = dict(embed_dim=64, depth=2, num_heads=4)
TIMM = [
    ("resnet10t", "resnet", 64, {}),
    ("resnetblur50", "resnet", 64, dict(layers=(1, 1, 1, 1))),
    ("seresnet18", "resnet", 64, dict(layers=(1, 1, 1, 1))),
    ("skresnet18", "resnet", 64, dict(layers=(1, 1, 1, 1))),
    ("resnest14d", "resnet", 64, {}),
    ("res2net50_26w_4s", "resnet", 64, dict(layers=(1, 1, 1, 1))),
    ("ecaresnet26t", "resnet", 64, dict(layers=(1, 1, 1, 1))),
    ("resnetv2_50", "resnet", 64, dict(layers=(1, 1, 1, 1))),
    ("resnetv2_50x1_bit", "resnet", 64, {}),
    ("resnext50_32x4d", "resnext", 64, dict(layers=(1, 1, 1, 1))),
    ("regnetx_002", "regnet", 64, {}),
    ("regnety_002", "regnet", 64, {}),
    ("densenet121", "densenet", 64, dict(growth_rate=8, block_config=(2, 2, 2, 2))),
    ("dla34", "dla", 64, dict(channels=(8, 16, 16, 32, 32, 64), levels=(1, 1, 1, 1, 1, 1))),
    ("dpn48b", "dpn", 64, dict(k_sec=(1, 1, 1, 1))),
    ("ese_vovnet19b_slim_dw", "vovnet", 64, {}),
    ("cspresnet50", "csp", 64, {}),
    ("hrnet_w18_small", "hrnet", 64, {}),
    ("mobilenetv1_100", "mobilenet", 64, {}),
    ("mobilenetv2_035", "mobilenet", 64, {}),
    ("mobilenetv3_small_050", "mobilenet", 64, {}),
    ("mobilenetv4_conv_small_050", "mobilenet", 64, {}),
    ("mobileone_s0", "mobilenet", 64, {}),
    ("efficientnet_lite0", "efficientnet", 64, {}),
    ("tf_efficientnet_b0", "efficientnet", 64, {}),
    ("tinynet_e", "efficientnet", 64, {}),
    ("mixnet_s", "efficientnet", 64, {}),
    ("mnasnet_small", "mnasnet", 64, {}),
    ("fbnetc_100", "mnasnet", 64, {}),
    ("lcnet_035", "lcnet", 64, {}),
    ("hardcorenas_a", "mnasnet", 64, {}),
    ("ghostnet_050", "ghostnet", 64, {}),
    ("ghostnetv2_100", "ghostnet", 64, {}),
    ("repghostnet_050", "ghostnet", 64, {}),
    ("rexnet_100", "rexnet", 64, {}),
    ("selecsls42b", "selecsls", 64, {}),
    ("repvgg_a0", "repvgg", 64, {}),
    ("nf_regnet_b0", "nfnet", 64, {}),
    ("nf_resnet26", "nfnet", 64, {}),
    ("hgnetv2_b0", "hgnet", 64, {}),
    ("starnet_s1", "starnet", 64, {}),
    ("convnext_atto", "convnext", 64, dict(depths=(1, 1, 1, 1), dims=(16, 32, 48, 64))),
    ("convnextv2_atto", "convnext", 64, dict(depths=(1, 1, 1, 1), dims=(16, 32, 48, 64))),
    ("inception_next_atto", "convnext", 64, dict(depths=(1, 1, 1, 1))),
    ("edgenext_xx_small", "convnext", 64, {}),
    ("vit_tiny_patch16_224", "vit", 64, SMALL_VIT),
    ("vit_relpos_small_patch16_224", "vit", 64, SMALL_VIT),
    ("vit_small_patch16_dinov3", "vit", 64, SMALL_VIT),
    ("deit_tiny_distilled_patch16_224", "deit", 64, SMALL_VIT),
    ("deit3_small_patch16_224", "deit", 64, SMALL_VIT),
    ("beit_base_patch16_224", "beit", 64, SMALL_VIT),
    ("beitv2_base_patch16_224", "beit", 64, SMALL_VIT),
    ("eva02_tiny_patch14_224", "eva", 56, SMALL_VIT),
    ("flexivit_small", "vit", 64, SMALL_VIT),
    ("swin_tiny_patch4_window7_224", "swin", 64, dict(window_size=4, embed_dim=16, depths=(2, 2), num_heads=(2, 4))),
    ("swinv2_tiny_window8_256", "swin", 64, dict(window_size=4, embed_dim=16, depths=(2, 2), num_heads=(2, 4))),
    ("swinv2_cr_tiny_224", "swin", 64, dict(window_size=4, embed_dim=16, depths=(2, 2), num_heads=(2, 4))),
    ("maxvit_nano_rw_256", "maxvit", 64, dict(embed_dim=(32, 32, 64, 64), depths=(1, 1, 1, 1), stem_width=16)),
    ("coatnet_nano_rw_224", "maxvit", 64, dict(embed_dim=(32, 32, 64, 64), depths=(1, 1, 1, 1), stem_width=16)),
    ("cait_xxs24_224", "cait", 64, SMALL_VIT),
    ("xcit_nano_12_p16_224", "xcit", 64, dict(depth=2, embed_dim=64)),
    ("pvt_v2_b0", "pvt", 64, {}),
    ("twins_pcpvt_small", "twins", 64, dict(depths=(1, 1, 1, 1))),
    ("twins_svt_small", "twins", 64, dict(depths=(1, 1, 1, 2))),
    ("levit_128s", "levit", 64, {}),
    ("levit_conv_128s", "levit", 64, {}),
    ("efficientformer_l1", "efficientformer", 224, dict(depths=(1, 1, 1, 2), embed_dims=(16, 32, 48, 64))),
    ("efficientformerv2_s0", "efficientformer", 64, dict(depths=(1, 1, 2, 2), embed_dims=(16, 32, 48, 64))),
    ("mobilevit_xxs", "mobilevit", 64, {}),
    ("mobilevitv2_050", "mobilevit", 64, {}),
    ("crossvit_tiny_240", "crossvit", 240, dict(embed_dim=(32, 48), num_heads=(2, 2), depth=((1, 2, 0),))),
    ("coat_lite_tiny", "coat", 64, dict(serial_depths=(1, 1, 1, 1))),
    ("convit_tiny", "convit", 64, dict(embed_dim=64, depth=3, local_up_to_layer=2)),
    ("tnt_s_legacy_patch16_224", "tnt", 64, dict(depth=2, embed_dim=64, num_heads_outer=4)),
    ("pit_ti_224", "pit", 64, dict(depth=(1, 1, 1))),
    ("visformer_tiny", "visformer", 64, dict(depth=(1, 1, 1))),
    ("davit_tiny", "davit", 64, dict(depths=(1, 1, 1, 1), embed_dims=(16, 32, 48, 64), num_heads=(2, 2, 2, 2), window_size=2)),
    ("fastvit_t8", "fastvit", 64, dict(layers=(1, 1, 1, 1))),
    ("efficientvit_b0", "efficientvit", 64, {}),
    ("efficientvit_m0", "efficientvit", 64, {}),
    ("repvit_m0_9", "repvit", 64, {}),
    ("hiera_tiny_224", "hiera", 64, dict(stages=(1, 1, 2, 1), embed_dim=32, q_pool=2)),
    ("tiny_vit_5m_224", "tinyvit", 64, dict(embed_dims=(16, 32, 48, 64), depths=(1, 1, 1, 1), num_heads=(2, 2, 2, 2), window_sizes=(4, 4, 4, 2))),
    ("nextvit_small", "nextvit", 64, dict(depths=(1, 1, 5, 1))),
    ("sequencer2d_s", "sequencer", 64, dict(layers=(1, 1, 1, 1), embed_dims=(16, 32, 32, 32), hidden_sizes=(8, 16, 16, 16))),
    ("botnet26t_256", "byoanet", 64, {}),
    ("lambda_resnet26t", "byoanet", 64, {}),
    ("eca_nfnet_l0", "nfnet", 64, {}),
    ("gernet_s", "gernet", 64, {}),
    ("cs3darknet_s", "csp", 64, {}),
    ("xception41", "xception", 64, {}),
    ("vitamin_small_224", "vit", 64, {}),
    ("shvit_s1", "shvit", 64, {}),
    ("swiftformer_xs", "swiftformer", 64, {}),
    ("mambaout_femto", "mambaout", 64, dict(depths=(1, 1, 1, 1))),
]


def timm_models():
    import timm

    def make(name, side, options):
        sized = dict(img_size=side)
        try:
            return timm.create_model(name, num_classes=CLASSES, **sized, **options)
        except TypeError as error:
            if "img_size" not in str(error):
                raise
            return timm.create_model(name, num_classes=CLASSES, **options)

    rows = [Architecture(f"timm.{name}", family, "image", side, functools.partial(make, name, side, options))
            for name, family, side, options in TIMM]
    return [*rows, *own_sizes()]


def own_sizes():
    """Architectures whose names in timm stand for one size."""
    from timm.models import convmixer, focalnet, gcvit, metaformer, mlp_mixer, mvitv2, nest, volo
    from torch import nn

    def row(name, family, make, side=64, **options):
        return Architecture(f"timm.{name}", family, "image", side, functools.partial(make, num_classes=CLASSES, **options))

    def former(name, family, **options):
        return row(name, family, metaformer.MetaFormer, depths=(1, 1, 1, 1), dims=(16, 32, 64, 64), **options)

    def mixer(name, family, **options):
        return row(name, family, mlp_mixer.MlpMixer, img_size=64, patch_size=16, num_blocks=2, embed_dim=64, **options)
    separable, without_bias = metaformer.SepConv, metaformer.LayerNorm2dNoBias
    small = mvitv2.MultiScaleVitCfg(depths=(1, 1, 1, 1), embed_dim=16)
    return [
        row("convmixer", "convmixer", convmixer.ConvMixer, 32, dim=32, depth=2, kernel_size=5, patch_size=4),
        mixer("mixer", "mixer"),
        mixer("resmlp", "resmlp", mlp_ratio=4, block_layer=mlp_mixer.ResBlock, norm_layer=mlp_mixer.Affine),
        mixer("gmlp", "gmlp", mlp_ratio=6, block_layer=mlp_mixer.SpatialGatingBlock, mlp_layer=mlp_mixer.GatedMlp),
        former("poolformer", "poolformer", downsample_norm=None, mlp_act=nn.GELU, mlp_bias=True, norm_layers=metaformer.GroupNorm1,
               layer_scale_init_values=1e-5, res_scale_init_values=None, use_mlp_head=False),
        former("poolformerv2", "poolformer", norm_layers=metaformer.GroupNorm1NoBias, use_mlp_head=False),
        former("convformer", "metaformer", token_mixers=separable, norm_layers=without_bias),
        former("caformer", "metaformer", token_mixers=[separable] * 2 + [metaformer.Attention] * 2,
               norm_layers=[without_bias] * 2 + [metaformer.LayerNormNoBias] * 2),
        row("focalnet", "focalnet", focalnet.FocalNet, depths=(1, 1, 1, 1), embed_dim=16),
        row("gcvit", "gcvit", gcvit.GlobalContextVit, img_size=64, depths=(1, 1, 1, 1), embed_dim=16, num_heads=(2, 2, 4, 4)),
        row("mvitv2", "mvit", lambda **options: mvitv2.MultiScaleVit(small, **options), img_size=64),
        row("nest", "nest", nest.Nest, img_size=64, embed_dims=(32, 64, 64), num_heads=(2, 2, 2), depths=(1, 1, 1)),
        row("volo", "volo", volo.VOLO, layers=(1, 1, 1, 1), img_size=64, embed_dims=(32, 64, 64, 64), num_heads=(2, 4, 4, 4)),
    ]
