"""The words of a command line: one way to write an option, and one sentence for what is none."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pipelines.errors import UserError
from quorum.cli.option import Option
from quorum.cli.words import Spelling, read_words, typed

OPTIONS = {
    option.key: option
    for option in (
        Option("epochs", int, 800, "all of them"),
        Option("max_bad", float, 0.01, "a share"),
        Option("compute.gpu", bool, False, "GPUs"),
        Option("compute.workers", int, 1, "workers"),
        Option("overwrite", bool, False, "replace"),
        Option("backbone.name", str, "resnet50", "which"),
        Option("backbone.options", dict[str, object], {}, "of the library"),
        Option("domains", list[str], (), "some"),
        Option("neighbours", int | Sequence[int], 20, "one or several"),
        Option("background", list[int] | None, None, "a colour"),
        Option("name", str | None, None, "of it"),
    )
}
SPELLING = Spelling({"gpu": "compute.gpu", "workers": "compute.workers"}, {"data.shards": "data", "shards": "data"})


def read(*words, positional=()):
    return read_words(words, OPTIONS, positional, SPELLING)


def refused(*words, positional=()):
    with pytest.raises(UserError) as said:
        read(*words, positional=positional)
    return str(said.value)


@pytest.mark.parametrize("words", [["--max-bad", "0.5"], ["--max_bad", "0.5"], ["--max-bad=0.5"], ["--max_bad=0.5"]])
def test_hyphen_underscore_and_equals_sign_say_the_same(words):
    assert read(*words).values == {"max_bad": "0.5"}


@pytest.mark.parametrize(
    ("word", "value"),
    [("--gpu", True), ("--no-gpu", False), ("--no_gpu", False), ("--compute.gpu", True), ("--no-compute.gpu", False)],
)
def test_a_flag_needs_no_value_and_its_short_name_means_the_same(word, value):
    assert read(word).values == {"compute.gpu": value}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--gpu", "true"], "--gpu takes no value; give --gpu"),
        (["--gpu=false"], "--gpu takes no value; give --no-gpu"),
        (["--overwrite", "False"], "--overwrite takes no value; give --no-overwrite"),
    ],
)
def test_a_flag_with_a_value_is_told_how_it_is_written(words, said):
    assert refused(*words) == said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--epoch", "3"], "unknown option --epoch; nearest valid name: epochs"),
        (["--max-bat=1"], "unknown option --max-bat; nearest valid name: max_bad"),
        (["--backbone.nam", "x"], "unknown option --backbone.nam; nearest valid name: backbone.name"),
        (["--shards", "x"], "--shards is --data now"),
        (["--data.shards=x"], "--data.shards is --data now"),
        (["-w", "2"], "unknown option -w"),
        (["--epochs"], "argument --epochs: expected one argument"),
        (["stray"], "'stray' is one word too many; options begin with --"),
        (["--set", "epochs"], "--set 'epochs' has no value; give KEY=VALUE, as --set epochs=6"),
        (["--set", "epochs=["], "--set 'epochs=[': the value is no YAML"),
    ],
)
def test_what_is_no_option_is_one_sentence(words, said):
    assert refused(*words).startswith(said)


def test_set_is_read_as_yaml_and_may_be_repeated():
    given = read("--set", "epochs=6", "--set", "method.min-size-ratio=0.4", "--set", "views.small=[]")
    assert given.settings == {"epochs": 6, "method.min_size_ratio": 0.4, "views.small": []}
    assert given.values == {}


def test_words_without_a_name_go_to_their_places():
    assert read("digits", "--epochs", "3", positional=("source",)).values == {"source": "digits", "epochs": "3"}
    assert read("a", "b", "c", positional=("targets...",)).values == {"targets": ["a", "b", "c"]}


def test_a_key_by_its_place_and_by_its_name_is_given_twice():
    said = "epochs is given twice, as '4' and as '3'; give it once"
    assert refused("4", "--epochs", "3", positional=("epochs",)) == said


def test_keys_below_a_mapping_and_whole_sections_are_written_with_their_value():
    assert read("--backbone.options.depth=3").values == {"backbone.options.depth": "3"}
    assert read("--backbone={name: wrn-10-1}").values == {"backbone": "{name: wrn-10-1}"}
    assert (
        refused("--backbone.options.depth", "3")
        == "--backbone.options.depth is written with its value: --backbone.options.depth=VALUE"
    )


def test_values_of_a_function_get_its_types():
    given = {"epochs": "3", "max_bad": "1e-2", "domains": "clipart, sketch", "name": "12", "overwrite": True}
    assert typed(given, OPTIONS) == {
        "epochs": 3, "max_bad": 0.01, "domains": ["clipart", "sketch"], "name": "12", "overwrite": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ({"neighbours": "20"}, [20]), ({"neighbours": "1, 5,20"}, [1, 5, 20]), ({"background": "[255, 0, 7]"}, [255, 0, 7]),
    ],
)  # fmt: skip
def test_the_items_of_a_list_of_numbers_are_numbers(given, value):
    assert typed(given, OPTIONS) == {next(iter(given)): value}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"neighbours": "1,few"}, "--neighbours is 'few'; give a whole number"),
        ({"neighbours": "1,,5"}, "--neighbours is ''; give a whole number"),
        ({"neighbours": "1,"}, "--neighbours is ''; give a whole number"),
        ({"epochs": "three"}, "--epochs is 'three'; give a whole number"),
        ({"max_bad": "few"}, "--max-bad is 'few'; give a number"),
    ],
)
def test_a_word_where_a_number_belongs_is_named(given, said):
    with pytest.raises(UserError, match=said):
        typed(given, OPTIONS)
