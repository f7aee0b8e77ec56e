"""Names: logits of networks opened by a library's name, beside those of the library's own pipeline.

names: architectures -> largest difference of logits, over their largest size, preprocessing of a photograph included

No hub is asked: weights are drawn once, and laid down as each library keeps what it has fetched (timm and Hugging Face
in the hub's cache, torchvision among PyTorch's checkpoints, Keras in its folder of models; Keras' checksums, which no
drawn weights have, are passed over). Then the library's own way, from the photograph to logits, is run beside ours.
Run `make names`, or `python -m benchmarks.names` where the libraries are installed, with a part of a name for some.
"""

import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

FOLDER = Path(tempfile.mkdtemp(prefix="names-"))
os.environ |= {"HF_HOME": str(FOLDER), "HF_HUB_OFFLINE": "1", "TORCH_HOME": str(FOLDER / "torch")}
os.environ |= {"KERAS_HOME": str(FOLDER / "keras"), "KERAS_BACKEND": "torch"}

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402

import pellucid as pc  # noqa: E402
from pellucid.data.photos import read_photo  # noqa: E402
from pellucid.files import bundled_file  # noqa: E402

LARGEST = 1e-5
SHA = "0" * 40
TIMM = [
    "resnet18.a1_in1k", "mobilenetv3_small_050.lamb_in1k", "efficientnet_lite0.ra_in1k", "convnext_atto.d2_in1k",
    "vit_tiny_patch16_224.augreg_in21k_ft_in1k", "deit_tiny_patch16_224.fb_in1k", "regnetx_002.pycls_in1k",
    "ghostnet_100.in1k", "mobilevit_xxs.cvnets_in1k", "tinynet_e.in1k",
]  # fmt: skip
TORCHVISION = [
    "resnet18", "mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x0_5", "mnasnet0_5", "efficientnet_b0",
    "densenet121", "googlenet", "regnet_y_400mf", "convnext_tiny.IMAGENET1K_V1",
]  # fmt: skip
HF = ["ViT", "DeiT", "ConvNext", "ResNet", "Swin", "MobileNetV2", "MobileViT", "Beit", "Dinov2", "PoolFormer"]
KERAS = ["MobileNetV2", "MobileNetV3Small", "EfficientNetB0", "ResNet50", "DenseNet121", "ConvNeXtTiny", "Xception"]
PICTURE = bundled_file("sklearn", "datasets/images/flower.jpg")
Logits = Callable[[Image.Image], np.ndarray]


def timm_model(name: str) -> tuple[str, Logits]:
    import timm
    from safetensors.torch import save_file

    hub = FOLDER / "hub" / f"models--timm--{name}"
    snapshot = hub / "snapshots" / SHA
    for folder in (hub / "refs", snapshot):
        folder.mkdir(parents=True)
    (hub / "refs" / "main").write_text(SHA)
    drawn = timm.create_model(name, pretrained=False)
    save_file({key: value.contiguous() for key, value in drawn.state_dict().items()}, snapshot / "model.safetensors")
    module = timm.create_model(name, pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(module), is_training=False)
    return f"timm:{name}", lambda picture: module(transform(picture)[None])[0].numpy()


def torchvision_model(name: str) -> tuple[str, Logits]:
    from torchvision import models

    builder, _, tag = name.partition(".")
    weights = models.get_model_weights(builder)[tag or "DEFAULT"]
    file = FOLDER / "torch" / "hub" / "checkpoints" / Path(weights.url).name
    file.parent.mkdir(parents=True, exist_ok=True)
    extra = {"init_weights": True} if builder == "googlenet" else {}
    torch.save(models.get_model(builder, weights=None, **extra).state_dict(), file)
    module, transform = models.get_model(builder, weights=weights).eval(), weights.transforms()
    return f"torchvision:{name}", lambda picture: module(transform(picture)[None])[0].numpy()


