"""The command line: what a person gets wrong is one line and exit code 2, and nothing half-written is left."""

import gzip
import inspect
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import IFD, Base

from data_files import write_csv
from pellucid import cli, settings
from pellucid.data.load import load_data
from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError
from pellucid.learn.history import History
from pellucid.learn.network import Network
from pellucid.see.patterns.pattern_files import load_images
from pellucid.settings import TrainSettings, dream_presets

NET = "net.safetensors"


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path, monkeypatch):
    """Every command runs in an empty folder, so that whatever it leaves behind is seen."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def small_net(tmp_path_factory):
    """An untrained network in a file."""
    path = tmp_path_factory.mktemp("nets") / NET
    Network("cnn-4-4-8-16", seed=1).save(path)
    return path


def refused(capsys, *words, code=2):
    """The one line with which the command is refused; nothing is on stdout, and no file is left behind."""
    before = {path: path.stat().st_mtime_ns for path in Path.cwd().rglob("*")}
    assert cli.main([str(word) for word in words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    for foreign in ("Traceback", "pydantic", "cyclopts", "validation error"):
        assert foreign not in err
    assert {path: path.stat().st_mtime_ns for path in Path.cwd().rglob("*")} == before
    return err.strip()


def done(capsys, *words):
    """What a command that succeeds prints on stdout."""
    assert cli.main([str(word) for word in words]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


VERBS = [
    "tour",
    "train",
    "evaluate",
    "average",
    "check",
    "layers",
    "models",
    "pattern",
    "patterns",
    "inspect",
    "dream",
    "judge",
    "atlas",
    "studio",
    "data",
    "clusters",
    "study",
]


def test_the_verbs_are_the_documented_ones():
    """Rejects a verb that was forgotten, or that appeared by accident."""
    assert sorted(cli.verbs()) == sorted(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_and_takes_a_seed(capsys, verb):
    """Rejects a verb without a first line, without words for an option, or without --seed."""
    told = done(capsys, verb, "--help")
    assert "--seed" in told
    assert cli.app[verb].help.strip()
    for argument in cli.app[verb].assemble_argument_collection(parse_docstring=True):
        assert argument.parameter.help or not argument.parse or argument.children, argument.name


def test_without_a_verb_help_is_shown(capsys):
    """Rejects a traceback, or silence, for the very first thing that people type."""
    assert "tour" in done(capsys)


def test_options_state_the_range_that_is_enforced(capsys):
    """Rejects help that was written by hand beside the settings."""
    told = " ".join(done(capsys, "train", "--help").replace("│", " ").split())
    for field in settings.TrainSettings.model_fields.values():
        assert field.description in told


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="of Linux")
def test_a_disk_that_is_full_of_what_is_printed_is_one_sentence(monkeypatch, capsys):
    """Rejects a traceback where a command's output is sent to a file on a full disk."""
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stdout", full)
        assert cli.main(["layers", "mnist-cnn"]) == 2
    assert capsys.readouterr().err.startswith("What is printed cannot be written (No space left on device); send it")


@pytest.mark.parametrize("verb", VERBS)
def test_help_lists_the_common_options_first_and_each_other_under_its_heading(verb):
    """Rejects one list of sixty options, a heading lost on its way, and one that is inherited by common options."""
    headings: dict[str, list[str]] = {}
    for argument in cli.app[verb].assemble_argument_collection(parse_docstring=True):
        for group in argument.parameter.group if argument.show else ():
            headings.setdefault(group.name, []).append(argument.name)
    assert len(headings["Common options"]) <= 18
    assert "--seed" in headings["Common options"]
    assert headings.keys() <= {"Arguments", *settings.HEADINGS}
    parameters = inspect.signature(cli.app[verb].default_command).parameters
    for group in (parameter.default for parameter in parameters.values()):
        for name, info in type(group).model_fields.items() if isinstance(group, settings.Settings) else ():
            if name not in parameters:
                assert f"--{name.replace('_', '-')}" in headings[info.json_schema_extra["heading"]]


def test_quiet_leaves_results_warnings_and_errors(capsys):
    """Rejects notes on stderr that stay, warnings and errors that go, and results that go."""
    images = np.random.default_rng(0).random((12, 1, 8, 7), dtype=np.float32)
    np.savez("small.npz", images=images, labels=np.arange(12) % 10)
    for quiet in ([], ["-q"], ["--quiet"]):
        assert cli.main([*quiet, "data", "--data", "small.npz"]) == 0
        out, err = capsys.readouterr()
        assert "train" in out
        assert bool(err) != bool(quiet)
    assert cli.main(["evaluate", "mnist-cnn", "--data", "small.npz", "-q"]) == 0
    out, err = capsys.readouterr()
    assert "Accuracy" in out
    assert "are resized to 1 x 28 x 28" in err
    assert cli.main(["-q", "layers", "nothing"]) == 2
    assert "There is no model 'nothing'" in capsys.readouterr().err


