"""Settings: a name of the last release is taken wherever it may stand, and help can be read alone."""

import inspect
import re

import pytest
from rich.console import Console

from learn import small
from pellucid import cli, settings
from pellucid.cli.arguments import former_options, renamed
from pellucid.errors import PellucidError
from pellucid.learn.io.config import read_architecture, recipe_from_dict
from pellucid.settings import PatternSettings, Settings, TrainSettings

GROUPS = [group for group in vars(settings).values() if isinstance(group, type) and issubclass(group, Settings)]
FORMER = [(group, old, new) for group in GROUPS for old, new in group.former().items()]
VERBS = {verb: cli.app[verb].default_command for verb in cli.verbs()}
OPTIONS = [(verb, old, new) for verb in VERBS for old, new in former_options(verb).items()]
PLAN = ((small.Flatten(), small.Dense(small.CLASSES, "linear")), small.data())


def value_of(group, name):
    """A value that is not the default."""
    default = group.model_fields[name].default
    if isinstance(default, tuple):
        return (0.5, 0.25, 0.25, 0.5)
    if isinstance(default, str):
        return next(word for word in group.model_fields[name].annotation.__args__ if word != default)
    return 0.5 if default is None else default / 2 if isinstance(default, float) else default + 1


def words_of(verb):
    """Words that stand for the arguments without which a command does not run."""
    for name, parameter in inspect.signature(VERBS[verb]).parameters.items():
        if parameter.default is inspect.Parameter.empty and parameter.kind is not inspect.Parameter.VAR_POSITIONAL:
            yield from ["0"] if parameter.kind is inspect.Parameter.POSITIONAL_ONLY else [f"--{name}", "0"]


def test_what_was_renamed_is_declared():
    """Rejects an alias that is lost with its declaration, so that there is nothing left to test."""
    assert {old for _, old, _ in FORMER} >= {
        *("rate", "rates", "alpha", "average", "turn", "grain", "shots", "tries", "retries", "first", "last", "ascent")
    }
    assert {verb for verb, _, _ in OPTIONS} >= {"train", "pattern", "patterns", "atlas", "study"}


@pytest.mark.parametrize(("group", "old", "new"), FORMER, ids=lambda value: getattr(value, "__name__", value))
def test_a_keyword_of_the_last_release_is_taken(group, old, new):
    """Rejects an old name that is refused or ignored, one over defaults that lose, and two values for one setting."""
    value = value_of(group, new)
    assert getattr(group.of(**{old: value}), new) == value
    assert group.of(**{old: value}) == group.of(**{new: value}) != group.of()
    assert getattr(group.of({old: group().model_dump()[new]}, **{new: value}), new) == value
    with pytest.raises(PellucidError, match=f"Setting '{old}' is now called '{new}'; give it once"):
        group.of(**{old: value, new: value})


@pytest.mark.parametrize(("verb", "old", "new"), OPTIONS)
def test_an_option_of_the_last_release_is_taken_and_hidden(capsys, verb, old, new):
    """Rejects an old option that is unknown, shown in help, or silently beaten by the new one."""
    assert renamed([verb, old, "3", f"{old}=4"]) == [verb, new, "3", f"{new}=4"]
    assert cli.main([verb, *words_of(verb), old, "x"]) == 2
    assert "There is no option" not in capsys.readouterr().err
    assert cli.main([verb, *words_of(verb), old, "3", new, "3"]) == 2
    assert f"Option '{old}' is now called '{new}'; give it once" in capsys.readouterr().err
    assert cli.main([verb, "--help"]) == 0
    assert not re.search(rf"{old}\b(?!-)", capsys.readouterr().out)


def test_an_option_that_has_the_name_of_a_former_one_is_itself():
    """Rejects --weights, a file, taken for the weights of noises, and a cluster's --retries taken for restarts."""
    for words in (["patterns", "--weights", "x.pt"], ["dream", "--retries", "3"], ["--rate", "3"], ["nothing"], []):
        assert renamed(words) == words


