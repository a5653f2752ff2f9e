"""A project exported on one machine and imported on another; hostile zips are refused whole."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from pathlib import Path

import pytest
from made_project import add_run, add_search, exclude

from tl_core import evaluate_run, load_predictor
from tl_core.data.curation.store import choose_layout, load_dataset, load_decisions
from tl_core.data.ingest.labels import label_photos
from tl_core.errors import ArchiveError, DatasetError, Stopped
from tl_core.files import write_json
from tl_core.progress import Monitor
from tl_core.projects.archive import export_project, import_project
from tl_core.projects.registry import (
    list_projects,
    load_project,
    open_folder,
    rename_project,
    runs_of,
    searches_of,
)
from tl_core.projects.trash import list_deleted
from tl_core.runs.files import ORIGIN_FILE, STATUS_FILE
from tl_core.runs.store import create_run
from tl_core.workspace import Workspace


@pytest.fixture
def there(tmp_path: Path) -> Workspace:
    """Return the workspace of another machine."""
    return Workspace(tmp_path / "there")


def files_of(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_a_project_arrives_with_photos_decisions_runs_and_searches(place, pets, there, tmp_path):
    run, search = add_run(place, pets, name="first"), add_search(place, pets)
    exclude(place, pets, "cat/0.png")
    rename_project(place, load_project(place, "pets"), "Our pets")
    report = export_project(place, load_project(place, "pets"), tmp_path / "pets.zip")
    assert (report.num_files, report.num_runs, report.num_searches) == (12, 1, 1)

    project = import_project(there, tmp_path / "pets.zip")
    (arrived,) = runs_of(there, project)
    assert (project.id, project.title, project.is_ours) == ("pets", "Our pets", True)
    assert files_of(project.path) == files_of(pets)
    assert (arrived.id, arrived.name, arrived.state) == (run.id, "first", "finished")
    assert arrived.data_dir == there.datasets_dir / "pets"
    assert arrived.split() == run.split()
    assert [one.id for one in searches_of(there, project)] == [search.id]
    assert load_dataset(project.path, there).num_images == 11
    assert list_deleted(there) == []


def test_a_run_of_the_first_version_gives_the_same_figures_on_the_other_machine(
    old, there, tmp_path
):
    (before,) = runs_of(old, load_project(old, "shapes"))
    export_project(old, load_project(old, "shapes"), tmp_path / "shapes.zip")
    (after,) = runs_of(there, import_project(there, tmp_path / "shapes.zip"))
    image = there.datasets_dir / "shapes" / "disc" / "1.png"

    first, second = evaluate_run(before.run_dir), evaluate_run(after.run_dir)
    assert (first.accuracy, first.log_loss) == (second.accuracy, second.log_loss)
    (one,) = load_predictor(before.run_dir).predict([image])
    (other,) = load_predictor(after.run_dir).predict([image])
    assert one.top == other.top


def test_an_import_beside_the_original_is_a_project_of_its_own(place, pets, tmp_path):
    run = add_run(place, pets)
    rename_project(place, load_project(place, "pets"), "Mine")
    export_project(place, load_project(place, "pets"), tmp_path / "pets.zip")
    copy = import_project(place, tmp_path / "pets.zip")

    assert (copy.id, copy.title) == ("pets-2", "Mine (2)")
    assert [one.id for one in runs_of(place, copy)] == [f"{run.id}-2"]
    assert [one.id for one in runs_of(place, load_project(place, "pets"))] == [run.id]


def test_a_continued_run_still_names_the_one_it_came_from(place, pets, tmp_path):
    first, second = add_run(place, pets), add_run(place, pets)
    write_json(second.run_dir / ORIGIN_FILE, {**second.origin, "from_run": first.id})
    export_project(place, load_project(place, "pets"), tmp_path / "pets.zip")
    copies = runs_of(place, import_project(place, tmp_path / "pets.zip"))
    (continued,) = [run for run in copies if "from_run" in run.origin]
    (source,) = [run for run in copies if run != continued]

    assert continued.origin["from_run"] == source.id
    assert {first.id, second.id}.isdisjoint({continued.id, source.id})


def test_a_folder_elsewhere_becomes_a_dataset_of_the_workspace(place, photos, there, tmp_path):
    add_run(place, photos)
    export_project(place, open_folder(place, photos), tmp_path / "photos.zip")
    project = import_project(there, tmp_path / "photos.zip")

    assert (project.path, project.is_ours) == (there.datasets_dir / "photos", True)


def test_names_that_some_systems_refuse_travel_with_their_decisions(place, pets, there, tmp_path):
    (pets / "cat" / "0.png").rename(pets / "cat" / "a:b.png")
    exclude(place, pets, "cat/a:b.png")
    export_project(place, load_project(place, "pets"), tmp_path / "pets.zip")
    project = import_project(there, tmp_path / "pets.zip")

    assert (project.path / "cat" / "a_b.png").is_file()
    assert set(load_decisions(there, project.path).current) == {"cat/a_b.png"}
    assert load_dataset(project.path, there).num_images == 11


def test_label_lists_go_along_and_other_files_are_named(place, pets, tmp_path):
    (pets / "labels.csv").write_text("file,class\n")
    (pets / "setup.exe").write_bytes(b"MZ")
    (pets / ".hidden").write_text("x")
    outside = tmp_path / "secret.png"
    outside.write_bytes(b"secret")
    (pets / "cat" / "link.png").symlink_to(outside)
    report = export_project(place, load_project(place, "pets"), tmp_path / "pets.zip")
    with zipfile.ZipFile(tmp_path / "pets.zip") as archive:
        names = archive.namelist()

    assert report.skipped == ("setup.exe",)
    assert "data/labels.csv" in names
    assert not [name for name in names if "link" in name or "hidden" in name]


@pytest.mark.parametrize("source", ["labels", "table", "names", "groups"])
def test_classes_and_groups_arrive_whatever_they_are_made_of(
    place, make_dataset, there, tmp_path, source
):
    home = make_dataset({"any": 8}, place.datasets_dir / source)
    class_of = {f"{n}.png": ("cat", "dog")[n % 2] for n in range(8)}
    for name, class_name in class_of.items():
        file = f"{class_name}_{name}" if source in ("names", "groups") else name
        (home / "any" / name).rename(home / file)
    (home / "any").rmdir()
    if source == "table":
        lines = [f"{name},{class_name}" for name, class_name in class_of.items()]
        (home / "truth.csv").write_text("\n".join(("photo,kind", *lines)))
    if source == "labels":
        label_photos(home, class_of, place)
    if source == "groups":
        choose_layout(place, home, "names:{class}_{n}?group=name:{group}_{n}")
    exported = load_dataset(home, place)
    export_project(place, load_project(place, source), tmp_path / "one.zip")

    index = load_dataset(import_project(there, tmp_path / "one.zip").path, there)

    assert index.class_counts() == {"cat": 4, "dog": 4}
    assert index.fingerprint == exported.fingerprint
    assert {record.group for record in index.records} == (
        {"cat", "dog"} if source == "groups" else {None}
    )


def test_a_run_under_way_is_left_out(place, pets, tmp_path):
    create_run(place.runs_dir, add_run(place, pets).config, pets)
    report = export_project(place, load_project(place, "pets"), tmp_path / "pets.zip")

    assert report.num_runs == 1


def test_an_export_is_whole_or_not_there(place, pets, tmp_path):
    out = tmp_path / "out" / "pets.zip"
    with pytest.raises(Stopped):
        export_project(
            place, load_project(place, "pets"), out, monitor=Monitor(should_stop=lambda: True)
        )
    assert list(out.parent.iterdir()) == []

    out.write_bytes(b"mine")
    with pytest.raises(DatasetError, match="Choose another name"):
        export_project(place, load_project(place, "pets"), out)
    assert out.read_bytes() == b"mine"


def test_places_that_cannot_take_an_export_are_refused(place, pets, tmp_path):
    project = load_project(place, "pets")
    for out in (pets / "cat" / "pets.zip", tmp_path / "pets.tar"):
        with pytest.raises(DatasetError, match=r"ends in '\.zip'"):
            export_project(place, project, out)
    add_run(place, pets)
    pets.rename(tmp_path / "away")
    with pytest.raises(DatasetError, match="Re-link it"):
        export_project(place, project, tmp_path / "pets.zip")


def repack(source: Path, changes: dict[str, bytes | None], extra: dict[str, bytes]) -> io.BytesIO:
    """Return a zip with some entries replaced, removed (None) or added."""
    out = io.BytesIO()
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(out, "w") as made:
        for name in archive.namelist():
            content = changes.get(name, archive.read(name))
            if content is not None:
                made.writestr(name, content)
        for name, content in extra.items():
            made.writestr(name, content)
    return out


@pytest.fixture
def exported(place, pets, tmp_path):
    """Return the zip of a project with a run and a search, and the run's id."""
    run = add_run(place, pets)
    add_search(place, pets)
    export_project(place, load_project(place, "pets"), tmp_path / "pets.zip")
    return tmp_path / "pets.zip", run.id


