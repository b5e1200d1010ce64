"""The words of the training data: grammar, lexicon, naming, and every example in the docstrings."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import training
from training.lexicon import fill, fitting, slots_of, verb, verbs
from training.naming import CASES, USER, Naming, noun, quantity
from training.plan import Act, Quantity, Thing, seeded

MODULES = sorted(module.name for module in pkgutil.walk_packages(training.__path__, "training."))
EXTRAS = ("torch", "transformers", "peft", "gguf", "safetensors")
SLOTS = {"thing": "T", "place": "P", "source": "S", "tool": "W", "at": "on P", "side": "left", "amount": "2 m"}


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        pytest.skip(f"{error.name} is not installed; it is in the extra [train]")
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("name", sorted(verbs()))
def test_every_verb_can_be_said(name: str) -> None:
    entry = verb(name)
    for phrase in (*entry.say, *entry.command, *entry.events, *filter(None, (entry.terse, entry.env))):
        assert set(slots_of(phrase)) <= set(SLOTS), phrase
        assert "{" not in (fill(phrase, SLOTS) or ""), phrase
    assert not entry.opposite or verb(entry.opposite).opposite, f"{entry.opposite} has no way back"


@pytest.mark.parametrize("name", sorted(verbs()))
def test_a_verb_begins_its_phrases(name: str) -> None:
    """Else it could not be put into the past tense."""
    for phrase in (*verb(name).say, *verb(name).command):
        assert phrase[0].isalpha(), phrase


def test_the_phrase_that_says_most_is_used() -> None:
    assert fitting(["push {thing}", "push {thing} to the {side}"], SLOTS) == ["push {thing} to the {side}"]
    assert fill("go to {place}", {"thing": "T"}) is None


@pytest.mark.parametrize("case", CASES)
def test_a_name_keeps_its_words(case: str) -> None:
    name = Naming(case, "{name}_{number}", seed=3).name(Thing("alarm clock", ("red",)))
    assert "".join(filter(str.isalpha, name)).lower() == "redalarmclock"


def test_two_of_a_kind_have_two_numbers_and_a_labelled_thing_has_its_own() -> None:
    naming = Naming("snake", "{name}_{number}", seed=1)
    assert naming.name(Thing("mug")) != naming.name(Thing("mug", instance=1))
    assert naming.name(Thing("room", label="12")) == "room_12"
    assert naming.name(Thing(USER)) == "user"


def test_nouns_and_numbers() -> None:
    assert noun(Thing("knife", ("clean",), count=2), "the") == "the two clean knives"
    assert noun(Thing("bread"), "a") == "some bread"
    assert quantity(Quantity(1, "m"), seed=1) in ("1 m", "1 meter", "1 metre")
    assert quantity(Quantity(50, "%"), seed=1) in ("50%", "50percent", "50 percent")


def test_choices_are_the_same_everywhere() -> None:
    assert seeded(0, "a", 1).randrange(1000) == 773
    assert Act("go", place=Thing("table")).exchanged("table", Thing("desk")).place == Thing("desk")


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        (Thing("coffee table"), "coffeetable"),
        (Thing("alarm clock", ("red",), count=2), "two red alarmclock"),
        (Thing("sink", alias="sink basin"), "sinkbasin"),
        (Thing("room", label="12"), "room 12"),
        (Thing("dock B", proper=True), "dock B"),
    ],
)
def test_a_commander_can_name_things_as_the_robot_does_but_without_numbers(thing: Thing, said: str) -> None:
    assert Naming("joined", "{name} {number}", seed=2, aliases=True).kind(thing) == said
