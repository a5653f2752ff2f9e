from types import SimpleNamespace

import pytest
from app_helpers import DATA, TRAIN, assert_sound, open_page, sample_folder, send, texts, tiles

import ui.data.map
from tl_core.analysis import explore
from tl_core.analysis.cache import ExploreFiles, Measured
from tl_core.analysis.learning_curve import CurvePoint, LearningCurve
from tl_core.config.training import TrainConfig
from tl_core.data.audit.findings import Finding
from tl_core.data.curation.store import load_dataset
from tl_core.data.dataset import scan_dataset
from tl_core.data.split import split_dataset
from tl_core.errors import MemoryLimitError
from tl_core.features.spec import FeatureSpec
from tl_core.jobs.handlers import KINDS, JobContext
from tl_core.jobs.training import JobQueue
from tl_core.metrics.classification import wilson_interval
from tl_core.progress import Monitor
from ui.data.map import ABOUT_MAP
from ui.data.split import copies_apart, curve_words, half_width, images_needed

TINY = {"train.backbone": "tiny"}
MAP = {"data_tabs": "Map", **TINY}
SPLIT = {"data_tabs": "Split", **TINY}


@pytest.fixture
def dataset(workspace, make_dataset):
    return make_dataset({"cat": 20, "dog": 20}, sample_folder(workspace), size=(80, 64))


@pytest.fixture(autouse=True)
def features(drawn_features, monkeypatch):
    """Neither a backbone nor t-SNE has to run here."""
    monkeypatch.setattr(explore, "_tsne_in_child", lambda features, stop: features[:, :2])


def work(workspace, *kinds):
    """Do the waiting jobs of these kinds, as the worker would."""
    queue = JobQueue(workspace)
    for job in queue.jobs():
        if job.kind in kinds:
            KINDS[job.kind].run(JobContext(workspace, job, Monitor()))
            queue.finish(job.id)


def test_before_the_features_are_there_the_page_says_what_it_waits_for(workspace, dataset):
    at = open_page(DATA, **MAP)
    assert_sound(at)
    assert ABOUT_MAP in texts(at)
    assert not at.get("vega_lite_chart")


def test_the_map_comes_with_the_workers_result(workspace, dataset):
    open_page(DATA, **MAP)
    work(workspace, "explore")
    at = open_page(DATA, **MAP)
    assert_sound(at)
    assert len(at.get("vega_lite_chart")) == 1
    assert [job.kind for job in JobQueue(workspace).jobs() if job.kind == "explore"] == []


def test_neighbours_of_a_picture_are_listed_the_nearest_first(workspace, dataset):
    open_page(DATA, **MAP)
    work(workspace, "explore")
    at = open_page(DATA, map_picture="dog/4.png", **MAP)
    assert_sound(at)
    assert "(dog) and what is most like it" in texts(at)
    assert len(tiles(at)) == 13
    assert tiles(at)[0]["path"] == "dog/4.png"


@pytest.mark.parametrize(
    "selection",
    [
        '{"picked": 1, "region": 1}',
        '{"picked": [{"row": 9999}]}',
        '{"picked": [{"row": "x"}]}',
        '{"region": {"x": 1}}',
        '{"region": {"x": [1], "y": ["a", {}]}}',
    ],
)
def test_a_selection_that_the_map_does_not_have_is_none(workspace, dataset, selection):
    open_page(DATA, **MAP)
    work(workspace, "explore")
    at = open_page(DATA, **MAP)
    (chart,) = at.get("vega_lite_chart")
    send(at, (chart.proto.id, "string_value", f'{{"selection": {selection}}}'))
    assert_sound(at)
    assert "Drag over points to list their photos" in texts(at)


def test_a_clicked_picture_is_marked_at_once(workspace, dataset, monkeypatch):
    open_page(DATA, **MAP)
    work(workspace, "explore")
    marked = []
    drawn = ui.data.map.map_chart

    def chart(points, class_names):
        marked.append(points.loc[points["state"] == "chosen", "name"].tolist())
        return drawn(points, class_names)

    monkeypatch.setattr(ui.data.map, "map_chart", chart)
    row = next(
        place
        for place, record in enumerate(scan_dataset(dataset).records)
        if record.path == "dog/4.png"
    )
    monkeypatch.setattr(ui.data.map, "_selected", lambda kind: {"picked": [{"row": row}]})
    at = open_page(DATA, map_picture="cat/1.png", **MAP)
    assert_sound(at)
    assert marked[0] == ["4.png"]
    assert tiles(at)[0]["path"] == "dog/4.png"


def test_a_failure_is_told_and_can_be_tried_again(workspace, dataset):
    open_page(DATA, **MAP)
    (dataset / "cat" / "0.png").unlink()
    index = scan_dataset(dataset)
    at = open_page(DATA, **MAP)
    for config in (TrainConfig(backbone="tiny"), TrainConfig()):  # the chosen, and in its place
        spec = FeatureSpec.from_config(config)
        ExploreFiles(workspace.cache_dir, index, spec).write_failure("explore", "No weights.")
    at.run()
    assert "No weights." in at.warning[0].value
    assert "tiny could not be used" in texts(at)
    at.button(key="retry_explore").click().run()
    assert not at.warning
    assert "explore" in [job.kind for job in JobQueue(workspace).jobs()]


