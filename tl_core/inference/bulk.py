"""Classify any number of photos in flat memory, and write the answers as CSV or Parquet.

What is known goes into an :class:`~tl_core.inference.answer_table.AnswerTable` every few seconds.
Work that was stopped or killed goes on there: no photo whose answer was kept is computed again.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TextIO

from filelock import FileLock, Timeout

from tl_core.errors import ConfigError, DatasetError, Stopped, TakenError
from tl_core.files import plain_storage_errors, replacing
from tl_core.head.temperature import weights_digest
from tl_core.inference.answer_table import NONE_OF_THESE, AnswerTable, Counts, Filter, Stamp
from tl_core.inference.image_files import iter_images
from tl_core.inference.predict import Prediction, Predictor
from tl_core.progress import SILENT, Monitor, OnProgress, ShouldStop, Stage
from tl_core.tables import safe_cell

STAGE, LIST_STAGE, WRITE_STAGE = "features", "list", "write"
SUFFIXES = (".csv", ".parquet")
JOURNAL_SUFFIX = ".progress"

_LIST_BATCH = 256
_MIN_BATCH, _MAX_BATCH = 16, 256
_BATCH_SECONDS = 2.0  # what a kill loses at most, once the rate is known
_DECIMALS = 6


def predict_to_file(
    predictor: Predictor,
    paths: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> Counts:
    """Classify photos and all photos in folders, and write one row a photo to a new file.

    Until all are answered, ``<out>.progress`` beside it holds what is known; called again with the
    same arguments, the work goes on there. After a stop ``out`` holds the answers so far.

    Args:
        predictor: the model.
        paths: photos, and folders that are searched at any depth.
        out: the file, whose name ends in .csv or .parquet. Columns: ``photo``, ``class``,
            ``probability``, ``p(<class>)`` for each class, ``reason`` for those that are none of
            the classes, and ``error`` for files that cannot be read.
        on_progress: called with the stages ``"list"``, ``"features"`` and ``"write"``.
        should_stop: polled between photos.

    Returns:
        How many answers there are of each kind.

    Raises:
        ConfigError: the name of ``out`` ends otherwise, or another process writes it.
        TakenError: ``out`` is there already and complete.
        DatasetError: a path does not exist, or there are no photos.
        RunError: ``<out>.progress`` holds the answers of another model.
        StorageError: the disk is full or read-only.
        Stopped: ``should_stop`` returned True.

    Examples:
        >>> from tl_core import load_predictor
        >>> from tl_core.inference.bulk import predict_to_file
        >>> counts = predict_to_file(load_predictor("runs/first"), ["photos"], "answers.csv")
        >>> counts.total, counts.unreadable
        (25, 0)
    """
    target = Path(out).absolute()
    if target.suffix.lower() not in SUFFIXES:
        raise ConfigError(
            f"Expected a file name ending in {' or '.join(SUFFIXES)}, received '{target.name}'."
        )
    journal = target.with_name(target.name + JOURNAL_SUFFIX)
    if target.exists() and not journal.exists():
        raise TakenError(
            f"Expected a new file, but '{target.name}' is there already. Delete it or choose "
            "another name."
        )
    monitor = Monitor(on_progress, should_stop)
    with _only_writer(journal):
        with AnswerTable(journal, model_identity(predictor), predictor.class_names) as table:
            try:
                answer_photos(predictor, paths, table, monitor=monitor)
            except Stopped:
                counts = table.counts()
                write_answers(table, target)
                raise Stopped(
                    f"Stopped. The {counts.total:,} answers so far are in '{target}'; the same "
                    "command continues from there."
                ) from None
            counts = table.counts()
            write_answers(table, target, monitor=monitor)
        table.delete()
    return counts


def answer_photos(
    predictor: Predictor,
    paths: Sequence[str | os.PathLike[str]],
    table: AnswerTable,
    *,
    root: Path | None = None,
    monitor: Monitor = SILENT,
) -> None:
    """Add the answers about photos to a table; only new and changed photos are computed.

    Answers about photos that are gone are removed, once all others are known.

    Args:
        predictor: the model.
        paths: photos, and folders that are searched at any depth.
        table: where the answers are kept, by the photos' absolute paths.
        root: the folder that names in the table are relative to; by default they are the paths
            as given.
        monitor: reports the stages ``"list"`` and ``"features"``.

    Raises:
        DatasetError: a path does not exist, or there are no photos.
        StorageError: the disk is full or read-only.
        Stopped: ``monitor`` was asked to stop.
    """
    total = _count(paths, monitor)
    if total == 0:
        raise DatasetError(f"Expected photos in '{paths[0]}', found none.")
    stage = monitor.stage(STAGE, total)
    first_place = place = table.last_place + 1
    todo: list[_Photo] = []
    for chunk in _chunks(iter_images(paths)):
        monitor.check()
        photos = [_Photo.of(path, place + number) for number, path in enumerate(chunk)]
        place += len(photos)
        known = table.known_stamps([photo.key for photo in photos])
        there = [photo for photo in photos if known.get(photo.key) == photo.stamp]
        if there:
            table.move((photo.key, photo.place) for photo in there)
            stage.update(stage.done + len(there), max(total, stage.done + len(there)))
            stage.restart_clock()  # these took no time
        todo += [photo for photo in photos if known.get(photo.key) != photo.stamp]
        while len(todo) >= (size := _batch_size(stage)):
            _answer(predictor, todo[:size], table, root, stage, total)
            del todo[:size]
    if todo:
        _answer(predictor, todo, table, root, stage, total)
    table.forget_before(first_place)


def model_identity(predictor: Predictor) -> str:
    """Return what differs between models that may answer differently."""
    reliability = predictor.reliability
    spec = replace(predictor.spec, is_foreign=False)
    parts = [
        predictor.class_names,
        weights_digest(predictor.weights),
        spec.space(0),
        reliability.calibration.temperature,
        None if reliability.detector is None else asdict(reliability.detector.thresholds),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def answer_columns(class_names: Sequence[str]) -> list[str]:
    """Return the names of the columns of a table of answers."""
    shares = [f"p({name})" for name in class_names]
    return ["photo", "class", "probability", *shares, "reason", "error"]


def answer_row(prediction: Prediction, num_classes: int) -> list[str | float | None]:
    """Return the cells of one answer; those that do not apply are None."""
    if prediction.probabilities is None:
        return [prediction.name, None, None, *[None] * num_classes, None, prediction.error]
    best, probability = prediction.top[0]
    shares = [round(float(share), _DECIMALS) for share in prediction.probabilities]
    reason = " ".join(prediction.reasons) or None
    if prediction.is_none_of_these:  # the probability is that of a class; this is none
        return [prediction.name, NONE_OF_THESE, None, *shares, reason, None]
    return [prediction.name, best, round(probability, _DECIMALS), *shares, reason, None]


def answers_csv(answers: Sequence[Prediction], class_names: Sequence[str]) -> bytes:
    """Return answers as the content of a CSV file, a row a photo, each text as a safe cell.

    Args:
        answers: at least their most probable class in ``top``.
        class_names: in the order of their probabilities.
    """
    text = io.StringIO(newline="")
    write = _csv_writer(text, class_names)
    write([answer_row(answer, len(class_names)) for answer in answers])
    return text.getvalue().encode("utf-8", "backslashreplace")


def write_answers(table: AnswerTable, target: Path, *, monitor: Monitor = SILENT) -> None:
    """Write all answers as CSV or Parquet, by the name of the file, whole or not at all.

    Raises:
        ConfigError: Parquet was asked for and its package is not installed.
        StorageError: the disk is full or read-only.
        Stopped: ``monitor`` was asked to stop.
    """
    stage = monitor.stage(WRITE_STAGE, table.count(Filter()))
    is_parquet = target.suffix.lower() == ".parquet"
    with replacing(target) as temporary:
        writing = _write_parquet if is_parquet else _write_csv
        with writing(temporary, table.class_names) as write:
            for page in table.pages():
                monitor.check()
                write([answer_row(answer, len(table.class_names)) for answer in page])
                stage.advance(len(page))


@dataclass(frozen=True)
class _Photo:
    path: Path
    key: str
    place: int
    stamp: Stamp

    @classmethod
    def of(cls, path: Path, place: int) -> _Photo:
        try:
            facts = path.stat()
            stamp = (facts.st_size, facts.st_mtime_ns)
        except OSError:  # reading it will say why
            stamp = (-1, 0)
        return cls(path, os.path.abspath(path), place, stamp)  # noqa: PTH100, keeps links


def _count(paths: Sequence[str | os.PathLike[str]], monitor: Monitor) -> int:
    stage = monitor.stage(LIST_STAGE)
    for chunk in _chunks(iter_images(paths)):
        monitor.check()
        stage.advance(len(chunk))
    return stage.done


def _chunks(paths: Iterator[Path]) -> Iterator[list[Path]]:
    while chunk := list(islice(paths, _LIST_BATCH)):
        yield chunk


def _batch_size(stage: Stage) -> int:
    return max(_MIN_BATCH, min(_MAX_BATCH, int(stage.rate * _BATCH_SECONDS)))


def _answer(
    predictor: Predictor,
    photos: Sequence[_Photo],
    table: AnswerTable,
    root: Path | None,
    stage: Stage,
    total: int,
) -> None:
    """Answer a batch of photos and keep the answers."""
    names = [str(photo.path if root is None else photo.path.relative_to(root)) for photo in photos]
    num_later = max(0, total - stage.done - len(photos))
    answers = predictor.predict(
        [photo.path for photo in photos],
        top_k=1,
        names=names,
        **stage.part(num_later).callbacks,
    )
    table.add(
        (photo.key, photo.place, photo.stamp, answer)
        for photo, answer in zip(photos, answers, strict=True)
    )


@contextmanager
def _only_writer(journal: Path) -> Iterator[None]:
    """Refuse to go on while another process writes the same file."""
    with plain_storage_errors(journal.parent):
        journal.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{journal}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            name = journal.name.removesuffix(JOURNAL_SUFFIX)
            raise ConfigError(
                f"Another process is writing '{name}'. Wait for it, or choose another name."
            ) from error
    try:
        yield
    finally:
        lock.release()
        with suppress(OSError):
            Path(lock.lock_file).unlink()


Rows = list[list[str | float | None]]


@contextmanager
def _write_csv(path: Path, class_names: Sequence[str]) -> Iterator[Callable[[Rows], None]]:
    with path.open("w", encoding="utf-8", newline="") as file:
        yield _csv_writer(file, class_names)


def _csv_writer(file: TextIO, class_names: Sequence[str]) -> Callable[[Rows], None]:
    """Write the names of the columns, and return what writes rows."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(map(safe_cell, answer_columns(class_names)))

    def write(rows: Rows) -> None:
        writer.writerows([safe_cell(cell) for cell in row] for row in rows)

    return write


@contextmanager
def _write_parquet(path: Path, class_names: Sequence[str]) -> Iterator[Callable[[Rows], None]]:
    """Write text as text: Parquet has types, so that nothing in it is taken for a formula."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ConfigError(
            "Writing Parquet needs the package pyarrow, which comes with Streamlit. Run "
            "'pip install pyarrow', or choose a name ending in .csv."
        ) from error
    texts = {"photo", "class", "reason", "error"}
    columns = answer_columns(class_names)
    schema = pyarrow.schema(
        [(name, pyarrow.string() if name in texts else pyarrow.float32()) for name in columns]
    )
    with parquet.ParquetWriter(path, schema) as writer:

        def write(rows: Rows) -> None:
            cells = [
                pyarrow.array([row[place] for row in rows], field.type)
                for place, field in enumerate(schema)
            ]
            writer.write_table(pyarrow.Table.from_arrays(cells, schema=schema))

        yield write
