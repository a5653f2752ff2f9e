"""Dataset and run in the address: every way to another page takes them along."""

import re
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from app_helpers import (
    CLASSIFY,
    DATA,
    ROOT,
    TRAIN,
    assert_sound,
    finished_run,
    open_page,
    texts,
)

from tl_core.config.training import AugmentConfig
from tl_core.files import read_json
from tl_core.runs.files import end_run
from tl_core.runs.store import archive_run, create_run, delete_run, rename_run
from ui.datasets.picker import dataset_id, open_folder
from ui.shared import address
from ui.shell.sidebar import PAGES

EVALUATE = "pages/4_Evaluate.py"
AUGMENTED = {"augment": AugmentConfig(rotation=0.1).model_dump(), "data_tabs": "Augmentation"}
BUTTONS = [  # page, session, whether there is a run, the button, where it leads
    (None, {}, False, "next_step", "Data"),
    (None, {"seen_data": True}, False, "next_step", "Train"),
    (None, {}, True, "next_step", "Classify"),
    (DATA, {}, True, "go_train", "Train"),
    (DATA, AUGMENTED, True, "augment_train", "Train"),
    (TRAIN, {}, True, "go_classify", "Classify"),
    (TRAIN, {}, True, "go_evaluate", "Evaluate"),
    (CLASSIFY, {}, False, "empty_state_next", "Train"),
    (EVALUATE, {}, False, "empty_state_next", "Train"),
]


@pytest.fixture
def own(workspace, dataset, make_dataset):
    """A person's own dataset, beside the sample set."""
    return make_dataset({"cup": 6, "jar": 5}, workspace.datasets_dir / "my kitchen")


def said(at):
    """Return the page's notification without the escapes of Markdown."""
    return at.toast[0].value.replace("\\", "")


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize(("page", "session", "has_run", "key", "title"), BUTTONS)
def test_every_button_to_another_page_keeps_dataset_and_run(
    workspace, own, make_dataset, tmp_path, opened, page, session, has_run, key, title
):
    if opened:
        folder = make_dataset({"cup": 6, "jar": 5}, tmp_path / "elsewhere" / "my kitchen")
        name = open_folder(workspace, str(folder)).id
    else:
        folder, name = own, "my kitchen"
    run = None
    if has_run:
        run = finished_run(workspace, folder, class_names=("cup", "jar")).id
        finished_run(workspace, folder, class_names=("cup", "jar"))
    at = open_page(page, dataset=name, run=run, **session)
    at.button(key=key).click().run()
    assert not at.exception
    assert at.title[0].value == title
    assert at.query_params == {"dataset": name} | ({"run": run} if has_run else {})
    assert at.selectbox(key="dataset").value == name
    if has_run and title != "Data":
        assert at.selectbox(key="run").value == run


@pytest.mark.parametrize("page", [None, DATA, TRAIN, CLASSIFY])
def test_every_link_to_another_page_names_dataset_and_run(workspace, own, page):
    run = finished_run(workspace, own).id
    finished_run(workspace, own)
    at = open_page(page, dataset="my kitchen", run=run, data_tabs="Split")
    assert_sound(at)
    links = [parse_qs(link.proto.query_string) for link in at.get("page_link")]
    assert len(links) == len(PAGES) + {None: 4}.get(page, 0)
    assert links == [{"dataset": ["my kitchen"], "run": [run]}] * len(links)


def test_only_one_module_touches_the_address_or_leads_to_a_page():
    out_of_hand = re.compile(r"st\.(switch_page|page_link|query_params)|query-params")
    found = {
        str(path.relative_to(ROOT))
        for folder in ("ui", "pages")
        for path in [*(ROOT / folder).rglob("*.py"), ROOT / "app.py"]
        if out_of_hand.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"ui/shared/address.py"}


def go_back(at, monkeypatch, query_params):
    """Run the page as after Back in the browser, which ``AppTest`` does not know."""
    at.query_params = query_params
    with monkeypatch.context() as patch:
        patch.setattr(address, "_is_back_or_forward", lambda: True)
        at.run()


def test_a_choice_of_dataset_is_in_the_address_and_back_leads_from_it(workspace, own, monkeypatch):
    at = open_page(DATA)
    assert at.query_params == {"dataset": "sample"}
    at.selectbox(key="dataset").set_value("my kitchen").run()
    assert at.query_params == {"dataset": "my kitchen"}
    go_back(at, monkeypatch, {"dataset": "sample"})
    assert_sound(at)
    assert at.selectbox(key="dataset").value == "sample"
    assert not at.toast
    go_back(at, monkeypatch, {})  # to where no dataset was named changes none
    assert at.query_params == {"dataset": "sample"}


@pytest.mark.parametrize("num_runs_between", [0, 2])  # begun by the server, not the browser
def test_a_click_sent_with_the_address_before_the_last_choice_undoes_no_choice(
    workspace, own, num_runs_between
):
    at = open_page(DATA)
    at.run()
    at.selectbox(key="dataset").set_value("my kitchen").run()
    for _ in range(num_runs_between):
        at.run()
    at.query_params = {"dataset": "sample"}  # the browser did not have the new address yet
    at.run()
    assert at.selectbox(key="dataset").value == "my kitchen"
    assert at.query_params == {"dataset": "my kitchen"}


