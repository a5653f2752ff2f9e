"""The sample set: burgers, pizza, quesadillas and tacos drawn by this project, with planted faults.

It needs no download and is the same byte for byte for the same seed and Pillow version. It is made
to be learned in part only: quesadillas resemble tacos and slices of pizza, and a good part of the
photos is dark, blurred, cropped, covered or sketched. It also holds one of each fault that the Data
page finds. The photos are drawn by :mod:`tl_core.data.sample.drawing`.
"""

from __future__ import annotations

import os
import queue
import subprocess
import threading
from collections.abc import Generator
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from typing import IO

from PIL import Image

from tl_core.data.sample.content import (
    CLASS_NAMES,
    MIN_NUM_PER_CLASS,
    PlantedFault,
    draw_file,
    file_paths,
    planted_faults,
)
from tl_core.data.sample.drawing.photo import draw_photo
from tl_core.errors import ConfigError, did_you_mean
from tl_core.files import new_folder
from tl_core.processes import child_environment, module_command
from tl_core.progress import Monitor, OnProgress, ShouldStop

__all__ = [
    "CLASS_NAMES",
    "MIN_NUM_PER_CLASS",
    "SAMPLE_NAME",
    "PlantedFault",
    "draw_example",
    "draw_sample_dataset",
    "planted_faults",
]

SAMPLE_NAME = "sample"
_FEW_IMAGES = 100  # are drawn in this process: a child takes half a second to start
_MAX_PROCESSES = 4
_WAIT_SECONDS = 0.1


def draw_sample_dataset(
    out_dir: Path | str,
    *,
    num_per_class: int = 75,
    seed: int = 0,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> Path:
    """Draw the sample set into ``out_dir``, atomically.

    Args:
        out_dir: A missing or empty folder.
        num_per_class: Images in each of the class folders, including planted faults.
        seed: Another seed draws another set.
        on_progress: Called after each image.
        should_stop: Polled after each image.

    Returns:
        ``out_dir`` as a path.

    Raises:
        DatasetError: ``out_dir`` is not empty; it is not changed.
        ConfigError: ``num_per_class`` is too small.
        Stopped: ``should_stop`` returned True; no partial set remains.

    Examples:
        >>> from tl_core import draw_sample_dataset, scan_dataset
        >>> data_dir = draw_sample_dataset("food", num_per_class=8)
        >>> scan_dataset(data_dir).class_names
        ('Burger', 'Pizza', 'Quesadilla', 'Taco')
    """
    out_dir = Path(out_dir)
    planted_faults(num_per_class)  # raises when they do not fit
    paths = file_paths(num_per_class)
    with new_folder(out_dir) as temporary:
        for class_name in CLASS_NAMES:
            (temporary / class_name).mkdir(parents=True)
        monitor = Monitor(on_progress, should_stop)
        stage = monitor.stage("sample", len(paths))
        if len(paths) > _FEW_IMAGES:
            count = min(_MAX_PROCESSES, os.cpu_count() or 1)
            with closing(_draw_in_processes(temporary, num_per_class, seed, count)) as drawn:
                for num_new in drawn:
                    stage.advance(num_new)
                    monitor.check()
        for path in paths:  # all of a small set, and what a process that was killed has not drawn
            if not (temporary / path).exists():
                (temporary / path).write_bytes(draw_file(path, num_per_class, seed))
                stage.advance()
                monitor.check()
    return out_dir


def draw_example(class_name: str, seed: int = 0) -> Image.Image:
    """Draw one photo of a class that is not in the sample set.

    Raises:
        ConfigError: there is no such class in the sample set.
    """
    if class_name not in CLASS_NAMES:
        raise ConfigError(
            f"Expected a class out of {', '.join(CLASS_NAMES)}, received '{class_name}'."
            f"{did_you_mean(class_name, CLASS_NAMES)}"
        )
    return draw_photo(class_name, Random(f"example {class_name} {seed}"), look="easy")


def _draw_in_processes(
    folder: Path, num_per_class: int, seed: int, count: int
) -> Generator[int, None, None]:
    """Draw into class folders by child processes; yield how many files are new, 0 while waiting.

    Ends when all children have ended, also when one could not be started or was killed.
    """
    printed: queue.SimpleQueue[int] = queue.SimpleQueue()

    def listen(lines: IO[bytes]) -> None:
        for _ in lines:
            printed.put(1)
        printed.put(-1)

    children: list[subprocess.Popen[bytes]] = []
    try:
        for part in range(count):
            words = map(str, (folder, num_per_class, seed, part, count))
            with suppress(OSError):
                child = subprocess.Popen(
                    module_command("tl_core.data.sample.content", *words),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env=child_environment(),
                )
                children.append(child)
                threading.Thread(target=listen, args=(child.stdout,), daemon=True).start()
        running = len(children)
        while running:
            try:
                news = printed.get(timeout=_WAIT_SECONDS)
            except queue.Empty:
                yield 0
                continue
            if news > 0:
                yield news
            else:
                running -= 1
    finally:
        for child in children:
            child.kill()
            child.wait()