def assert_nothing_taken(there: Workspace, source: io.BytesIO | Path, reason: str) -> None:
    with pytest.raises(ArchiveError, match=reason):
        import_project(there, source)
    assert list_projects(there) == []
    assert list_deleted(there) == []
    assert files_of(there.root) == []


DEEP = b"[" * 200_000


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({"../outside.json": b"{}"}, "leads out"),
        ({"/etc/passwd": b"x"}, "absolute path"),
        ({"runs/../../x.json": b"{}"}, "leads out"),
        ({"runs/evil/model.keras": b"x"}, "not part of an exported project"),
        ({"runs/evil/weights.pkl": b"x"}, "not part of an exported project"),
        ({"runs/evil/sub/x.json": b"{}"}, "not part of an exported project"),
        ({"cache/features.sqlite": b"x"}, "not part of an exported project"),
        ({"projects.json": b"{}"}, "not part of an exported project"),
        ({"data/cat/tool.exe": b"MZ"}, "neither a photo nor a list"),
        ({"data/cat/con.png": b"x"}, "not part of an exported project"),
        ({"data/CAT/0.PNG": b"x", "data/CAT/0.png": b"y"}, "not part of an exported project"),
        ({"runs/evil/status.json": b"{}"}, "is no run or search"),
        ({"runs/evil/origin.json": b"[]", "runs/evil/status.json": b"{}"}, "is no run or search"),
        ({"runs/evil/config.json": DEEP}, "cannot be read"),
        ({"decisions.json": DEEP}, "cannot be read"),
        ({"decisions.json": b'{"schema": 1, "steps": 3}'}, "cannot be read"),
    ],
)
def test_an_entry_that_no_export_has_refuses_the_whole_zip(exported, there, extra, reason):
    assert_nothing_taken(there, repack(exported[0], {}, extra), reason)


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (None, "has no project.json"),
        (b"[]", "cannot be read"),
        (b"{}", "cannot be read"),
        (b'{"schema": 2, "id": "a", "folder_name": "a"}', "up to 1"),
        (b'{"schema": 1, "id": "a", "folder_name": 3}', "where text is expected"),
        (b'{"schema": 1, "id": "a", "folder_name": "a", "other": 1}', "cannot be read"),
        (json.dumps({"schema": 1, "id": "a", "folder_name": "a", "title": "x" * 99}), "too long"),
        (json.dumps({"schema": 1, "id": "a", "folder_name": "a", "layout": "no!"}), "cannot be"),
        (DEEP, "cannot be read"),
    ],
)
def test_a_manifest_that_cannot_be_read_refuses_the_zip(exported, there, manifest, reason):
    assert_nothing_taken(there, repack(exported[0], {"project.json": manifest}, {}), reason)


