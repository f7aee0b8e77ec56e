"""The architectures of the sweep: a name -> a model with random weights, small.

cases: -> every architecture, by library;  made: its name and size -> its library's own object

Weights are random and none of them is left constant (a scale of 1 or 0 would make channels alike), so that one channel
can be told from another by its numbers; batch norms hold the statistics of random images, for without them what an
image is has vanished behind the biases some layers on, as in no trained network. Sizes are 64 px where an architecture
runs at that, else the smallest that it is usually given.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

SIZE = 64
TRANSFORMER_LAYERS = 2  # encoder layers that a configuration of transformers is given, where one number says how many

TIMM = """
    beit_base_patch16_224 halonet26t@256 lambda_resnet26t botnet26t_256 mobileone_s0 gernet_s cait_xxs24_224
    coat_lite_tiny coat_tiny convit_tiny convmixer_768_32 convnext_zepto_rms convnext_atto convnextv2_atto cpubone_nano
    crossvit_tiny_240@240 csatv2 cs3darknet_focus_s cspnext_tiny davit_tiny deit_tiny_patch16_224
    deit_tiny_distilled_patch16_224 densenet121 dla46x_c dpn48b edgenext_xx_small efficientformer_l1@224
    efficientformerv2_s0 efficientnet_b0 mobilenetv2_035 tf_efficientnetv2_b0 efficientvim_m1 efficientvit_b0
    efficientvit_m0 eva02_tiny_patch14_224@56 vit_tiny_patch16_dinov3_qkvb fasternet_t0 fastvit_t8
    focalnet_tiny_srf gcvit_xxtiny ghostnet_050 hardcorenas_b hgnetv2_b0 hiera_tiny_224 sam2_hiera_tiny
    hrnet_w18_small iformer_t inception_next_atto inception_resnet_v2@96 inception_v3@96 inception_v4@96 lcnetv2_small
    levit_128s levit_conv_128s lowformer_b0 mambaout_femto maxvit_pico_rw_256 coatnet_nano_rw_224 poolformerv2_s12
    caformer_s18 gmlp_ti16_224 mixer_s32_224 resmlp_12_224 mobilenetv3_small_050 mobilevit_xxs mobilevitv2_050
    mvitv2_tiny nest_tiny nextvit_small nf_regnet_b0 eca_nfnet_l0 pit_ti_224 pvt_v2_b0 rdnet_tiny regnetx_002
    repghostnet_050 repvit_m1 res2next50 resnest14d resnet10t seresnext26d_32x4d resnetv2_18 rexnet_100 selecsls42
    legacy_seresnet18 sequencer2d_s shvit_s1 skresnet18 starnet_s050 swiftformer_xs swin_tiny_patch4_window7_224
    swinv2_tiny_window8_256 swinv2_cr_tiny_224 tiny_vit_5m_224 tnt_s_patch16_224 tresnet_m twins_svt_small
    twins_pcpvt_small vgg11_bn visformer_tiny vit_tiny_patch16_224 vit_small_patch16_18x2_224 vit_tiny_r_s16_p8_224
    vit_srelpos_small_patch16_224 samvit_base_patch16_224 vitamin_small_224 volo_d1_224 ese_vovnet19b_slim_dw
    legacy_xception xception41p xcit_nano_12_p8_224 naflexvit_base_patch16_gap
"""
TORCHVISION = """
    alexnet convnext_tiny densenet121 efficientnet_b0 efficientnet_v2_s googlenet inception_v3@96 maxvit_t@224
    mnasnet0_5 mobilenet_v2 mobilenet_v3_small regnet_x_400mf regnet_y_400mf resnet18 resnet50 resnext50_32x4d
    shufflenet_v2_x0_5 squeezenet1_1 swin_t swin_v2_t vgg11 vgg11_bn vit_b_32 wide_resnet50_2
    deeplabv3_mobilenet_v3_large fcn_resnet50 lraspp_mobilenet_v3_large fcos_resnet50_fpn
    fasterrcnn_mobilenet_v3_large_320_fpn ssdlite320_mobilenet_v3_large retinanet_resnet50_fpn
    maskrcnn_resnet50_fpn raft_small r3d_18 mvit_v2_s swin3d_t
"""
TRANSFORMERS = """
    beit bit clip convnext convnextv2 cvt data2vec-vision deit dinov2 dinov2_with_registers efficientnet
    focalnet hgnet_v2 hiera@224 ijepa imagegpt levit mobilenet_v1 mobilenet_v2 mobilevit mobilevitv2 poolformer pp_lcnet
    pvt pvt_v2 regnet resnet segformer siglip siglip2 swiftformer swin@224 swinv2 textnet vit vit_msn donut-swin@224
    vit_mae dinov3_vit dinov3_convnext dpt vitdet yolos detr aimv2_vision_model
    segformer:semantic mobilevit:semantic
"""
OPEN_CLIP = "RN50 ViT-B-32 ViT-S-32 convnext_tiny MobileCLIP-S1 ViTamin-S EVA02-B-16 coca_ViT-B-32 ViT-B-16-SigLIP"
SEGMENTATION = """
    DeepLabV3 DeepLabV3Plus DPT@224 FPN Linknet MAnet PAN@128 PSPNet Segformer UPerNet Unet UnetPlusPlus
    Unet:mit_b0 Unet:efficientnet-b0 FPN:mobilenet_v2
