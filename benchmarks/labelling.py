"""Measure how much of a labelling a person has to do photo by photo.

    python -m benchmarks.labelling TRAIN_DIR [TEST_DIR]

Both are folders with one folder per class. The photos of TRAIN_DIR are copied into one flat folder
and labelled there by a script that answers as a person would:

- A group is looked at as a sheet. When at least 90 % of it is one class, the sheet gets that class;
  otherwise it is skipped. A photo of another class in it is noticed with the given chance; then it
  is taken out of the group, labelled by itself, and counted as looked at.
- When no group is left, 20 photos are looked at one by one and labelled rightly.
- After every 20 labels the rest is sorted again.

It prints the share of photos with the right class, the share looked at one by one, the key presses,
and the test accuracy of a head trained on these labels and on the true ones.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from tl_core import TrainConfig, scan_dataset, train
from tl_core.analysis.labelling import ROUND, LabelState, Sheet
from tl_core.analysis.labelling_cache import sort_photos
from tl_core.data.curation.store import load_dataset
from tl_core.data.ingest.labels import give_labels
from tl_core.evaluation.evaluate import evaluate_run
from tl_core.features.spec import FeatureSpec
from tl_core.workspace import Workspace

MAJORITY = 0.9


class Person:
    """Answers with the true classes, as far as it looks."""

    def __init__(self, workspace: Workspace, heap: Path, truth: dict[str, str], notices: float):
        self.workspace, self.heap, self.truth, self.notices = workspace, heap, truth, notices
        self.spec = FeatureSpec.from_config(TrainConfig())
        self.random = np.random.default_rng(0)
        self.num_looked_at = self.num_keys = self.num_sheets = 0
        self.skipped: set[frozenset[str]] = set()

    def label_all(self, budget: float) -> LabelState:
        """Label until all photos have a class or the budget of single photos is used up."""
        state = self._sorted()
        while len(state.open):
            sheet = next((one for one in state.groups() if self._is_new(one)), None)
            if sheet is not None:
                self._answer_group(sheet, state)
            elif self.num_looked_at < int(budget * len(self.truth)):
                left = int(budget * len(self.truth)) - self.num_looked_at
                single = state.one_by_one(min(ROUND, left))
                self._label({path: self.truth[path] for path in single.paths}, state)
                self.num_looked_at += len(single.paths)
                self.num_keys += len(single.paths)
            else:
                break
            state = self._current(state)
        return state

    def _answer_group(self, sheet: Sheet, state: LabelState) -> None:
        self.num_sheets += 1
        self.num_keys += 1
        counts = Counter(self.truth[path] for path in sheet.paths)
        name, count = counts.most_common(1)[0]
        if count < MAJORITY * len(sheet.paths):
            self.skipped.add(frozenset(sheet.paths))
            return
        answers = dict.fromkeys(sheet.paths, name)
        for path in sheet.paths:
            if self.truth[path] != name and self.random.random() < self.notices:
                answers[path] = self.truth[path]
                self.num_looked_at += 1
                self.num_keys += 2
        self._label(answers, state)

    def _is_new(self, sheet: Sheet) -> bool:
        return frozenset(sheet.paths) not in self.skipped

    def _label(self, answers: dict[str, str], state: LabelState) -> None:
        give_labels(self.workspace, self.heap, answers, state.pool.sha256_of(answers))

    def _current(self, before: LabelState) -> LabelState:
        from tl_core.data.curation.store import load_decisions

        decisions = load_decisions(self.workspace, self.heap)
        state = LabelState.create(before.pool, decisions, before.ranking)
        return self._sorted() if state.is_due else state

    def _sorted(self) -> LabelState:
        return sort_photos(self.workspace, self.heap, self.spec)


def main() -> None:
    """Run the measurement and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train_dir", type=Path)
    parser.add_argument("test_dir", type=Path, nargs="?")
    parser.add_argument("--budget", type=float, default=0.25, help="share looked at one by one")
    parser.add_argument("--notices", type=float, nargs="*", default=[0.0, 0.5, 1.0])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for number, notices in enumerate(args.notices):
            _measure(args, Path(scratch), number, notices)


def _measure(args: argparse.Namespace, scratch: Path, number: int, notices: float) -> None:
    heap, truth = scratch / f"heap{number}", {}
    heap.mkdir()
    index = scan_dataset(args.train_dir)
    shuffled = np.random.default_rng(0).permutation(index.num_images)
    for place, record in zip(shuffled, index.records, strict=True):
        name = f"{place:06}{Path(record.path).suffix}"
        shutil.copyfile(index.path_of(record), heap / name)
        truth[name] = index.class_names[record.label]
    workspace = Workspace(scratch / "workspace")
    person = Person(workspace, heap, truth, notices)
    state = person.label_all(args.budget)
    right = sum(state.class_of.get(path) == name for path, name in truth.items())
    print(
        f"misfits noticed {notices:.0%}: right {right / len(truth):.1%} of {len(truth):,}, "
        f"one by one {person.num_looked_at / len(truth):.1%}, without a class "
        f"{len(state.open)}, sheets {person.num_sheets}, key presses {person.num_keys}"
    )
    if args.test_dir is not None:
        by_labels = load_dataset(heap, workspace)
        pairs = [(train(TrainConfig(), by_labels, scratch / f"labels{number}"), "these labels")]
        if number == 0:
            pairs.append((train(TrainConfig(), index, scratch / "true"), "true labels"))
        for run, words in pairs:
            evaluation = evaluate_run(run.run_dir, args.test_dir, cache_dir=workspace.cache_dir)
            print(f"  test accuracy with {words}: {evaluation.accuracy:.1%}")


if __name__ == "__main__":
    main()
