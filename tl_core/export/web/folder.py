"""Writing the folder of a page that classifies without a server.

index.html sw.js app.webmanifest icon.svg      the page
player/                                        its script and style
runtime/                                       LiteRT for browsers, unless a CDN serves it
model.tflite head.bin known.bin                the run: network, head, "none of these"
model.json player.json                         what the run is, and what the page needs to know
examples/                                      photos to try
"""

from __future__ import annotations

import gzip
import hashlib
import html
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np

from tl_core.export.examples import write_examples
from tl_core.export.graph import Precision, build_inference_model, convert_to_litert
from tl_core.export.model_info import MODEL_FILE, file_info
from tl_core.export.web.card import describe, make_card
from tl_core.export.web.runtime import (
    CDN,
    FILES,
    NOTICE,
    cached_runtime,
    fetch_runtime,
    integrity_of,
)
from tl_core.export.writers import LITERT_FILE, Writing
from tl_core.files import write_json, write_text
from tl_core.head.out_of_distribution import OODDetector
from tl_core.inference.predict import load_head
from tl_core.inference.reliability import load_reliability

PLAYER_FILE = "player.json"
PLAYER_SCHEMA = 1
HEAD_FILE = "head.bin"
KNOWN_FILE = "known.bin"
PAGE_FILES = ("index.html", "player", PLAYER_FILE, LITERT_FILE)
PACKED_SUFFIX = ".bin"
"""Of a file that the page itself unpacks; hosts announce a ``.gz`` as compressed in transit."""
MAX_HEAD_BYTES = 4 * 2**20
"""A larger head travels only inside the model: the page then offers no heat map."""

USE = """\
## Use

A page of static files: it classifies in the visitor's browser and sends nothing. Any static host
serves it, in any sub-path.

- On this machine: `python -m http.server` in this folder, then open <http://localhost:8000>.
- Hugging Face: create a Space with the SDK *Static* and upload this folder.
- GitHub Pages: put the folder into a repository and switch Pages on for its branch.
- Netlify: drop the folder on <https://app.netlify.com/drop>.

The camera and offline use need https, or localhost."""
SPACE = ("sdk: static", "app_file: index.html")
_FONT_CSS = """\
/* Source Sans, Copyright Adobe, SIL Open Font License 1.1: https://openfontlicense.org */
@font-face {
  font-family: "Source Sans";
  font-weight: 200 900;
  font-display: swap;
  src: url("source-sans.woff2") format("woff2");
}
"""


@dataclass(frozen=True)
class PageFile:
    """A file that the page loads: its address in the folder or at the CDN.

    ``bytes`` and ``integrity`` are those of the file as it is stored, compressed or not.
    """

    url: str
    bytes: int
    integrity: str = ""
    is_gzip: bool = False

    def to_json(self, **more: Any) -> dict[str, Any]:
        """Return what the page's script reads."""
        checked = {"integrity": self.integrity} if self.integrity else {}
        packed = {"gzip": True} if self.is_gzip else {}
        return {"url": self.url, "bytes": self.bytes, **checked, **packed, **more}


def write_web(writing: Writing, precision: Precision = "float16") -> None:
    """Write the page of a run, without its ``model.json``.

    Args:
        writing: the run and the empty folder.
        precision: of the network's weights.
    """
    folder, run = writing.folder, writing.run
    is_local = not fetch_runtime(writing.cache_dir)
    hosts = "" if is_local else CDN
    model = build_inference_model(run, with_feature_map=True)
    network = _write(folder / LITERT_FILE, convert_to_litert(model, precision))
    head = load_head(run)
    reliability = load_reliability(run, head)
    player = {
        "schema": PLAYER_SCHEMA,
        "runtime": _write_runtime(folder, writing.cache_dir if is_local else None),
        "model": network.to_json(),
        "pooling": run.config.pooling,
        "head": _write_head(folder, head),
        "known": _write_known(folder, reliability.detector),
        "examples": [
            {"url": path, "name": f"Example of {class_name}"}
            for path, class_name in write_examples(writing)
        ],
        "card": make_card(run, writing.info, precision, hosts),
    }
    write_json(folder / PLAYER_FILE, player)
    title, description = writing.info.name, describe(writing.info.class_names)
    _write_page(folder, title, description, _loaded_files(player), hosts)


def write_web_int8(writing: Writing) -> None:
    """Write the page of a run with 8-bit weights, which computes with floats."""
    write_web(writing, "int8_weights")


def _write(path: Path, content: bytes) -> PageFile:
    path.write_bytes(content)
    return PageFile(path.name, len(content))


def _write_runtime(folder: Path, cache_dir: Path | None) -> dict[str, dict[str, Any]]:
    """Put the runtime into the folder, or point to the CDN; the page checks it either way.

    In the folder it is compressed, a third of the size: few static hosts compress WebAssembly.
    """
    contents = cached_runtime(cache_dir) if cache_dir is not None else None
    if contents is None:
        pages = {
            key: PageFile(file.cdn_url, file.bytes, file.integrity) for key, file in FILES.items()
        }
    else:
        target = folder / "runtime"
        target.mkdir()
        (target / "NOTICE.txt").write_text(NOTICE, encoding="utf-8")
        pages = {
            key: _write_packed(target, contents[file.name], file.name)
            for key, file in FILES.items()
        }
    return {key: page.to_json() for key, page in pages.items()}