"""
KERAS = """
    ConvNeXtTiny DenseNet121 EfficientNetB0 EfficientNetV2B0 InceptionResNetV2@96 InceptionV3@96 MobileNet MobileNetV2
    MobileNetV3Small MobileNetV3Large NASNetMobile ResNet50 ResNet50V2 VGG16 VGG19 Xception@96
"""
LIBRARIES = {
    "timm": TIMM,
    "torchvision": TORCHVISION,
    "transformers": TRANSFORMERS,
    "open_clip": OPEN_CLIP,
    "segmentation": SEGMENTATION,
    "keras": KERAS,
}


@dataclass(frozen=True)
class Case:
    """One architecture: its library, its name there, the side of its square images in pixels."""

    library: str
    name: str
    size: int = SIZE

    def __str__(self) -> str:
        return f"{self.library}:{self.name}"


def cases() -> Iterator[Case]:
    """Every architecture of the sweep, library by library."""
    for library, names in LIBRARIES.items():
        for word in names.split():
            name, _, size = word.partition("@")
            yield Case(library, name, int(size) if size else SIZE)


def made(case: Case) -> Any:
    """The model of a case, its library's own object. Raises whatever the library raises."""
    if case.library == "keras":
        return _keras(case.name, case.size)
    import torch

    torch.manual_seed(0)
    makers = {
        "timm": _timm,
        "torchvision": _torchvision,
        "transformers": _transformers,
        "open_clip": _open_clip,
        "segmentation": _segmentation,
    }
    module = makers[case.library](case.name, case.size)
    with torch.no_grad():
        for weight in module.parameters():
            if weight.numel() > 1 and bool((weight == weight.flatten()[0]).all()):
                weight.add_(0.1 * torch.randn_like(weight))
        _normalize(module, torch.rand(4, 3, case.size, case.size))
    return module


def _normalize(module: Any, images: Any) -> None:
    """Give a module's batch norms the statistics of these images, each behind those before it."""
    from torch.nn.modules.batchnorm import _BatchNorm

    flags = [(one, one.training) for one in module.modules()]
    norms = [(one, one.momentum) for one in module.modules() if isinstance(one, _BatchNorm)]
    module.eval()
    for norm, _ in norms:
        norm.training, norm.momentum = True, 1.0
    with contextlib.suppress(Exception):  # of a model that takes no images, or has a single number to a channel
        module(images)
    for norm, momentum in norms:
        norm.momentum = momentum
    for one, training in flags:
        one.training = training


def _timm(name: str, size: int) -> Any:
    import timm

    try:
        return timm.create_model(name, img_size=size)
    except TypeError:  # one that takes every size
        return timm.create_model(name)


def _torchvision(name: str, size: int) -> Any:
    import torchvision

    more: dict[str, Any] = {"weights": None}
    if name.startswith(("vit_", "maxvit")):
        more |= {"image_size": size} if name.startswith("vit_") else {"input_size": (size, size)}
    if name in ("googlenet", "inception_v3"):
        more |= {"init_weights": False}
    if "_fpn" in name or name.startswith(("ssd", "deeplab", "fcn", "lraspp")):
        more |= {"weights_backbone": None}
    if "rcnn_" in name or name.startswith(("fcos", "retinanet")):
        more |= {"min_size": size, "max_size": 2 * size}  # else 800 px, whatever the image's size
    return torchvision.models.get_model(name, **more)


def _transformers(name: str, size: int) -> Any:
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as CLASSIFIERS

    kind, _, task = name.partition(":")
    config = transformers.AutoConfig.for_model(kind)
    for part in (config, getattr(config, "vision_config", config)):
        small = {"image_size": size} | ({} if hasattr(part, "depths") else {"num_hidden_layers": TRANSFORMER_LAYERS})
        for key, value in small.items():
            if isinstance(getattr(part, key, None), int):
                setattr(part, key, value)
    if task == "semantic":
        return transformers.AutoModelForSemanticSegmentation.from_config(config)
    if kind not in CLASSIFIERS:
        return transformers.AutoModel.from_config(config)
    names = CLASSIFIERS[kind]  # one, or several of which the first is the usual one
    return getattr(transformers, names if isinstance(names, str) else names[0])(config)


def _open_clip(name: str, size: int) -> Any:
    import open_clip

    return open_clip.create_model(name, force_image_size=size).visual


def _segmentation(name: str, size: int) -> Any:
    import segmentation_models_pytorch as smp

    kind, _, encoder = name.partition(":")
    if kind == "DPT":
        return smp.DPT("tu-vit_tiny_patch16_224", encoder_weights=None)
    encoder = encoder if encoder else "mit_b0" if kind == "Segformer" else "resnet18"
    return getattr(smp, kind)(encoder, encoder_weights=None)


def _keras(name: str, size: int) -> Any:
    import keras
    import numpy as np

    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), classes=10)
    draws = np.random.default_rng(0)
    for weight in model.trainable_weights:
        value = np.asarray(weight.value.detach().cpu())
        if value.size > 1 and (value == value.flat[0]).all():
            weight.assign(value + 0.1 * draws.standard_normal(value.shape))
    return model