@pytest.mark.parametrize(("old", "new"), TrainSettings.former().items())
def test_a_recipe_of_the_last_release_is_read(tmp_path, old, new):
    """Rejects networks, checkpoints and architectures in files that no longer open, or forget how they are trained."""
    value = value_of(TrainSettings, new)
    assert recipe_from_dict({old: value}) == {new: value}
    path = tmp_path / "mine.toml"
    numbers = list(value) if isinstance(value, tuple) else value
    path.write_text(
        f'[[layers]]\nkind = "flatten"\n[[layers]]\nkind = "dense"\nunits = 10\n[training]\n{old} = {numbers}\n'
    )
    assert read_architecture(path).recipe == {new: value}


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.__name__)
def test_help_says_what_holds_where_nothing_is_given(group):
    """Rejects an option whose default nobody can know: neither shown, for it is None, nor told."""
    for name, info in group.model_fields.items():
        told = "(default: " in info.description or "; default: " in info.description
        assert told == (info.default in (None, ())), name


@pytest.mark.parametrize("verb", VERBS)
def test_each_option_shows_its_default(capsys, verb):
    """Rejects an option without a default in its help, and a default that nobody could type, such as () or True."""
    cli.app.help_print([verb], console=Console(width=1000))
    rows = [row for row in capsys.readouterr().out.splitlines() if re.match(r"│ [* ]*(--|[A-Z])", row)]
    assert rows
    for row in rows:
        assert re.search(r"\[default: [^]]+\]|\[required\]|[(;] ?default: ", row), row
        assert not re.search(r"\[default: (\(|True|False|None)", row), row


def test_a_preset_is_beaten_by_the_old_name_of_its_setting():
    """Rejects a preset whose learning rate stands because the person's has another name."""
    assert PatternSettings.of(preset="mlp-deep", rate=0.7).learning_rate == 0.7


def test_a_picture_says_of_which_kind_it_is():
    """Rejects natural images, few of all there are, that pass for what excites a unit most."""
    assert PatternSettings.of(image="natural").sought == "what excites most among natural images"
    assert PatternSettings.of().sought == PatternSettings.of(preset="mlp-deep").sought == "whatever excites most"
    assert PatternSettings.of(image="natural", extreme="least").sought == "what excites least among natural images"
    assert PatternSettings.of(extreme="least").sought == "whatever excites least"


@pytest.mark.parametrize(
    ("group", "name", "ours"),
    [(TrainSettings, "lr", "learning_rate"), (TrainSettings, "l2", "ridge"), (PatternSettings, "iterations", "steps")],
)
def test_the_words_of_other_tools_lead_to_ours(group, name, ours):
    """Rejects the nearest names by their letters, where the field's word is another: 'flip' for l2."""
    with pytest.raises(PellucidError, match=f"no setting '{name}'; it is called '{ours}' here"):
        group.of(**{name: 1})


def test_true_is_no_number():
    """Rejects an epoch, or a penalty of 1, for True."""
    with pytest.raises(PellucidError, match="Setting 'epochs' is True, but it should be a valid number"):
        TrainSettings.of(epochs=True)
    assert TrainSettings.of(check=False, epochs=None).epochs is None


def test_two_results_have_two_names(capsys, tmp_path):
    """Rejects the one that is overwritten by the other, after the work."""
    name = str(tmp_path / "one.png")
    assert cli.main(["train", "mlp-70-30", "--live", name, f"--curves={name}"]) == 2
    assert "Both --live and --curves are" in capsys.readouterr().err


def test_a_word_for_a_number_is_a_sentence(capsys):
    """Rejects cyclopts' own words."""
    assert cli.main(["pattern", "mnist-cnn", "conv3", "five"]) == 2
    assert "UNIT is 'five'; give a whole number." in capsys.readouterr().err