def _write_packed(folder: Path, content: bytes, name: str) -> PageFile:
    """Write a file compressed by gzip, whose end is none that a host would unpack by itself."""
    packed = gzip.compress(content, mtime=0)
    path = folder / f"{name}{PACKED_SUFFIX}"
    path.write_bytes(packed)
    return PageFile(f"{folder.name}/{path.name}", len(packed), integrity_of(packed), is_gzip=True)


def _write_head(folder: Path, weights: Mapping[str, np.ndarray]) -> dict[str, Any] | None:
    """Write the head's layers for heat maps; the probabilities come from the network's file.

    First a scale for each input and the bias of each layer, float32, then the kernels (inputs,
    outputs) as 8-bit integers.
    """
    num_fc = sum(name.startswith("fc_") and name.endswith("/kernel") for name in weights)
    names = [f"fc_{number}" for number in range(num_fc)] + ["predictions"]
    floats, kernels, shapes = [], [], []
    for name in names:
        kernel, scales = quantize_rows(weights[f"{name}/kernel"])
        floats += [scales, weights[f"{name}/bias"]]
        kernels.append(kernel.tobytes())
        shapes.append(list(kernel.shape))
    content = b"".join([*(values.astype("<f4").tobytes() for values in floats), *kernels])
    if len(content) > MAX_HEAD_BYTES:
        return None
    return _write(folder / HEAD_FILE, content).to_json(layers=shapes)


def _write_known(folder: Path, detector: OODDetector | None) -> dict[str, Any] | None:
    """Write the training photos' features: a float32 scale each, then rows of 8-bit integers."""
    if detector is None:
        return None
    rows, scales = quantize_rows(detector.anchors)
    content = scales.astype("<f4").tobytes() + rows.tobytes()
    count, dim = rows.shape
    return _write(folder / KNOWN_FILE, content).to_json(count=count, dim=dim)


def quantize_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows (n, dim) as int8 and the scale (n,) float32 that each is multiplied by.

    A cosine to rows of length 1 changes by about 0.001 at most where they have 1,280 columns.
    """
    scales = np.maximum(np.abs(rows).max(axis=1), 1e-12) / 127
    quantized = np.rint(rows / scales[:, None]).astype(np.int8)
    return quantized, scales.astype(np.float32)


def _loaded_files(player: Mapping[str, Any]) -> list[str]:
    """Return the addresses of what the page loads beside its own script and style."""
    files = [*player["runtime"].values(), player["model"], player["head"], player["known"]]
    return [file["url"] for file in [*files, *player["examples"]] if file is not None]


def _write_page(folder: Path, title: str, description: str, loaded: list[str], hosts: str) -> None:
    """Write the page itself, its templates filled in."""
    (folder / "player").mkdir()
    package = resources.files(__package__)
    for file in (package / "player").iterdir():
        (folder / "player" / file.name).write_bytes(file.read_bytes())
    source = package / "page"
    (folder / "icon.svg").write_bytes((source / "icon.svg").read_bytes())
    fonts = _write_font(folder)
    own = sorted(f"player/{path.name}" for path in (folder / "player").iterdir()) + fonts
    files = ["./", MODEL_FILE, PLAYER_FILE, "policy.js", "app.webmanifest", "icon.svg"]
    files += [*own, *loaded]
    values = {
        "index.html": {
            "title": html.escape(title),
            "description": html.escape(description),
            "font": '<link rel="stylesheet" href="font/font.css" />' if fonts else "",
        },
        "policy.js": {"policy": content_policy(hosts)},
        "app.webmanifest": {"title": json.dumps(title)[1:-1]},
    }
    for name in values:
        _fill(source, name, folder, values[name])
    # Last, for its version covers every other file.
    version = {"files": json.dumps(files, indent=2), "version": _version(folder)}
    _fill(source, "sw.js", folder, version)


def _write_font(folder: Path) -> list[str]:
    """Write the studio's type as Streamlit brings it; nothing where Streamlit is not installed."""
    spec = importlib.util.find_spec("streamlit")
    media = Path(spec.origin or "").parent / "static" / "static" / "media" if spec else Path()
    found = sorted(media.glob("SourceSansVF-Upright*.woff2"))
    if not found:
        return []
    (folder / "font").mkdir()
    (folder / "font" / "source-sans.woff2").write_bytes(found[0].read_bytes())
    (folder / "font" / "font.css").write_text(_FONT_CSS, encoding="utf-8")
    return ["font/font.css", "font/source-sans.woff2"]


def _fill(source: Traversable, name: str, folder: Path, values: Mapping[str, str]) -> None:
    text = (source / name).read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace("{{" + key + "}}", value)
    write_text(folder / name, text)


def content_policy(hosts: str = "") -> str:
    """Return the page's Content-Security-Policy: it may load its own files and send nothing.

    Args:
        hosts: other origins that the runtime is loaded from.
    """
    connect = " ".join(["'self'", "blob:", *hosts.split()])
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self' blob: 'wasm-unsafe-eval'",
            "worker-src 'self' blob:",
            f"connect-src {connect}",
            "img-src 'self' blob:",
            "media-src 'self' blob:",
            "style-src 'self'",
            "font-src 'self'",
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _version(folder: Path) -> str:
    """Return what changes whenever a file of the page does."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()} {file_info(path).sha256}".encode())
    return digest.hexdigest()[:16]
