"""Names of runs are made from the settings in which they differ."""

from __future__ import annotations

import pytest
from made_project import add_run

from tl_core.files import write_json, write_text
from tl_core.projects.run_names import run_names
from tl_core.runs.files import CONFIG_FILE, ORIGIN_FILE, update_status
from tl_core.runs.store import Run, list_runs, rename_run


def names(place, pets, *settings, **same):
    runs = [add_run(place, pets, **same, **changes) for changes in settings]
    found = run_names(list_runs(place.runs_dir))
    return [found[run.id] for run in runs]


def test_a_run_alone_has_the_usual_settings(place, pets):
    assert names(place, pets, {}) == ["256, lr 0.001, frozen"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ([{}, {"learning_rate": 0.01}], ["lr 0.001", "lr 0.01"]),
        ([{}, {"fc_layers": (128, 64)}], ["256", "128+64"]),
        ([{}, {"fc_layers": ()}], ["256", "no FC layers"]),
        ([{}, {"fine_tune_blocks": 1}], ["frozen", "1 block fine-tuned"]),
        ([{}, {"backbone": "EfficientNetLite0"}], ["tiny", "EfficientNetLite0"]),
        (
            [{}, {"augment": "photo", "views": 3}],
            ["not augmented, 1 view", "photo augmentation, 3 views"],
        ),
        ([{}, {"augment": {"rotation": 20}}], ["not augmented", "rotation 20"]),
        (
            [{}, {"dropout": 0.2}, {"fc_layers": ()}],
            ["256, dropout 0.5", "256, dropout 0.2", "no FC layers"],
        ),
        ([{}, {"seed": 1}], ["seed 0", "seed 1"]),
        (
            [{"learning_rate": 0.01}, {"fc_layers": (64,), "fine_tune_blocks": 2}],
            ["256, lr 0.01, frozen", "64, lr 0.001, 2 blocks fine-tuned"],
        ),
    ],
)
def test_only_what_differs_is_named_the_most_telling_first(place, pets, settings, expected):
    assert names(place, pets, *settings) == expected


def test_settings_of_fine_tuning_are_not_named_where_only_one_run_has_it(place, pets):
    changes = {"fine_tune_blocks": 1, "fine_tune_epochs": 3}
    assert names(place, pets, {}, changes) == ["frozen", "1 block fine-tuned"]


def test_a_name_has_four_settings_at_most(place, pets):
    other = {
        **{"fc_layers": (64,), "learning_rate": 0.01, "dropout": 0.1},
        **{"epochs": 3, "batch_size": 8, "seed": 4},
    }
    assert names(place, pets, {}, other)[1] == "64, lr 0.01, dropout 0.1, 3 epochs"


def test_runs_on_another_number_of_photos_say_it(place, pets):
    runs = [add_run(place, pets) for _ in range(2)]
    for run, count in zip(runs, (2010, 2009), strict=True):
        write_json(run.run_dir / ORIGIN_FILE, {**run.origin, "num_images": count})

    assert list(run_names(runs).values()) == ["2,010 photos", "2,009 photos"]


def test_a_name_that_a_person_gave_stays(place, pets):
    first, second = add_run(place, pets), add_run(place, pets, learning_rate=0.01)
    rename_run(first, "The good one")

    assert run_names([first, second]) == {first.id: "The good one", second.id: "lr 0.01"}


def test_runs_of_equal_settings_are_told_apart_by_their_time(place, pets):
    runs = [add_run(place, pets) for _ in range(3)]
    moments = (
        "2026-03-01T10:00:05+00:00",
        "2026-03-01T11:00:00+00:00",
        "2026-03-01T11:00:20+00:00",
    )
    for run, moment in zip(runs, moments, strict=True):
        update_status(run.run_dir, created=moment)
    found = run_names(runs)

    assert len(set(found.values())) == 3
    assert found[runs[0].id] == f"256, lr 0.001, frozen, {runs[0].created.astimezone():%H:%M}"
    assert found[runs[1].id].endswith(":00")
    assert found[runs[2].id].endswith(":20")


def test_runs_of_one_moment_are_told_apart_by_their_id(place, pets):
    runs = [add_run(place, pets) for _ in range(2)]
    for run in runs:
        update_status(run.run_dir, created="2026-03-01T10:00:05+00:00")
    found = run_names(runs)

    assert all(found[run.id].endswith(f"({run.id})") for run in runs)


def test_a_damaged_run_is_named_by_its_folder(place, pets):
    run, other = add_run(place, pets), add_run(place, pets)
    write_text(run.run_dir / CONFIG_FILE, "{")

    assert run_names([Run(run.run_dir), other])[run.id] == run.id


def test_there_may_be_no_runs(place):
    assert run_names([]) == {}