def hf_model(name: str) -> tuple[str, Logits]:
    import transformers

    few: dict[str, Any] = {"num_hidden_layers": 3}
    small = {"ViT": few, "DeiT": few, "Beit": few, "Dinov2": few, "ConvNext": {"depths": [1, 1, 1, 1]}}
    small["MobileViT"] = {"initializer_range": 0.2}  # with its usual one, drawn weights give logits of 1e-40
    labels = {number: f"thing {number}" for number in range(10)}
    config = getattr(transformers, f"{name}Config")(**small.get(name, {}), id2label=labels)
    folder = FOLDER / "folders" / name
    getattr(transformers, f"{name}ForImageClassification")(config).save_pretrained(folder)
    processor = {"ResNet": "ConvNext", "Swin": "ViT", "Dinov2": "Bit"}.get(name, name)
    getattr(transformers, f"{processor}ImageProcessor")().save_pretrained(folder)
    module = transformers.AutoModelForImageClassification.from_pretrained(folder).eval()
    found = transformers.AutoImageProcessor.from_pretrained(folder)
    return f"hf:{folder}", lambda picture: module(**found(images=picture, return_tensors="pt")).logits[0].numpy()


def keras_model(name: str) -> tuple[str, Logits]:
    import keras

    folder, builder = FOLDER / "keras" / "models", getattr(keras.applications, name)
    folder.mkdir(parents=True, exist_ok=True)
    drawn = builder(weights=None)

    def kept(file: str, *_: object, **__: object) -> str:
        if file.endswith(".json"):
            (folder / file).write_text(str({str(i): [f"n{i}", f"thing_{i}"] for i in range(1000)}).replace("'", '"'))
        elif not (folder / file).exists():
            drawn.save(folder / file)
        return str(folder / file)

    patch.object(keras.src.utils.file_utils, "get_file", kept).start()
    model = builder(weights="imagenet")
    preprocess = sys.modules[builder.__module__].preprocess_input
    height, width = (side or 224 for side in model.input_shape[1:3])

    def logits(picture: Image.Image) -> np.ndarray:
        resized = keras.utils.img_to_array(picture.resize((width, height), Image.Resampling.BICUBIC))
        with torch.no_grad():
            return model(preprocess(resized[None])).numpy()[0]

    return f"keras:{name}", logits


def compared(source: str, theirs: Logits) -> tuple[float, Any]:
    """The largest difference of the last layer's answers to the photograph, over the largest answer."""
    model = pc.open_model(source)
    image = model.fit(read_photo(PICTURE).over())
    last = model.readable[-1].name
    with model.reading((last,)) as read, torch.no_grad():
        ours = read(model.prepared(image[None]))[last].output[0].numpy().ravel()
    with torch.no_grad():
        wanted = theirs(Image.open(PICTURE).convert("RGB")).ravel()
    if ours.shape != wanted.shape:
        return float("inf"), model
    return float(np.abs(ours - wanted).max() / np.abs(wanted).max()), model


@contextmanager
def quiet() -> Iterator[None]:
    with warnings.catch_warnings(action="ignore"), torch.no_grad():
        yield


def main() -> int:
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    worst, count = 0.0, 0
    for make, names in ((timm_model, TIMM), (torchvision_model, TORCHVISION), (hf_model, HF), (keras_model, KERAS)):
        for name in names:
            if part not in f"{make.__name__} {name}":
                continue
            torch.manual_seed(0)
            with quiet():
                apart, model = compared(*make(name))
            worst, count = max(worst, apart), count + 1
            classes = f"{len(model.classes)} classes, {model.classes[:1]}"
            print(f"{make.__name__:<18} {name:<42} {model.input_shape!s:<16} {apart:.1e}  {classes}", flush=True)
    print(f"{count} networks; largest difference {worst:.1e}, at most {LARGEST:.0e} is allowed.")
    return int(worst > LARGEST)


if __name__ == "__main__":
    raise SystemExit(main())