def test_a_manifest_cannot_choose_where_things_go(exported, there, tmp_path):
    manifest = {
        **{"schema": 1, "id": "..", "folder_name": "../../outside"},
        **{"data_dir": str(tmp_path / "a"), "target": str(tmp_path / "b")},
    }
    made = repack(exported[0], {"project.json": json.dumps(manifest).encode()}, {})
    project = import_project(there, made)

    assert project.path.parent == there.datasets_dir
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()
    assert not (tmp_path / "outside").exists()


def test_an_imported_run_points_to_nothing_outside(exported, there, tmp_path):
    source, run_id = exported
    origin = {"data_dir": "/etc", "workspace": "/", "from_run": "../../x"}
    status = {"schema": 1, "state": "running", "pid": 1, "pid_create_time": 0.0}
    changes = {
        f"runs/{run_id}/{ORIGIN_FILE}": json.dumps(origin).encode(),
        f"runs/{run_id}/{STATUS_FILE}": json.dumps(status).encode(),
    }
    project = import_project(there, repack(source, changes, {}))
    (run,) = runs_of(there, project)

    assert run.data_dir == project.path
    assert run.workspace.root == there.root
    assert "from_run" not in run.origin
    assert (run.state, run.is_active) == ("stopped", False)


def test_a_symbolic_link_is_refused(exported, there):
    made = repack(exported[0], {}, {})
    with zipfile.ZipFile(made, "a") as archive:
        link = zipfile.ZipInfo("data/cat/link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert_nothing_taken(there, made, "symbolic link")


def test_a_zip_of_photos_is_told_where_it_belongs(there):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("data/cat/0.png", b"x")
    assert_nothing_taken(there, made, "added on the Data page")


def test_what_a_mac_adds_when_it_packs_again_is_passed_over(exported, there):
    extra = {"__MACOSX/data/._0.png": b"x", "data/cat/.DS_Store": b"x"}
    project = import_project(there, repack(exported[0], {}, extra))

    assert len(files_of(project.path)) == 12


def test_limits_are_named(exported, there):
    source, _ = exported
    with pytest.raises(ArchiveError, match="more than 5 entries"):
        import_project(there, source, max_files=5)
    with pytest.raises(ArchiveError, match="the limit is"):
        import_project(there, source, max_bytes=1000)


def test_a_stopped_import_leaves_nothing(exported, there):
    with pytest.raises(Stopped):
        import_project(there, exported[0], monitor=Monitor(should_stop=lambda: True))
    assert files_of(there.root) == []


def test_a_damaged_photo_in_the_zip_refuses_it(exported, there):
    data = bytearray(exported[0].read_bytes())
    place = data.find(b"IDAT")
    data[place + 8] ^= 0xFF
    assert_nothing_taken(there, io.BytesIO(bytes(data)), "checksum differs")


def test_the_zip_tells_nothing_of_the_machine_it_comes_from(place, photos, tmp_path):
    add_run(place, photos)
    export_project(place, open_folder(place, photos), tmp_path / "photos.zip")
    with zipfile.ZipFile(tmp_path / "photos.zip") as archive:
        manifest = json.loads(archive.read("project.json"))

    assert manifest["data_dir"] == ""
