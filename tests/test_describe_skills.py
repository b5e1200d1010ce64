"""The sentences that skill results become."""

from __future__ import annotations

import ast
import doctest
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

import flip_edge.describe
from flip_edge import verbs
from flip_edge.describe import SkillDescriber, SkillOutcome, SkillResult, SkillTemplate, naming, skills
from flip_edge.describe.naming import noun_phrase
from flip_edge.errors import ConfigError, InputError

DESCRIBER = SkillDescriber()


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        (SkillResult("navigate", target="table0"), "drove to the table"),
        (SkillResult("navigate"), "drove somewhere else"),
        (SkillResult("navigate", source="kitchen", target="desk"), "drove from the kitchen to the desk"),
        (
            SkillResult("pick", object="apple0", source="kitchen_table"),
            "picked up the apple from the kitchen table",
        ),
        (SkillResult("pick", object="red_mug"), "picked up the red mug"),
        (SkillResult("pick"), "picked up something"),
        (SkillResult("place", object="apple0", target="my_desk_desktop"), "put the apple on the desk"),
        (SkillResult("place", object="milk", target="fridge0"), "put the milk in the fridge"),
        (SkillResult("place", object="milk"), "put the milk down"),
        (SkillResult("open", target="fridge"), "opened the fridge"),
        (SkillResult("close", target="bedroom_door"), "closed the bedroom door"),
        (SkillResult("detect", object="apple", target="desk"), "found the apple on the desk"),
        (SkillResult("detect", target="desk"), "looked around at the desk"),
        (SkillResult("detect"), "looked around"),
    ],
)
def test_successful_skills_read_as_a_person_would_write_them(result: SkillResult, sentence: str) -> None:
    assert DESCRIBER.describe(result) == sentence


@pytest.mark.parametrize(
    ("action", "object_", "target", "message", "sentence"),
    [
        ("place", "apple", "desk", "", "failed to put the apple on the desk"),
        (
            "place",
            "apple",
            "desk",
            "No free place was found.",
            "failed to put the apple on the desk: no free place was found",
        ),
        (
            "pick",
            "milk",
            None,
            "fridge_0 is not\n open.",
            "failed to pick up the milk: fridge is not open",
        ),
        ("navigate", None, "bathroom", "IK failed!", "failed to drive to the bathroom: IK failed"),
        ("detect", "apple", "desk", "", "failed to find the apple on the desk"),
        ("wipe", "table", None, "", "failed to wipe the table"),
    ],
)
def test_failures_are_said_as_failures(
    action: str, object_: str | None, target: str | None, message: str, sentence: str
) -> None:
    result = SkillResult(action, object=object_, target=target, status="EXECUTION_FAILURE", message=message)
    assert DESCRIBER.describe(result) == sentence


def test_a_canceled_skill_is_neither_done_nor_failed() -> None:
    result = SkillResult("navigate", target="desk", status="CANCELED", message="Stopped by the user")
    assert DESCRIBER.describe(result) == "was stopped before it could drive to the desk: stopped by the user"


def test_the_message_of_a_success_is_not_said() -> None:
    assert DESCRIBER.describe(SkillResult("open", target="door", message="OK")) == "opened the door"


@pytest.mark.parametrize("status", ["", "UNKNOWN", "ABORTED", "TIMEOUT", "succes", "4"])
def test_a_status_that_is_not_known_is_never_a_success(status: str) -> None:
    assert SkillOutcome.from_status(status) is SkillOutcome.FAILED


@pytest.mark.parametrize(
    ("action", "sentence"),
    [
        ("wipe", "wiped the table"),
        ("TurnOn", "turned on the table"),
        ("scan", "scanned the table"),
        ("bring", "brought the table"),
        ("empty", "emptied the table"),
        ("arm_calibration", 'ran "arm calibration" with the table'),
        ("PickupObject", "picked up the table"),
        ("navigate-to-pose", "drove to the table"),
    ],
)
def test_unknown_skills_get_a_sensible_sentence(action: str, sentence: str) -> None:
    assert DESCRIBER.describe(SkillResult(action, object="table")) == sentence


def test_unknown_skills_say_where_from_and_where_to() -> None:
    pour = SkillResult("pour", object="water", source="bottle", target="cup")
    assert DESCRIBER.describe(pour) == "poured the water from the bottle to the cup"
    assert DESCRIBER.describe(SkillResult("dock", target="charger0")) == "docked at the charger"