@pytest.mark.parametrize(("tab", "kind"), [(MAP, "explore"), (SPLIT, "curve")])
def test_what_needs_too_much_memory_says_so_in_its_place(
    workspace, dataset, monkeypatch, tab, kind
):
    def refuse(workspace, asked, *_, **__):
        raise MemoryLimitError(f"{asked} needs about 2.6 GB.")

    monkeypatch.setattr("tl_core.jobs.client.request", refuse)
    monkeypatch.setattr("tl_core.jobs.training.request", refuse)  # features ahead: not told
    at = open_page(DATA, **tab).run().run()  # then with the default backbone in its place
    assert [f"{kind} needs about 2.6 GB." in one.value for one in at.warning] == [True]
    assert not at.error
    at.button(key=f"retry_{kind}").click().run()
    assert [f"{kind} needs about 2.6 GB." in one.value for one in at.warning] == [True]
    assert not at.error


def test_the_split_is_the_one_that_training_makes(workspace, dataset):
    at = open_page(DATA, **SPLIT)
    assert_sound(at)
    told = texts(at)
    # 20 of a class at 70, 15 and 15 %: 14, 3 and 3.
    assert "**train** 28 (70 %), **val** 6 (15 %), **test** 6 (15 %)" in told


def test_the_split_obeys_the_train_pages_shares_and_the_decisions(workspace, dataset):
    shares = {"train.val_fraction": 0.2, "train.test_fraction": 0.0}
    at = open_page(DATA, **SPLIT, **shares)
    assert "**train** 32 (80 %), **val** 8 (20 %), as set" in texts(at)
    at = open_page(DATA, gallery_class="dog", gallery_search="1", **shares, **TINY)
    at.button(key="gallery_tick_all").click().run()
    at.button(key="gallery_exclude").click().run()  # 1 and 10 to 19
    assert load_dataset(dataset, workspace).num_images == 29
    at = open_page(DATA, **SPLIT, **shares)
    assert "**train** 23" in texts(at)  # 16 of 20 cats and 7 of 9 dogs


def test_near_copies_that_the_split_parts_are_called_out(dataset):
    index = scan_dataset(dataset)
    split = split_dataset(index, TrainConfig())
    path_in = {part: index.records[int(places[0])].path for part, places in split.items()}
    other = index.records[int(split.train[1])].path
    groups = ((path_in["train"], path_in["test"]), (path_in["train"], other))
    near = Finding("near_duplicate", "warning", "", (), groups=groups)
    exact = Finding("duplicate", "warning", "", (), groups=((path_in["val"], path_in["test"]),))
    view = SimpleNamespace(index=index, measured=Measured((near, exact), {}, False))
    (line,) = copies_apart(view, split)
    assert "1 photo has a near copy in another part" in line
    assert copies_apart(SimpleNamespace(index=index, measured=None), split) == []


def test_wide_intervals_are_called_out_with_what_it_takes(workspace, dataset):
    told = texts(open_page(DATA, **SPLIT))
    assert "On 6 test photos" in told
    assert "For ±5 points it takes about 150 test photos." in told
    assert "less precisely than ±5 points: dog" in told


def test_the_width_is_that_of_wilsons_interval():
    low, high = wilson_interval(90, 100)
    assert half_width(100, 0.9) == pytest.approx((high - low) / 2)
    # 0.0588 on 100; by the normal rule 1.96 * sqrt(0.09 / n) = 0.05 needs 138.
    assert 130 <= images_needed(0.9) <= 150
    assert images_needed(0.5) == pytest.approx(380, abs=10)


def test_the_learning_curve_is_drawn_when_the_worker_measured_it(workspace, dataset):
    at = open_page(DATA, **SPLIT)
    assert "curve" in [job.kind for job in JobQueue(workspace).jobs()]
    work(workspace, "curve")
    at = open_page(DATA, **SPLIT)
    assert_sound(at)
    assert len(at.get("vega_lite_chart")) == 2
    # A quarter of 40 is held out, here and there with a near copy more.
    assert (
        "With 29 photos to learn from and the rest held out, a simple classifier is right"
        in texts(at)
    )


def test_the_words_of_a_curve_give_the_gain_and_its_doubt():
    # error(n) = 0.4 * n ** -0.5: 0.04 at 100, 0.0283 at 200.
    points = (CurvePoint(25, (0.91, 0.93)), CurvePoint(100, (0.955, 0.965)))
    told = curve_words(LearningCurve(points, 0.0, 0.4, 0.5))
    assert (
        "100 photos to learn from and the rest held out, a simple classifier is right on 96" in told
    )
    assert "Twice as many would add about 1.2 points" in told
    assert "within the spread" not in told
    flat = curve_words(LearningCurve(points, 0.04, 0.0, 0.5))
    assert "would hardly change that" in flat


def test_the_shares_are_changed_where_all_settings_are_open(workspace, dataset):
    at = open_page(DATA, **SPLIT)
    at.button(key="change_shares").click().run()
    assert_sound(at)
    (settings,) = [one for one in at.expander if one.label == "More settings"]
    assert settings.proto.expanded
    (settings,) = [one for one in open_page(TRAIN).expander if one.label == "More settings"]
    assert not settings.proto.expanded