def test_a_choice_of_run_is_in_the_address_and_back_leads_from_it(workspace, own, monkeypatch):
    old, new = (finished_run(workspace, own) for _ in range(2))
    at = open_page(TRAIN, dataset="my kitchen")
    assert at.selectbox(key="run").value == new.id
    assert at.query_params == {"dataset": "my kitchen"}
    at.selectbox(key="run").set_value(old.id).run()
    assert at.query_params == {"dataset": "my kitchen", "run": old.id}
    go_back(at, monkeypatch, {"dataset": "my kitchen"})
    assert_sound(at)
    assert at.selectbox(key="run").value == new.id


@pytest.mark.parametrize("name", ["no such set", "Sample set: pizza, burger, taco"])
def test_an_address_that_names_no_dataset_is_said(workspace, own, name):
    at = open_page(DATA, dataset=name)
    assert_sound(at)
    assert at.query_params == {"dataset": "sample"}
    at = open_page(dataset=name)
    assert said(at).startswith(f"'{name}' is gone. Shown now: Sample")


@pytest.mark.parametrize("page", [TRAIN, CLASSIFY])
def test_an_address_that_names_no_run_of_the_page_is_said(workspace, own, page):
    run = finished_run(workspace, own)
    gone = finished_run(workspace, own)
    delete_run(gone)
    at = open_page(page, dataset="my kitchen", run=gone.id)
    assert_sound(at)
    assert at.selectbox(key="run").value == run.id
    assert at.query_params == {"dataset": "my kitchen"}
    assert said(at).startswith(f"The run {gone.id} cannot be shown here")


def test_a_run_shown_without_a_choice_is_for_its_page_alone(workspace, own):
    run = finished_run(workspace, own)
    failed = create_run(workspace.runs_dir, run.config, own)
    end_run(failed.run_dir, "failed", "no memory")
    at = open_page(TRAIN, dataset="my kitchen")
    assert at.selectbox(key="run").value == failed.id
    at.switch_page(CLASSIFY).run()
    assert_sound(at)
    assert at.selectbox(key="run").value == run.id
    assert not at.toast


def test_a_click_on_a_run_that_is_gone_does_nothing_to_another(workspace, own):
    kept = finished_run(workspace, own)
    gone = finished_run(workspace, own)
    at = open_page(TRAIN, dataset="my kitchen")
    rename_run(gone, "the good one")  # both in another tab
    archive_run(gone)
    at.button(key="archive_run").click().run()
    assert_sound(at)
    assert not kept.is_archived
    assert said(at).startswith("The run the good one cannot be shown here")


def test_a_plain_address_opens_the_dataset_last_worked_on(workspace, own, make_dataset):
    make_dataset({"fox": 6, "owl": 5}, workspace.datasets_dir / "woods")
    last = workspace.datasets_dir / "last.json"
    open_page(DATA, dataset="woods")
    assert not last.exists()  # merely looking at an address is no work
    open_page(DATA).selectbox(key="dataset").set_value("my kitchen").run()
    assert read_json(last) == {"dataset": "my kitchen"}
    open_page(DATA, dataset="woods")
    at = open_page()
    assert at.query_params == {"dataset": "my kitchen"}
    assert "11 photos in 2 classes" in texts(at)
    at = open_page(TRAIN, dataset="woods")
    at.button(key="start_training").click().run()
    assert_sound(at)
    assert open_page().query_params == {"dataset": "woods"}


@pytest.mark.parametrize("content", ["", "[]", '{"dataset": 3}', "{}"])
def test_a_damaged_memory_of_the_last_dataset_is_none(workspace, own, content):
    (workspace.datasets_dir / "last.json").write_text(content)
    assert open_page().query_params == {"dataset": "sample"}


def test_equal_names_in_different_places_are_two_datasets(workspace, own, tmp_path):
    folders = [workspace.datasets_dir / "photos", tmp_path / "a/photos", tmp_path / "b/photos"]
    ids = [dataset_id(workspace, folder) for folder in folders]
    assert ids[0] == "photos"
    assert len(set(ids)) == 3
    assert all(re.fullmatch(r"folder-[0-9a-f]{12}", name) for name in ids[1:])
    assert ids == [dataset_id(workspace, Path(str(folder))) for folder in folders]


def test_a_name_that_no_address_can_hold_has_an_id_all_the_same(workspace):
    odd = dataset_id(workspace, workspace.datasets_dir / "caf\udce9")
    assert re.fullmatch(r"folder-[0-9a-f]{12}", odd)


def test_the_names_in_the_address_keep_their_order(workspace, own):
    """In another order the browser takes them for a step to go back."""
    runs = [finished_run(workspace, own, class_names=("cup", "jar")).id for _ in range(2)]
    at = open_page(DATA, dataset="my kitchen", run=runs[0])
    at.session_state["data_tabs"] = "Split"
    at.run()
    assert list(at.query_params) == ["dataset", "run", "tab"]
    at.selectbox(key="dataset").set_value("sample").run()
    assert list(at.query_params) == ["dataset", "tab"]
    assert at.query_params["tab"] in ("Split", ["Split"])
