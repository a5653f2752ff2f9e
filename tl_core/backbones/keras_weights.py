"""The files of each Keras backbone's ImageNet weights, as Keras 3.15 requests them.

Listed here so that files can be downloaded and checked without loading TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass

_HOST = "https://storage.googleapis.com/"
_KERAS = _HOST + "tensorflow/keras-applications/"
_KERNELS = "weights_tf_dim_ordering_tf_kernels_notop.h5"


@dataclass(frozen=True)
class WeightFile:
    """One downloadable weights file.

    ``checksum`` is an MD5 or SHA-256 in hex, by its length; None if Keras publishes none.
    """

    url: str
    file_name: str
    checksum: str | None


def _file(
    path: str, checksum: str | None, *, saved_as: str | None = None, base: str = _KERAS
) -> WeightFile:
    return WeightFile(base + path, saved_as or path.rpartition("/")[2], checksum)


def _efficientnet(size: str, checksum: str) -> WeightFile:
    return _file(f"keras-applications/efficientnet{size}_notop.h5", checksum, base=_HOST)


WEIGHT_FILES: dict[str, WeightFile] = {
    "MobileNet": _file("mobilenet/mobilenet_1_0_224_tf_no_top.h5", None),
    "MobileNetV2": _file(
        "mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5", None
    ),
    "MobileNetV3Small": _file(
        "mobilenet_v3/weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
        "d3e8ec802a04aa4fc771ee12a9a9b836",
    ),
    "MobileNetV3Large": _file(
        "mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
        "07fb09a5933dd0c8eaafa16978110389",
    ),
    "NASNetMobile": _file(
        "nasnet/NASNet-mobile-no-top.h5",
        "1ed92395b5b598bdda52abe5c0dbfd63",
        saved_as="nasnet_mobile_no_top.h5",
    ),
    "NASNetLarge": _file(
        "nasnet/NASNet-large-no-top.h5",
        "d81d89dc07e6e56530c4e77faddd61b5",
        saved_as="nasnet_large_no_top.h5",
    ),
    "EfficientNetB0": _efficientnet("b0", "50bc09e76180e00e4465e1a485ddc09d"),
    "EfficientNetB1": _efficientnet("b1", "74c4e6b3e1f6a1eea24c589628592432"),
    "EfficientNetB2": _efficientnet("b2", "111f8e2ac8aa800a7a99e3239f7bfb39"),
    "EfficientNetB3": _efficientnet("b3", "af6d107764bb5b1abb91932881670226"),
    "EfficientNetB4": _efficientnet("b4", "ebc24e6d6c33eaebbd558eafbeedf1ba"),
    "EfficientNetB5": _efficientnet("b5", "38879255a25d3c92d5e44e04ae6cec6f"),
    "EfficientNetB6": _efficientnet("b6", "9ecce42647a20130c1f39a5d4cb75743"),
    "EfficientNetB7": _efficientnet("b7", "cbcfe4450ddf6f3ad90b1b398090fe4a"),
    "EfficientNetV2B0": _file(
        "efficientnet_v2/efficientnetv2-b0_notop.h5", "893217f2bb855e2983157299931e43ff"
    ),
    "EfficientNetV2B1": _file(
        "efficientnet_v2/efficientnetv2-b1_notop.h5", "0e80663031ca32d657f9caa404b6ec37"
    ),
    "EfficientNetV2B2": _file(
        "efficientnet_v2/efficientnetv2-b2_notop.h5", "1dfe2e7a5d45b6632553a8961ea609eb"
    ),
    "EfficientNetV2B3": _file(
        "efficientnet_v2/efficientnetv2-b3_notop.h5", "f6abf7b5849ac99a89b50dd3fd532856"
    ),
    "EfficientNetV2S": _file(
        "efficientnet_v2/efficientnetv2-s_notop.h5", "af0682fb74e8c54910f2d4393339c070"
    ),
    "EfficientNetV2M": _file(
        "efficientnet_v2/efficientnetv2-m_notop.h5", "1b8dc055df72dde80d614482840fe342"
    ),
    "EfficientNetV2L": _file(
        "efficientnet_v2/efficientnetv2-l_notop.h5", "b0b66b5c863aef5b46e8608fe1711615"
    ),
    "DenseNet121": _file(f"densenet/densenet121_{_KERNELS}", "30ee3e1110167f948a6b9946edeeb738"),
    "DenseNet169": _file(f"densenet/densenet169_{_KERNELS}", "b8c4d4c20dd625c148057b9ff1c1176b"),
    "DenseNet201": _file(f"densenet/densenet201_{_KERNELS}", "c13680b51ded0fb44dff2d8f86ac8bb1"),
    "ResNet50": _file(f"resnet/resnet50_{_KERNELS}", "4d473c1dd8becc155b73f8504c6f6626"),
    "ResNet101": _file(f"resnet/resnet101_{_KERNELS}", "88cf7a10940856eca736dc7b7e228a21"),
    "ResNet152": _file(f"resnet/resnet152_{_KERNELS}", "ee4c566cf9a93f14d82f913c2dc6dd0c"),
    "ResNet50V2": _file(f"resnet/resnet50v2_{_KERNELS}", "fac2f116257151a9d068a22e544a4917"),
    "ResNet101V2": _file(f"resnet/resnet101v2_{_KERNELS}", "c0ed64b8031c3730f411d2eb4eea35b5"),
    "ResNet152V2": _file(f"resnet/resnet152v2_{_KERNELS}", "ed17cf2e0169df9d443503ef94b23b33"),
    "InceptionV3": _file(
        f"inception_v3/inception_v3_{_KERNELS}", "bcbd6486424b2319ff4ef7d526e38f63"
    ),
    "InceptionResNetV2": _file(
        f"inception_resnet_v2/inception_resnet_v2_{_KERNELS}", "d19885ff4a710c122648d3b5c3b684e4"
    ),
    "Xception": _file(f"xception/xception_{_KERNELS}", "b0042744bf5b25fce3cb969f33bebb97"),
    "VGG16": _file(f"vgg16/vgg16_{_KERNELS}", "6d6bbae143d832006294945121d1f1fc"),
    "VGG19": _file(f"vgg19/vgg19_{_KERNELS}", "253f8cb515780f3b799900260a226db6"),
    "ConvNeXtTiny": _file(
        "convnext/convnext_tiny_notop.h5",
        "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
    ),
    "ConvNeXtSmall": _file(
        "convnext/convnext_small_notop.h5",
        "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab",
    ),
    "ConvNeXtBase": _file(
        "convnext/convnext_base_notop.h5",
        "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45",
    ),
    "ConvNeXtLarge": _file(
        "convnext/convnext_large_notop.h5",
        "96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd",
    ),
    "ConvNeXtXLarge": _file(
        "convnext/convnext_xlarge_notop.h5",
        "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05",
    ),
}

# Published for each of these square sizes; any other size uses the 224 file, as in Keras.
_SIZES = {
    "MobileNet": (128, 160, 192, 224),
    "MobileNetV2": (96, 128, 160, 192, 224),
}


def weight_file(name: str, image_size: tuple[int, int]) -> WeightFile:
    """Return the file that Keras loads for a backbone at an image size (height, width)."""
    file = WEIGHT_FILES[name]
    height, width = image_size
    if height != width or height not in _SIZES.get(name, ()):
        return file
    size = f"_{height}_"
    return WeightFile(
        file.url.replace("_224_", size), file.file_name.replace("_224_", size), file.checksum
    )