def test_verbose_tells_what_a_command_ran_on(capsys, small_net):
    """Rejects a report of a fault without versions, one on stdout, and one where nobody asked."""
    for words, ends in ((["layers", str(small_net), "-v"], 0), (["--verbose", "layers", "nothing"], 2)):
        assert cli.main(words) == ends
        out, err = capsys.readouterr()
        assert re.fullmatch(r"Pellucid \d.*, Python 3\.\d.*, numpy \d.* s, .* s of processors\.", err.splitlines()[-1])
        assert "processors" not in out
    assert cli.main(["layers", str(small_net)]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_the_shell_completes_commands_and_options(capsys, monkeypatch, tmp_path, shell):
    """Rejects completion without the options of commands, which are loaded late; and a traceback for a full disk."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("cyclopts.completion.install.powershell_profile", lambda: tmp_path / "profile.ps1")
    assert cli.main(["--install-completion", "--shell", shell, "--output", "completion"]) == 0
    assert "completion" in capsys.readouterr().out
    script = Path("completion").read_text()
    assert all(verb in script for verb in VERBS)
    assert "strength" in script
    Path("file").write_text("")
    line = refused(capsys, "--install-completion", "--shell", shell, "--output", "file/completion")
    assert "name another with --output" in line


# What is wrong with a command line itself.


def test_an_unknown_verb_lists_the_verbs(capsys):
    """Rejects cyclopts' box of several lines."""
    line = refused(capsys, "trian", "cnn-4-4-8-16")
    assert "no command 'trian'" in line
    assert "'train'" in line


def test_an_unknown_option_names_the_nearest(capsys):
    """Rejects an option that is swallowed, and a message without a hint."""
    line = refused(capsys, "train", "cnn-4-4-8-16", "--epohcs", "3")
    assert "'--epohcs'" in line
    assert "'--epochs'" in line


def test_an_option_of_another_verb_is_refused(capsys):
    """Rejects options that are silently ignored because some other verb knows them."""
    assert "'--epochs'" in refused(capsys, "layers", "mnist-cnn", "--epochs", "3")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--epochs", "-1"], "greater than or equal to 0"),
        (["--epochs", "99999999"], "10000"),
        (["--epochs", "three"], "integer"),
        (["--learning-rate", "0"], "greater than 0"),
        (["--learning-rate", "nan"], "finite"),
        (["--optimizer", "adma"], "'momentum'"),
        (["--seed", "-1"], "greater than or equal to 0"),
        (["--epochs"], "--epochs requires an argument"),
        (["--epochs", "1", "--epochs", "2"], "--epochs specified multiple times"),
        (["too-much"], "no use for 'too-much'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_value_out_of_range_says_what_is_allowed(capsys, words, said):
    """Rejects pydantic's page of text, and a value that is clipped without a word."""
    assert said in refused(capsys, "train", "cnn-4-4-8-16", *words)


def test_a_missing_argument_is_named(capsys):
    """Rejects a usage page where one word is missing."""
    line = refused(capsys, "train")
    assert "ARCHITECTURE" in line
    assert "pellucid train --help" in line


# What is wrong with names and files.


def test_an_unknown_architecture_names_the_nearest(capsys):
    """Rejects a KeyError."""
    assert "'cnn-4-4-8-16'" in refused(capsys, "train", "cnn-4-4-8")


def test_unknown_data_are_refused(capsys):
    """Rejects a download, or a traceback, for a misspelt name."""
    assert "'mnsit'" in refused(capsys, "train", "cnn-4-4-8-16", "--data", "mnsit")


def test_an_unknown_model_names_the_bundled_ones(capsys):
    """Rejects "file not found" for a misspelt name."""
    assert "'mnist-cn'" in refused(capsys, "layers", "mnist-cn")


@pytest.mark.parametrize("verb", ["layers", "evaluate", "check"])
def test_a_missing_file_is_named(capsys, verb):
    """Rejects a traceback of open()."""
    assert "'nowhere.safetensors'" in refused(capsys, verb, "nowhere.safetensors")


@pytest.mark.parametrize("words", [["layers"], ["evaluate"], ["patterns", "conv1"], ["pattern", "conv1", "0"]])
def test_a_text_file_is_no_model(capsys, words):
    """Rejects a parser's own exception, and whatever pickle would have done with it."""
    Path("model.safetensors").write_text("This is a letter, not a network.\n" * 20)
    verb, *rest = words
    assert "'model.safetensors'" in refused(capsys, verb, "model.safetensors", *rest)


def test_a_model_cut_short_is_refused(capsys, small_net):
    """Rejects a network with some of its weights."""
    Path(NET).write_bytes(small_net.read_bytes()[:-1000])
    assert NET in refused(capsys, "layers", NET)


def test_a_truncated_idx_is_refused(capsys, mnist_folder):
    """Rejects a data set with as many images as happened to arrive."""
    for file in mnist_folder.glob("*.gz"):
        shutil.copy(file, ".")
    name = "train-images-idx3-ubyte.gz"
    Path(name).chmod(0o644)
    Path(name).write_bytes((mnist_folder / name).read_bytes()[:100_000])
    line = refused(capsys, "train", "cnn-4-4-8-16", "--data", "mnist", "--data-dir", ".")
    assert name in line


def test_an_idx_shorter_than_it_declares_is_refused(capsys):
    """Rejects trust in the header of a file: the sum of the gzip is right here, only the images are missing."""
    header = bytes([0, 0, 8, 3, *(100).to_bytes(4), *(5).to_bytes(4), *(7).to_bytes(4)])
    Path("idx").mkdir()
    Path("idx/images-idx3-ubyte.gz").write_bytes(gzip.compress(header + bytes(99 * 35)))
    Path("idx/labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, *(100).to_bytes(4)]) + bytes(100))
    assert "images-idx3-ubyte.gz" in refused(capsys, "train", "cnn-4-4-8-16", "--data", "idx")


def test_an_unknown_layer_and_unit_name_the_valid_ones(capsys, small_net):
    """Rejects an IndexError, and a layer that is taken for the nearest one."""
    assert "'conv4'" in refused(capsys, "patterns", small_net, "conv5")
    assert "unit 16" in refused(capsys, "pattern", small_net, "conv4", "16")
    assert "unit -2" in refused(capsys, "patterns", small_net, "conv4", "--units", "3", "-2")


@pytest.mark.parametrize("suffix", [".gif", ".txt", ""])
def test_a_format_that_cannot_be_written_is_refused_before_the_work(capsys, small_net, suffix, monkeypatch):
    """Rejects a search whose result has nowhere to go."""
    monkeypatch.setattr("pellucid.see.patterns.api.patterns", lambda *_, **__: pytest.fail("the work had begun"))
    assert f"'out{suffix}'" in refused(capsys, "pattern", small_net, "conv1", "0", "--out", f"out{suffix}")


@pytest.mark.parametrize(
    ("work", "words"),
    [
        ("learn.training.train", ["train", "cnn-4-4-8-16", "--out", "nowhere/net.safetensors"]),
        ("see.patterns.api.pattern", ["pattern", "mnist-cnn", "conv1", "0", "--out", "nowhere/one.png"]),
        ("see.patterns.api.pattern", ["pattern", "mnist-cnn", "conv1", "0", "--film", "nowhere/one.gif"]),
        ("see.patterns.api.patterns", ["patterns", "mnist-cnn", "conv1", "--out", "nowhere/all.npz"]),
        ("see.dataset.activations.inspect", ["inspect", "mnist-cnn", "--out", "nowhere/one.png"]),
        (
            "show.dream_export.carve",
            ["dream", "x.jpg", "--layer", "conv1", "--unit", "0", "--out", "nowhere/dream.png"],
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_folder_that_does_not_exist_is_named_before_the_work(capsys, monkeypatch, work, words):
    """Rejects an hour of work that ends with "no such directory"."""
    monkeypatch.setattr(f"pellucid.{work}", lambda *_, **__: pytest.fail("the work had begun"))
    assert "nowhere' does not exist" in refused(capsys, *words)


def test_a_training_that_fails_leaves_the_older_network_as_it_was(capsys, monkeypatch):
    """Rejects a result that is opened for writing before there is one."""
    Path(NET).write_text("the older one")

    def fail(*_, **__):
        raise PellucidError("The loss is nan.")

    monkeypatch.setattr("pellucid.learn.training.train", fail)
    assert refused(capsys, "train", "cnn-4-4-8-16", "--out", NET) == "The loss is nan."
    assert Path(NET).read_text() == "the older one"


def test_an_interruption_is_one_line_and_130(capsys, monkeypatch):
    """Rejects a traceback for Ctrl-C, and a network that is half trained under the name that was asked for."""

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("pellucid.learn.training.train", interrupt)
    assert "Interrupted" in refused(capsys, "train", "cnn-4-4-8-16", code=130)


def test_debug_shows_where_an_error_came_from(capsys):
    """Rejects a flag that does nothing."""
    assert cli.main(["layers", "nowhere.safetensors", "--debug"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.splitlines()[-1].startswith("There is no")


def test_a_bug_of_ours_is_not_dressed_up_as_a_mistake_of_the_person(monkeypatch):
    """Rejects `except Exception`."""
    monkeypatch.setattr("pellucid.data.load.load_data", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["data"])


# What the commands do.


def test_layers_lists_names_units_and_shapes(capsys, small_net):
    """Rejects a table of the input's shapes, or without pooling's effect."""
    told = done(capsys, "layers", small_net)
    row = next(line.split() for line in told.splitlines() if line.startswith("conv4"))
    assert row[2] == "16"
    assert " ".join(row[3:]) == "16 x 14 x 14 1,168 relu"


def test_train_then_evaluate_print_the_same_accuracy(capsys):
    """Rejects a network that is saved before it is trained, or loaded with another scaling."""
    told = done(capsys, "train", "cnn-4-4-8-16", "--epochs", "2", "--learning-rate", "0.02", "--out", NET)
    assert told.splitlines()[-1] == f"Wrote {NET}"
    accuracy = told[told.index("Accuracy") :].split("%")[0]
    scored = done(capsys, "evaluate", NET)
    assert scored.startswith(accuracy + "%")
    confusion = np.array([[int(cell) for cell in line.split()[1:]] for line in scored.splitlines()[3:13]])
    assert confusion.shape == (10, 10)
    assert f"{np.trace(confusion) / confusion.sum():.2%}" in scored
    classes = [line.split() for line in scored.splitlines()[15:]]
    assert [int(row[1]) for row in classes] == confusion.sum(axis=1).tolist()
    shares = np.diag(confusion) / np.maximum(confusion.sum(axis=1), 1)
    assert [row[3] for row in classes] == [f"{share:.2%}" for share in shares]
    assert list(Path.cwd().iterdir()) == [Path.cwd() / NET]


def test_a_saved_network_is_trained_on_with_other_rates_on_the_same_split(capsys):
    """Rejects weights drawn anew, test images of the first training among those of the next, and options unheard."""
    done(capsys, "train", "mlp-70-30", "--epochs", "8", "--seed", "3", "--out", NET)
    words = ["--epochs", "1", "--learning-rate", "0.01", "--history", "h.json", "--out", "on.safetensors"]
    told = done(capsys, "train", NET, *words)
    history = json.loads(Path("h.json").read_text(encoding="utf-8"))
    assert (history["settings"]["seed"], history["settings"]["learning_rate"]) == (3, 0.01)
    assert history["settings"]["ridge"] == 0.02  # of the recipe in the file
    assert history["batches"]["loss"][0] < 0.7 * np.log(10)
    assert told.splitlines()[0].startswith("Gradients are right: ")
    line = refused(capsys, "train", NET, "--hidden", "9")
    assert line == f"'{NET}' is a network; leave out --hidden, or give an architecture."


def test_going_on_with_other_data_is_told(capsys):
    """Rejects a network of one's own images that goes on with digits without a word."""
    net = Network("mlp-70-30", scaling="standardized")
    for name, lines in (("pictures", 1), ("digits", 0)):
        net.provenance["data"] = name
        net.save(NET)
        assert cli.main(["check", NET, "--samples", "1"]) == 0
        told = capsys.readouterr().err
        assert told.count("was trained on pictures, and these are digits; give --data.") == lines


def test_a_dead_layer_fails_the_check_and_is_told_by_train(capsys):
    """Rejects zeros that pass beside zeros, exit code 0, and an epoch at chance without a word."""
    net = Network("cnn-4-4-8-16")
    net.parameters["conv3.bias"][:] = -100
    net.save(NET)
    assert cli.main(["check", NET, "--samples", "2"]) == 2
    printed, line = capsys.readouterr()
    assert [row.split()[0] for row in printed.splitlines() if row.endswith("DEAD")][:2] == [
        "conv3.weight",
        "conv3.bias",
    ]
    dead = "Layer 'conv3' is dead for these images (and so are 'conv4', 'dense'): none of its units answers"
    assert line.splitlines()[-1].startswith(dead)  # on a slow machine after what was being done
    assert cli.main(["train", NET, "--epochs", "1", "--out", "on.safetensors"]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Layer ")]
    assert lines[0].startswith("Layer 'conv3' is dead in epoch 1, batch 1: ")
    assert len(lines) == 3


def test_options_not_given_leave_the_architecture_its_own_defaults(monkeypatch, capsys):
    """Rejects a command line that overrides an architecture's recipe with the general defaults."""
    seen = {}
    history = History(TrainSettings())
    monkeypatch.setattr("pellucid.learn.training.train", lambda *_, **given: seen.update(given) or history)
    done(capsys, "train", "cnn-4-4-8-16", "--epochs", "1")
    assert seen.keys() == {"epochs", "seed", "on_batch", "on_epoch"}
    assert seen["epochs"] == 1


def test_a_training_leaves_beside_the_network_what_was_asked_for(capsys):
    """Rejects files that are announced and not written, tables that no command reads, a picture that is never drawn."""
    words = ["--epochs", "1", "--live", "live.png", "--live-batches", "3"]
    words += ["--curves", "curves.png", "--history", "told.json"]
    plan = "[[layers]]\nkind = 'flatten'\n[[layers]]\nkind = 'dense'\nunits = 10\nactivation = 'linear'\n"
    Path("mine.toml").write_text(plan, encoding="utf-8")
    told = done(capsys, "train", "mine.toml", *words, "--tables", "tables", "--out", NET)
    files = [NET, "live.png", "curves.png", "told.json", "tables"]
    assert told.splitlines()[-5:] == [f"Wrote {name}" for name in files]
    assert all(Path(name).exists() for name in files)
    assert done(capsys, "evaluate", "tables") == done(capsys, "evaluate", NET)
    assert "logits.weight" in done(capsys, "check", "mine.toml")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--history", "told.txt"], "Cannot write 'told.txt': it ends in '.txt'; let it end in .json, .csv."),
        (["--curves", "no/curves.png"], "the folder"),
        (["--live", "live.bmp"], "let it end in .png"),
        (["--resume"], "There is no checkpoint to resume from; give its file with checkpoint."),
    ],
)
def test_what_a_training_could_not_write_is_refused_before_it(capsys, words, sentence):
    """Rejects an error at the end of a long training."""
    assert sentence in refused(capsys, "train", "cnn-4-4-8-16", *words)
    assert list(Path.cwd().iterdir()) == []


def test_average_says_how_many_images_each_class_has(capsys, small_net):
    """Rejects a class without images that is passed over."""
    told = done(capsys, "average", small_net, "--threshold", "0.9999999").splitlines()
    assert len(told) == 11
    assert all(line.startswith(f"class '{index}': ") for index, line in enumerate(told[:10]))
    assert told[-1] == "Wrote average.png"
    assert Path("average.png").exists()


@pytest.mark.parametrize("network", ["cnn-4-4-8-16", "file"])
def test_check_prints_a_row_for_every_parameter(capsys, network, small_net):
    """Rejects a check that leaves parameters out, or that passes for lack of any."""
    told = done(capsys, "check", small_net if network == "file" else network, "--images", "2")
    assert {line.split()[0] for line in told.splitlines()} >= set(Network("cnn-4-4-8-16").parameters)


def test_patterns_are_written_in_each_format(capsys, small_net):
    """Rejects a format that is announced and not written, and numbers that differ between formats."""
    quick = ["--steps", "3", "--candidates", "16", "--silent-restarts", "0"]
    assert done(capsys, "patterns", small_net, "conv2", *quick, "--out", "all.npz").endswith("Wrote all.npz\n")
    with np.load("all.npz") as arrays:
        assert arrays["images"].shape == (4, 1, 28, 28)
        third = arrays["images"][2]
    done(capsys, "patterns", small_net, "conv2", *quick, "--out", "wall.png")
    done(capsys, "patterns", small_net, "conv2", *quick, "--units", "2", "0", "--out", "folder")
    assert sorted(path.name for path in Path("folder").iterdir()) == [
        *("patterns.npz", "patterns.png", "unit-000.png", "unit-002.png")
    ]
    with np.load("folder/patterns.npz") as arrays:
        np.testing.assert_array_equal(arrays["images"][0], third)


def test_a_pattern_is_written_in_whole_pixels(capsys, small_net):
    """Rejects an interpolated picture: each pixel must be an even square."""
    words = ["--steps", "3", "--candidates", "16", "--silent-restarts", "0", "--multiple", "5", "--film", "film.gif"]
    told = done(capsys, "pattern", small_net, "conv2", "2", *words)
    assert told.splitlines()[-2:] == ["Wrote pattern.png", "Wrote film.gif"]
    pixels = np.asarray(Image.open("pattern.png"))
    assert pixels.shape == (140, 140)
    squares = pixels.reshape(28, 5, 28, 5)
    assert (squares == squares[:, :1, :, :1]).all()
    assert pixels.std() > 10


def test_inspect_takes_an_image_of_the_data_or_a_file(capsys, small_net):
    """Rejects a picture that is not made to fit, and two images that give the same figure."""
    pixels = np.random.default_rng(0).integers(0, 256, (50, 41, 3), np.uint8)
    Image.fromarray(pixels).save("photo.png")
    done(capsys, "inspect", small_net, "photo.png", "--out", "one.png")
    done(capsys, "inspect", small_net, "--index", "3", "--out", "two.png")
    assert Path("one.png").read_bytes() != Path("two.png").read_bytes()


def test_her_digit_in_ink_is_read_as_the_networks_are(capsys):
    """Rejects ink on paper that is read as it is (a 2 was a 1), a turn without a word, and Python apart from it."""
    import pellucid as pc

    digit = pc.load_data("digits").test.images[0, 0].repeat(5, 0).repeat(5, 1)
    ink = np.pad(1 - 0.9 * digit, ((30, 60), (12, 90)), constant_values=1)
    Image.fromarray(np.rint(255 * ink).astype(np.uint8)).save("ink.png")
    told = done(capsys, "inspect", "mnist-cnn", "ink.png")
    assert "The picture is inverted, cropped and centered, as the digits are that 'mnist-cnn' learnt." in told
    by_path, by_array = pc.inspect("mnist-cnn", "ink.png"), pc.inspect("mnist-cnn", ink.astype(np.float32))
    assert f"it says {by_path.probabilities.argmax()}, " in told
    assert str(by_path) == str(by_array)
    assert by_path.probabilities.argmax() == pc.load_data("digits").test.labels[0]
    left = pc.inspect("mnist-cnn", 1 - by_path.image, as_is=True)
    assert np.array_equal(left.image, 1 - by_path.image)
    assert left.note == ""


def test_inspect_finds_an_image_that_the_model_gets_wrong_and_says_so(capsys, small_net):
    """Rejects the first image whatever it is, another image at every call, and a truth that is not told."""
    told = done(capsys, "inspect", small_net, "--index", "wrong", "--table", "all.csv", "--beside", "mnist-cnn")
    number = re.match(r"Image (\d+) of test\.\n", told)[1]
    assert re.search(r"net: it says \d, \d+\.\d%; the truth is \d\.\nmnist-cnn: it says", told)
    assert told.endswith("Wrote inspect.png\nWrote all.csv\n")
    again = done(capsys, "inspect", small_net, "--index", number, "--out", "again.png", "--beside", "mnist-cnn")
    assert told.split("\n")[1:3] == again.split("\n")[:2]
    assert Path("inspect.png").read_bytes() == Path("again.png").read_bytes()
    seeds = {done(capsys, "inspect", small_net, "--index", "random", "--seed", seed).split(".")[0] for seed in range(3)}
    assert len(seeds) > 1
    image = load_data("digits").test.images[int(number)]
    table = [line.split(",") for line in Path("all.csv").read_text().splitlines() if line.startswith("input,")]
    assert [np.float32(row[4]) for row in table] == image.ravel().tolist()
    np.savetxt("rows.csv", image.reshape(1, -1), delimiter=",")
    from_row = done(capsys, "inspect", small_net, "rows.csv")
    assert from_row.split("%")[0] in told
    assert "no image 1 in 'rows.csv'; give an index of 0 to 0" in refused(
        capsys, "inspect", small_net, "rows.csv", "--index", "1"
    )


def test_averages_are_of_any_split_and_starts(capsys, small_net):
    """Rejects means of the training images for those of all, and a start that is not the mean that is asked for."""
    asked = ["average", "mnist-cnn", "--threshold", "0.5"]
    few, every = (done(capsys, *asked, *words) for words in ([], ["--split", "all"]))
    counts = [[int(number.replace(",", "")) for number in re.findall(r"of ([\d,]+) im", told)] for told in (few, every)]
    assert sum(counts[0]) < sum(counts[1]) <= 1797
    quick = ["--steps", "1", "--image", "box", "--optimizer", "gradient", "--learning-rate", "1e-9", "--keep", "last"]
    digit = load_data("digits").test.images[12]
    done(capsys, "pattern", small_net, "conv2", "1", *quick, "--start", "digits:test:12", "--out", "one.npz")
    found, wanted = load_images("one.npz"), Scaling("standardized").apply(digit[None])
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    done(capsys, "average", "mnist-cnn", "--split", "all", "--out", "means.npz")
    done(capsys, "pattern", "mnist-cnn", "conv1", "1", *quick, "--start", "digits:average:7", "--out", "mean.npz")
    with np.load("means.npz") as means:
        np.testing.assert_allclose(
            load_images("mean.npz"), Scaling("standardized").apply(means["images"][[7]]), atol=1e-4
        )
    for start, words in (("digits:average:10", "no class 10"), ("digits:test:300", "only 0 to 299")):
        assert words in refused(capsys, "pattern", "mnist-cnn", "conv1", "1", "--start", start)


def test_many_files_have_names_of_one_s_own(capsys, small_net):
    """Rejects names that overwrite each other, found out after the work, and a table for a picture."""
    quick = ["--steps", "3", "--candidates", "16", "--silent-restarts", "0", "--units", "2", "0"]
    done(capsys, "patterns", small_net, "conv2", *quick, "--out", "{model}-{layer}-{unit:02d}-{activation}.csv")
    written = [path.name.rpartition("-")[0] for path in sorted(Path.cwd().glob("*.csv"))]
    assert written == ["net-conv2-00", "net-conv2-02"]
    for out in ("{layer}.png", "{unity}.png", "{unit}.pdf"):
        assert out[1:5] in refused(capsys, "patterns", small_net, "conv2", *quick, "--out", out)


def test_two_files_are_data_and_a_file_that_is_cut_says_so(capsys, small_net):
    """Rejects a test file of which a tenth is judged without a word, and one that cannot be judged whole."""
    digits = load_data("digits")
    write_csv(Path("mine_train.csv"), digits.train.take(200))
    write_csv(Path("mine_test.csv"), digits.test.take(50))
    assert "on 50 test images of mine." in done(capsys, "evaluate", small_net, "--data", "mine_train.csv,mine_test.csv")
    asked = ["evaluate", small_net, "--data", "mine_test.csv", "--split"]
    assert "on 50 images of mine_test" in done(capsys, *asked, "all")
    assert "on 9 test images" in done(capsys, *asked, "40,1,9")
    assert cli.main(["data", "--data", "mine_test.csv"]) == 0
    assert "40 for train and 5 for dev and 5 for test" in capsys.readouterr().err
    told = done(capsys, "data", "--data", ".", "--split", "200,0,50")
    assert [line.split()[:2] for line in told.splitlines()[2:]] == [["train", "200"], ["dev", "50"], ["test", "50"]]
    two = ["--data", "mine_train.csv", "mine_test.csv"]
    assert "no use for 'mine_test.csv'; join two files of data by a comma." in refused(capsys, "data", *two)
    assert "no split 'tset'" in refused(capsys, "evaluate", small_net, "--split", "tset")
    assert "give train,dev,test as numbers" in refused(capsys, "evaluate", small_net, "--split", "1,all")


def test_an_image_that_is_not_there_or_none_is_refused(capsys, small_net):
    """Rejects a negative index that counts from the end, and a text that is read as an image."""
    assert "-1" in refused(capsys, "inspect", small_net, "--index", "-1")
    assert "1000000" in refused(capsys, "inspect", small_net, "--index", "1000000")
    Path("photo.png").write_text("no picture")
    assert "'photo.png'" in refused(capsys, "inspect", small_net, "photo.png")
    assert "'nowhere.png'" in refused(capsys, "inspect", small_net, "nowhere.png")


def test_data_are_summed_up(capsys):
    """Rejects a summary without the sizes of the splits."""
    told = done(capsys, "data", "--data", "digits")
    assert "1 x 28 x 28" in told
    assert all(str(count) in told for count in (1197, 300))


def test_dream_writes_a_picture_of_the_photo(capsys, small_net):
    """Rejects a dream that gives back the photo, another one's proportions, or a file half-written."""
    x, y = np.meshgrid(np.linspace(0, 1, 61), np.linspace(0, 1, 47))
    photo = np.stack([x, y, x * y], axis=-1)
    Image.fromarray((255 * photo).astype(np.uint8)).save("photo.png")
    words = ["--model", small_net, "--layer", "conv2", "--rounds", "1", "--steps", "3", "--levels", "1"]
    assert done(capsys, "dream", "photo.png", *words, "--unit", "1").endswith("Wrote dream.png\n")
    with Image.open("dream.png") as dreamt, Image.open("photo.png") as before:
        assert dreamt.size == before.size
        assert np.abs(np.asarray(dreamt, float) - np.asarray(before, float)).max() > 3


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_dream_tells_the_command_that_made_it(capsys, small_net, suffix):
    """Rejects a dream without its command, one that cannot be typed again, that names folders which were not typed,
    leaves out a setting, or tells how many workers there were."""
    Path("Füße ☃").mkdir()
    Image.new("L", (30, 20), 99).save("Füße ☃/a photo.png")
    shutil.copyfile(small_net, NET)
    words = ["--model", NET, "--layer", "conv1", "--unit", "1", "--area", "1", "2", "20", "18", "--levels", "1"]
    words += ["--rounds", "1", "--steps", "2", "--method", "tiles", "--no-color"]
    for photo, out in (("Füße ☃/a photo.png", f"dream{suffix}"), ("Füße ☃", f"out/{{photo}}{suffix}")):
        told = []
        for typed in (["dream", photo, *words, "--out", out, "--engine", "local"], []):
            done(capsys, *(typed or shlex.split(told[0])[1:]))
            file = Path(out.format(photo="a photo"))
            with Image.open(file) as dreamt:
                comment = dreamt.getexif().get_ifd(IFD.Exif)[Base.UserComment].removeprefix(b"UNICODE\0")
                assert suffix != ".png" or dreamt.info["Description"] == comment.decode("utf-16-be")
            told.append(comment.decode("utf-16-be"))
            file.unlink()
        assert told[0] == told[1]
        verb, *rest = shlex.split(told[0])
        assert (verb, rest[:2]) == ("pellucid", ["dream", photo])
        assert {*words, "--out", out} <= {*rest}
        assert str(Path.cwd()) not in told[0]
        assert "--engine" not in rest


def test_the_presets_of_dreams_are_listed_and_shown(capsys):
    """Rejects a preset that is not in the list, a photo that is asked for in vain, and a sheet that lacks one."""
    listed = done(capsys, "dream", "--preset", "list")
    assert all(name in listed for name in (*dream_presets(), "class:NAME"))
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 66, 3), np.uint8)).save("photo.png")
    few = ["--steps", "1", "--octaves", "1"]
    assert done(capsys, "dream", "photo.png", "--preset", "all", *few).endswith("Wrote presets.png\n")
    with Image.open("presets.png") as sheet:
        assert sheet.width * sheet.height > (len(dream_presets()) + 1) * 40 * 66 * 4
    assert "no photograph; give one" in refused(capsys, "dream")


def test_each_level_has_its_tiles_and_units(capsys, small_net):
    """Rejects a unit for each tile taken for one of each level, a colon that is lost, and the mean of all levels."""
    Image.effect_noise((44, 44), 60).save("photo.png")
    words = ["photo.png", "--model", small_net, "--layer", "conv1", "--levels", "2", "--rounds", "1", "--steps", "2"]
    told = done(capsys, "dream", *words, "--unit", "1", "0,1,2,3", "--tiles", ":3", "--stages", "stages.png")
    assert "(level 1, unit 1)" in told
    assert "(level 2, unit 3)" in told
    with Image.open("stages.png") as stages:
        assert min(stages.size) > 200
    assert "'a:3' are no numbers" in refused(capsys, "dream", *words, "--tiles", "a:3")
    assert "for each of 2 levels" in refused(capsys, "dream", *words, "--tiles", "3")


def test_octaves_dream_deep_where_a_layer_takes_any_size(capsys, small_net):
    """Rejects a deep dream that gives back the photo or lowers what it maximizes, and another size."""
    noise = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    Image.fromarray(noise).save("photo.png")
    words = ["--model", small_net, "--octaves", "2", "--steps", "3", "--jitter", "3"]
    told = done(capsys, "octaves", "photo.png", *words, "--layer", "conv2")
    after, before = (float(word) for word in told.split() if word.replace(".", "", 1).isdigit())
    assert after > before
    with Image.open("dream.png") as dreamt:
        assert dreamt.size == (53, 37)


def test_what_cannot_be_dreamt_is_refused(capsys, small_net):
    """Rejects a blank picture for a photo that is none, and a unit that is taken for another."""
    words = ["--model", small_net, "--layer", "conv2"]
    Path("letter.jpg").write_text("Dear all,")
    assert "'letter.jpg'" in refused(capsys, "dream", "letter.jpg", *words, "--unit", "0")
    assert "'nowhere.jpg'" in refused(capsys, "dream", "nowhere.jpg", *words, "--unit", "0")
    Image.new("RGB", (40, 40)).save("photo.png")
    assert "unit 4" in refused(capsys, "dream", "photo.png", *words, "--unit", "4")
    assert "levels" in refused(capsys, "dream", "photo.png", *words, "--levels", "2", "--unit", "0", "1", "2")


def test_the_tour_refuses_data_before_it_begins(capsys):
    """Rejects a folder that is made, and libraries that are opened, for a misspelt name."""
    assert cli.main(["tour", "--data", "mnsit"]) == 2
    progress, line = capsys.readouterr().err.splitlines()
    assert "images" in progress
    assert "'mnsit'" in line
    assert list(Path.cwd().iterdir()) == []


def test_the_tour_says_where_its_page_is(capsys, monkeypatch):
    """Rejects a tour that hides its page, and options that do not arrive. (The tour itself is tested in show.)"""
    seen = {}

    def run_tour(out, data, **options):
        seen.update(out=out, data=data, **options)
        return types.SimpleNamespace(page=out / "index.html")

    monkeypatch.setattr("pellucid.show.tour.tour.run_tour", run_tour)
    told = done(capsys, "tour", "--out", "here", "--seed", "3", "--data-dir", "there")
    assert told == f"Wrote {Path('here', 'index.html')}\n"
    assert seen == {"out": Path("here"), "data": "digits", "data_dir": Path("there"), "seed": 3}


def test_a_training_that_is_interrupted_goes_on_to_the_same_bytes(capsys, tmp_path):
    """Rejects an interruption that loses the work, and a --resume that begins anew or ends elsewhere."""
    words = ["train", "cnn-4-4-8-16", "--epochs", "15", "--no-check"]
    done(capsys, *words, "--out", "whole.safetensors")
    command = [sys.executable, "-m", "pellucid", *words, "--checkpoint", "state.safetensors", "--out", NET]
    with subprocess.Popen([*command, "--checkpoint-batches", "5"], stderr=subprocess.PIPE, text=True) as run:
        while run.poll() is None and not Path("state.safetensors").exists():
            time.sleep(0.02)
        run.send_signal(signal.SIGINT)
        err = run.communicate()[1]
    assert run.returncode == 130
    assert "Interrupted" in err.splitlines()[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.safetensors", "whole.safetensors"]
    done(capsys, *words, "--checkpoint", "state.safetensors", "--resume", "--out", NET)
    assert Path(NET).read_bytes() == Path("whole.safetensors").read_bytes()


def test_python_dash_m_is_the_same_command():
    """Rejects a `__main__` that swallows the exit code."""
    run = subprocess.run([sys.executable, "-m", "pellucid", "nonsense"], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr.startswith("There is no command 'nonsense'")


def test_help_is_quick_and_loads_nothing_heavy():
    """Rejects heavy imports at the top of the command line, and settings or commands that are loaded to list them.

    In seconds of the processor, the least of some runs, beside those of importing NumPy between them.
    """
    ours, numpys = [], []
    for _ in range(5):
        seconds, loaded = measured("from pellucid.cli import main; main(['--help'])")
        ours.append(seconds)
        assert not loaded & {"torch", "numba", "numpy", "matplotlib", "scipy", "sklearn", "PIL", "pydantic"}
        assert not loaded & {f"pellucid.{room}" for room in ("settings", "data", "learn", "see", "show", "spread")}
        numpys.append(measured("import numpy")[0])
    assert min(ours) < 3 * min(numpys)


def measured(code):
    """Seconds of the processor in an interpreter of its own that runs the code, and the modules it loads."""
    told = f"{code}; import sys, json, time; print(json.dumps([time.process_time(), sorted(sys.modules)]))"
    run = subprocess.run([sys.executable, "-c", told], capture_output=True, check=True, text=True)
    seconds, loaded = json.loads(run.stdout.splitlines()[-1])
    return seconds, set(loaded)


def test_atlas_writes_a_site(capsys, small_net):
    """Rejects an atlas command whose options do not reach the library, and a page that is not where it says."""
    few = ["--variants", 1, "--steps", 2, "--snapshots", 2, "--layers", "conv1"]
    assert done(capsys, "atlas", small_net, *few, "--out", "site").endswith("Wrote site/index.html\n")
    told = json.loads(Path("site/atlas.json").read_text(encoding="utf-8"))
    assert [layer["name"] for layer in told["layers"]] == ["conv1"]
    assert told["command"].endswith("--steps 2 --snapshots 2 --layers conv1 --variants 1 --out site")
    assert "'conv9'" in refused(capsys, "atlas", small_net, "--layers", "conv9", "--out", "other")
    assert "--engine ray" in refused(capsys, "atlas", small_net, "--address", "auto", "--out", "other")


def test_clusters_scans_compares_and_draws(capsys, monkeypatch):
    """Rejects a scan of other numbers, a comparison with another K than the suggested, settings that do not arrive,
    and rows that break into the bar."""
    words = ["clusters", "--counts", 5, 9, 40, "--epochs", 2, "--copies", 0, "--sample", 300]
    told = done(capsys, *words, "--target", 0.05).splitlines()
    assert [line.split()[0] for line in told[1:4]] == ["5", "9", "40"]
    suggested = told[4].split()[0]
    assert "300 images" in told[4]
    assert told[6].startswith("pixels")
    assert told[7].startswith(f"{suggested} clusters")
    assert told[5].endswith("s to dev 5.00%  s to stay")
    assert told[-1] == "Wrote clusters.png"
    assert Path("clusters.png").exists()
    rows = []
    monkeypatch.setattr("pellucid.cli.learning.print_line", rows.append)  # which does not break into a bar
    assert "6 clusters" in done(capsys, "clusters", "--counts", 5, "--clusters", 6, "--epochs", 1, "--copies", 0)
    assert [len(row.splitlines()) for row in rows] == [2]  # a head and one row


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cnn-4-4-8-16"], "'conv1'"),
        (["--clusters", "1197"], "1,197 clusters of 1,197 images"),
        (["--clusters", "1"], "1 cluster of"),
        (["--counts", "1"], "counts"),
        (["--sample", "9", "--counts", "9"], "9 clusters of 9 images"),
        (["--checkpoint", "x"], "'--checkpoint'"),
        (["--target", "97.4"], "target"),
        (["--out", "clusters.gif"], "clusters.gif"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_clustered_is_refused_before_the_work(capsys, words, said, monkeypatch):
    """Rejects a minute of clustering that ends at an architecture of convolutions."""
    monkeypatch.setattr(
        "pellucid.learn.experiments.clusters.k_means", lambda *_, **__: pytest.fail("the work had begun")
    )
    assert said in refused(capsys, "clusters", *words)


def test_a_study_is_a_table_and_a_figure_and_goes_on(capsys, monkeypatch):
    """Rejects values that do not arrive, runs that are done twice, and settings shared by all that are not heard."""
    words = ["study", "mlp-70-30", "--over", "ridge=0.01,0.5", "--over", "seed=0,3", "--epochs", 1, "--batch", 400]
    told = done(capsys, *words).splitlines()
    assert [line.split()[:3] for line in told[1:3]] == [["0.01", "2", "0"], ["0.5", "2", "0"]]
    assert told[-3:] == ["Wrote study/runs.csv", "Wrote study/summary.csv", "Wrote study/study.png"]
    assert sorted(path.name for path in Path("study").iterdir()) == [
        *("runs.csv", "study.json", "study.png", "summary.csv")
    ]
    same = json.loads(Path("study/study.json").read_text(encoding="utf-8"))["settings"]
    assert (same["batch"], same["epochs"]) == (400, 1)
    monkeypatch.setattr(
        "pellucid.learn.experiments.grid_search._Plan.run", lambda *_: pytest.fail("it was done already")
    )
    assert done(capsys, *words).splitlines() == told
    assert "another folder" in refused(capsys, *words[:-1], 300)


def test_a_study_of_clusters_learns_from_distances(capsys):
    """Rejects --clusters that is not heard, and one that is no setting to vary."""
    quick = ["--epochs", 1, "--copies", 0]
    done(capsys, "study", "mlp-70-30", "--over", "seed=0", "--clusters", 12, *quick, "--out", "one")
    done(capsys, "study", "mlp-70-30", "--over", "clusters=12", "--over", "seed=0", *quick, "--out", "two")
    one, two = (
        Path(folder, "runs.csv").read_text(encoding="utf-8").splitlines()[1].split(",") for folder in ("one", "two")
    )
    assert one[1:4] == two[2:5]
    assert json.loads(Path("one/study.json").read_text(encoding="utf-8"))["settings"]["clusters"] == 12


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--over"),
        (["--over", "ridge"], "'ridge'; write it as"),
        (["--over", "ridge="], "'ridge='"),
        (["--over", "ridge=0.1,,0.2"], "ridge=0.1,,0.2"),
        (["--over", "ridge=0.1", "--over", "ridge=0.2"], "'ridge' is varied twice"),
        (["--over", "rigde=0.1"], "'ridge'"),
        (["--over", "ridge=small"], "number"),
        (["--over", "ridge=-1"], "greater than or equal to 0"),
        (["--over", "epochs=0"], "0 epochs"),
        (["--over", "ridge=0.1", "--ridge", "0.2"], "both varied and shared"),
        (["--over", "clusters=0,2000"], "2,000 clusters"),
        (["--over", "ridge=0.1", "--copies", "1"], "'copies' needs clusters"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_study_that_cannot_be_is_refused_and_leaves_no_folder(capsys, words, said):
    """Rejects a traceback, and a folder with the beginnings of a study that never was."""
    assert said in refused(capsys, "study", "mlp-70-30", *words)


@pytest.mark.parametrize("suffix", [".npz", ".csv"])
def test_what_was_saved_is_begun_from(small_net, capsys, tmp_path, suffix):
    """Rejects noise where a file of patterns was named, and where there is no such file."""
    first, again = tmp_path / f"first{suffix}", tmp_path / "again.npz"
    done(capsys, "pattern", small_net, "conv2", "2", "--steps", "3", "--out", first)
    done(capsys, "pattern", small_net, "conv2", "2", "--steps", "1", "--out", again, "--start", first)
    np.testing.assert_allclose(np.load(again)["film"][0], load_images(first), atol=1e-4)
    for missing in (tmp_path / f"x{suffix}", tmp_path / "x.png"):
        assert f"'{missing}'" in refused(capsys, "pattern", small_net, "conv2", "2", "--start", missing)


@pytest.mark.parametrize("verb", [name for name in cli.app if not name.startswith("-")])
def test_every_option_of_a_verb_has_a_name_of_its_own(verb):
    """Rejects two settings under one name, of which only one can be reached (weights of noises, a file of weights)."""
    groups = [parameter.default for parameter in inspect.signature(cli.app[verb].default_command).parameters.values()]
    names = [name for group in groups if isinstance(group, settings.Settings) for name in type(group).model_fields]
    plain = set(inspect.signature(cli.app[verb].default_command).parameters)
    assert sorted(names) == sorted(set(names) - plain)


def test_the_noises_of_a_start_are_weighed_on_the_command_line(capsys):
    """Rejects a setting that only Python reaches."""
    asked = ("pattern", "mnist-cnn", "conv1", 3, "--steps", 1, "--candidates", 1, "--optimizer", "normalized")
    done(capsys, *asked, "--scale-weights", 1, 0, 0, 0, "--out", "coarse.npz")
    done(capsys, *asked, "--scales", 3, "--out", "one.npz")
    coarse, one = (np.load(name)["film"][0, 0] for name in ("coarse.npz", "one.npz"))
    assert np.abs(np.diff(coarse, axis=2)).mean() == pytest.approx(np.abs(np.diff(one, axis=2)).mean(), rel=0.3)
    done(capsys, *asked, "--out", "all.npz")
    assert np.abs(np.diff(np.load("all.npz")["film"][0, 0], axis=2)).mean() > 2 * np.abs(np.diff(one, axis=2)).mean()


def test_patterns_are_held_against_data_on_the_command_line(capsys):
    """Rejects data that nobody compares with."""
    quick = ("--steps", 12, "--candidates", 32, "--data", "digits", "--out", "found.npz")
    said = done(capsys, "pattern", "mnist-cnn", "conv2", 3, *quick)
    held = np.load("found.npz")
    assert f"That is {held['activations'][0] / held['strongest'][0]:.2f} times what the strongest image" in said
    assert held["strongest"][0] > 0
    said = done(capsys, "patterns", "mnist-cnn", "conv2", "--units", 3, 5, 6, *quick)
    held = np.load("found.npz")
    assert f"Patterns reach {np.median(held['activations'] / held['strongest']):.2f} times" in said
    assert "strongest" not in done(capsys, "pattern", "mnist-cnn", "conv2", 3, *quick, "--no-compare")


def test_a_pattern_begins_from_a_picture(capsys):
    """Rejects a picture that is squeezed, not scaled for the model, or refused."""
    light = np.zeros((40, 60), np.uint8)
    light[:, 20:40] = 250
    Image.fromarray(light).save("photo.png")
    asked = ("pattern", "mnist-cnn", "conv1", 3, "--steps", 2, "--optimizer", "normalized", "--out", "found.npz")
    done(capsys, *asked, "--start", "photo.png")
    begun = np.load("found.npz")["film"][0, 0, 0]
    assert (begun.shape, begun.mean().round(3), begun.std().round(3)) == ((28, 28), 0, 1)
    assert begun[:, 10:18].min() > 0.9
    assert begun[:, [0, 1, 2, 3, 24, 25, 26, 27]].max() < -0.5
    Path("broken.png").write_bytes(b"no picture")
    assert "broken.png" in refused(capsys, *asked, "--start", "broken.png")


def test_a_warning_is_said_once(capsys, tmp_path):
    """Rejects the same line for each split, and one that is left out in the next command."""
    images = np.random.default_rng(0).random((12, 1, 8, 7), dtype=np.float32)
    np.savez(tmp_path / "small.npz", images=images, labels=np.arange(12) % 10)
    for _ in range(2):
        cli.main(["evaluate", "mnist-cnn", "--data", str(tmp_path / "small.npz")])
        assert capsys.readouterr().err.count("are resized to 1 x 28 x 28") == 1


def test_where_no_library_has_such_a_model_all_of_its_are_named(capsys, monkeypatch):
    """Rejects advice to list what is on this machine, where the names of a library were asked for."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    pytest.importorskip("keras")
    assert cli.main(["models", "keras:zzz"]) == 2
    assert "`pellucid models 'keras:*'` lists what there is" in capsys.readouterr().err


def test_names_that_the_terminal_has_no_letters_for_are_written_in_others(tmp_path):
    """Rejects a traceback of Python's encoder, after the work."""
    table = tmp_path / "\u65e5.csv"
    table.write_text("".join(f"{label},{','.join(['0', '255'] * 8)}\n" for label in (0, 1) * 8), encoding="utf-8")
    command = [sys.executable, "-m", "pellucid", "data", "--data", str(table)]
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=ascii_only)
    assert r"\u65e5: images of 1 x 4 x 4" in run.stdout