@pytest.mark.parametrize(
    ("identifier", "phrase"),
    [
        ("apple0", "the apple"),
        ("apple_12", "the apple"),
        ("waterBottle", "the water bottle"),
        ("WaterBottle_02", "the water bottle"),
        ("my_desk", "the desk"),
        ("my_desk_desktop", "the desk"),
        ("table0_tabletop", "the table"),
        ("storage_storage", "the storage"),
        ("counter0_left", "the left side of the counter"),
        ("hall_kitchen_bedroom", "the hallway between the kitchen and the bedroom"),
        ("hallway_living_room_kitchen", "the hallway between the living room and the kitchen"),
        ("hallway_kitchen_bedroom_bathroom", "the hallway kitchen bedroom bathroom"),
        ("the kitchen table", "the kitchen table"),
        ("laptop", "the laptop"),
        ("TV_stand", "the tv stand"),
        ("mesa_café", "the mesa café"),
        ("(1.0,\t2.0)", "(1.0, 2.0)"),
        ("42", "42"),
    ],
)
def test_identifiers_become_words(identifier: str, phrase: str) -> None:
    assert noun_phrase(identifier) == phrase


def test_templates_names_and_containers_can_be_replaced() -> None:
    describer = SkillDescriber(
        templates={
            "pick": SkillTemplate("grabbed {object}[ off {source}]", "grab {object}[ off {source}]"),
            "dance": SkillTemplate("danced[ with {object}]", "dance[ with {object}]"),
        },
        names={"loc_7": "the charging dock"},
        containers=frozenset({"dock"}),
    )
    assert describer.describe(SkillResult("pick", object="mug", source="loc_7")) == (
        "grabbed the mug off the charging dock"
    )
    assert describer.describe(SkillResult("pick_up")) == "grabbed something"
    assert describer.describe(SkillResult("place", object="mug", target="loc_7")) == (
        "put the mug in the charging dock"
    )
    assert describer.describe(SkillResult("dance", status="ABORTED")) == "failed to dance"
    assert describer.describe(SkillResult("open", target="fridge")) == "opened the fridge"


@pytest.mark.parametrize("text", ["", "took {thing}", "took [ {object}", "took [ [{object}]]", "took {object"])
def test_a_bad_template_says_what_is_allowed(text: str) -> None:
    with pytest.raises(ConfigError, match="skill template"):
        SkillTemplate(text, "take {object}")


@pytest.mark.parametrize("fields", [{"action": " "}, {"action": "?!"}, {"action": 3}, {"action": "a", "object": 3}])
def test_a_bad_record_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InputError, match="SkillResult"):
        SkillResult(**fields)  # type: ignore[arg-type]


text_or_none = st.none() | st.text(max_size=40)


@given(action=st.text(), object_=text_or_none, source=text_or_none, target=text_or_none, message=st.text())
def test_any_text_becomes_one_printable_line(
    action: str, object_: str | None, source: str | None, target: str | None, message: str
) -> None:
    for status in ("SUCCESS", "ABORTED", "CANCELED"):
        try:
            result = SkillResult(action, object_, source, target, status, message)
        except InputError:
            return
        sentence = DESCRIBER.describe(result)
        assert sentence.isprintable()
        assert sentence == " ".join(sentence.split())
        assert sentence
        assert sentence == DESCRIBER.describe(result)
        assert sentence.startswith("failed to ") == (status == "ABORTED") or status == "SUCCESS"


@pytest.mark.timeout(10)
def test_very_long_input_is_bounded_in_time_and_the_reason_in_length() -> None:
    long = "a1_" * 30_000 + "1" * 10_000 + "x" * 100_000
    sentence = DESCRIBER.describe(SkillResult("place", "mug", target="desk", status="ABORTED", message=long))
    assert len(sentence) < 250
    DESCRIBER.describe(SkillResult(long, object=long, target=long))


ALLOWED = ("flip_edge.errors", "flip_edge.lexicon", "flip_edge.verbs", "yaml")


def test_the_describers_depend_on_little() -> None:
    for module in Path(flip_edge.describe.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or "."]
            for name in names:
                own = name.startswith("flip_edge.describe") or name in ALLOWED
                assert own or name.split(".")[0] in sys.stdlib_module_names, f"{module.name} imports {name}"


@pytest.mark.parametrize("module", [naming, skills, verbs])
def test_the_examples_in_the_documentation_are_true(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
