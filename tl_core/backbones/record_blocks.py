"""Write the table of every backbone's blocks, which is read without TensorFlow.

    python -m tl_core.backbones.record_blocks

adds the backbones missing from the table; a test compares it with the models.
"""

from __future__ import annotations

import json
from dataclasses import astuple

from tl_core.backbones.blocks import PATH
from tl_core.backbones.build import build_base_model, build_keras_application
from tl_core.backbones.cut import list_blocks
from tl_core.backbones.registry import list_backbones
from tl_core.files import write_text


def main() -> None:
    """Build every backbone, without its weights, and write the table."""
    import keras

    table = json.loads(PATH.read_text(encoding="utf-8")) if PATH.exists() else {}
    for backbone in list_backbones(include_hidden=True):
        if backbone.name in table:
            continue
        if backbone.weights == "imagenet":
            with keras.StatelessScope():  # leaves the variables without values
                model = build_keras_application(backbone, backbone.image_size, None)
                blocks = list_blocks(model)
        else:
            blocks = list_blocks(build_base_model(backbone.name))
        table[backbone.name] = [list(astuple(block)) for block in blocks]
        print(backbone.name, len(blocks), flush=True)
        rows = [f"  {json.dumps(name)}: {json.dumps(rows)}" for name, rows in table.items()]
        write_text(PATH, "{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main()
