import json
import os
import signal

import pytest

from tl_core.errors import TLError
from tl_core.search import run as sweep_module
from tl_core.search.store import list_sweeps
from tl_core.workspace import Workspace

SETTINGS = ["--backbone", "tiny", "--epochs", "2", "--quiet"]
CHOICES = ["--search", "grid", "--folds", "2"]
CHOICES += ["--fc-layers-choices", "none/8,4", "--dropout-choices", "0.25"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Workspace(tmp_path_factory.mktemp("place"))


@pytest.fixture(autouse=True)
def shared_workspace(monkeypatch, place):
    monkeypatch.setenv("TL_WORKSPACE", str(place.root))


@pytest.fixture
def data_dir(make_dataset):
    return make_dataset({"cat": 14, "dog": 14})


def test_find_lr_prints_the_curve_the_rate_and_why(cli, data_dir):
    code, out, err = cli("find-lr", data_dir, *SETTINGS)
    assert (code, err) == (0, "")
    assert out.splitlines()[0].split() == ["learning", "rate", "loss", "smoothed"]
    code, out, _ = cli("find-lr", data_dir, *SETTINGS, "--json")
    values = json.loads(out)
    assert code == 0
    assert set(values) == {"suggestion", "reason", "learning_rates", "losses", "smoothed"}
    assert len(values["learning_rates"]) == len(values["smoothed"]) > 20


def test_sweep_tries_the_choices_and_names_one_head(cli, data_dir, place):
    words = ("sweep", data_dir, *SETTINGS, *CHOICES, "--learning-rate-choices", "0.001,0.01")
    code, out, err = cli(*words, "--json")
    assert (code, err) == (0, "")
    values = json.loads(out)
    assert (values["state"], values["num_trials"], len(values["trials"])) == ("finished", 4, 4)
    settings = [trial["settings"] for trial in values["trials"]]
    assert {(*one["fc_layers"], one["learning_rate"]) for one in settings} == {
        (0.001,),
        (0.01,),
        (8, 4, 0.001),
        (8, 4, 0.01),
    }
    accuracies = [trial["val_accuracy"] for trial in values["trials"]]
    assert accuracies == sorted(accuracies, reverse=True)
    first = values["trials"][0]
    assert first["val_accuracy"] == pytest.approx(sum(first["accuracies"]) / 2)
    assert values["suggested"] in {one["number"] for one in values["trials"] if one["is_tied"]}
    assert list_sweeps(place)[0].base.epochs == 2
    code, out, _ = cli(*words)
    lines = out.splitlines()
    assert lines[0].split() == ["accuracy", "loss", "FC", "layers", "learning", "rate"]
    assert sum("suggested" in line for line in lines[:5]) == 1
    assert "within one standard error" in out


def test_ctrl_c_keeps_the_heads_tried_and_resume_tries_the_others(
    cli, data_dir, place, monkeypatch
):
    fit, fits = sweep_module.fit_head, []

    def fit_and_interrupt(*arguments):
        fits.append(1)
        if len(fits) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return fit(*arguments)

    monkeypatch.setattr(sweep_module, "fit_head", fit_and_interrupt)
    monkeypatch.setattr(sweep_module, "num_cores", lambda: 1)
    rates = ",".join(str(number / 1000) for number in range(1, 21))
    code, out, _ = cli("sweep", data_dir, *SETTINGS, *CHOICES, "--learning-rate-choices", rates)
    assert code == 130
    made = list_sweeps(place)[0]
    assert made.state == "stopped"
    before = made.trials()
    assert 1 <= len(before) < 40
    assert str(made.sweep_dir) in out

    monkeypatch.setattr(sweep_module, "fit_head", fit)
    code, out, _ = cli("sweep", "--resume", made.sweep_dir, "--quiet", "--json")
    values = json.loads(out)
    assert (code, values["state"], len(values["trials"])) == (0, "finished", 40)
    assert made.trials()[: len(before)] == before
    code, _, err = cli("sweep", "--resume", made.sweep_dir)
    assert (code, err) == (
        2,
        f"Error: Expected a search that ended early, but '{made.id}' is finished.\n",
    )


def test_a_search_in_which_every_head_fails_is_a_failure(cli, data_dir, monkeypatch):
    def fail(*_):
        raise TLError("The well has run dry.")

    monkeypatch.setattr(sweep_module, "fit_head", fail)
    words = ("sweep", data_dir, *SETTINGS, *CHOICES, "--learning-rate-choices", "0.001")
    code, out, err = cli(*words, "--json")
    assert (code, err) == (2, "Error: No head could be trained. The well has run dry.\n")
    assert json.loads(out)["best"] is None
    code, out, err = cli(*words)
    assert (code, err) == (2, "Error: No head could be trained. The well has run dry.\n")
    assert "search  " in out


def test_one_head_alone_is_not_told_in_the_plural(cli, data_dir):
    words = ("sweep", data_dir, *SETTINGS, "--trials", "1", "--folds", "2")
    assert "No other head is within one standard error" in cli(*words)[1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--fc-layers-choices", "none/wide"], "expected whole numbers"),
        (["--dropout-choices", "half"], "received 'half'"),
        (["--learning-rate-choices", "2"], "Setting 'learning_rate.0'"),
        (["--backbone-choices", "tinny"], "received 'tinny'"),
        (["--folds", "1"], "Setting 'folds'"),
        (["--search", "best"], "Setting 'search'"),
        (["--search", "grid", "--trials", "5"], "give no --trials"),
    ],
)
def test_choices_that_do_not_fit_are_refused_in_words(cli, data_dir, words, told):
    code, out, err = cli("sweep", data_dir, *words)
    assert (code, out) == (2, "")
    assert err.startswith("Error: ")
    assert told in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "Expected DATA_DIR"),
        (["--resume", "nowhere"], "Expected the folder of a search"),
        (["--resume", "nowhere", "--epochs", "3"], "knows its data and settings"),
        (["--resume", "nowhere", "--folds", "3"], "knows its data and settings"),
        (["food", "--resume", "nowhere"], "knows its data and settings"),
        (["--resume", "nowhere", "--workspace", "x"], "give no --workspace"),
    ],
)
def test_a_search_is_named_by_its_data_or_its_folder(cli, words, told):
    code, out, err = cli("sweep", *words)
    assert (code, out) == (2, "")
    assert err.startswith("Error: ")
    assert told in err
