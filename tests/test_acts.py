from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flip_edge.acts import acts_of, is_verb, ruled_out


def said(text: str) -> list[tuple[str, str]]:
    """Kinds and objects, short enough to read."""
    return [("|".join(sorted(act.kinds)), " ".join(act.object)) for act in acts_of(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # persons, tenses, and the shapes of robots' logs
        ("pick up the red cup", [("take", "red cup")]),
        ("I picked up the red cup.", [("take", "red cup")]),
        ("The robot is placing the cup on the shelf", [("place", "cup")]),
        ("PickObject(mug_1) -> SUCCESS", [("take", "")]),
        ("pick_up(mug_1)", [("take", "")]),
        ("[Navigate] goal_1: RUNNING", [("go", "")]),
        ("mug 1 grasped", [("take", "mug 1")]),
        ("take vase 2 from shelf 8", [("take", "vase 2")]),
        ("box moved", [("carry|place", "box")]),
        ("drop detected", [("find", "drop")]),
        ("put washed soap on the shelf", [("place", "soap")]),
        ("pushed the red star toward the cube", [("carry|place|press", "red star")]),
        ("push the button on the wall", [("press", "button")]),
        ("slid the door to the left", [("slide", "door")]),
        ("take off", [("raise", "")]),
        # several acts in one step
        ("Turn around and put the cup down", [("go", ""), ("place", "cup")]),
        ("opened the fridge, took the milk and closed it", [("open", "fridge"), ("take", "milk"), ("close", "")]),
        # verbs that go by their particles or their object
        ("turn on the lamp", [("switch", "lamp")]),
        ("turn the lamp off", [("switch", "lamp")]),
        ("turn left", [("go", "")]),
        ("turn on the left", [("go", "left")]),
        ("take a left", [("go", "left")]),
        ("took a picture of the pump", [("look", "picture pump")]),
        ("went into the lab", [("enter|go", "")]),
        ("left the room", [("exit", "room")]),
        ("left the keys on the desk", [("place", "keys")]),
        ("return to the dock", [("go", "")]),
        ("return the book to the shelf", [("carry|place", "book")]),
        ("move forward 2 m", [("go", "")]),
        ("move 2 m forward", [("go", "")]),
        ("move two books to the shelf", [("carry|place", "two books")]),
        ("move the box to the table", [("carry|place", "box")]),
        ("moved the arm to the lamp", [("go", "arm")]),
        ("moved box 1 to the table", [("carry|place", "box 1")]),
        ("opened the gripper", [("open|place", "gripper")]),
        ("[ARM] gripper opened, mug on shelf", [("open|place", "gripper")]),
        ("[ARM] gripper closed on the mug", [("close|take", "gripper")]),
        ("push the drawer shut", [("close", "drawer")]),
        ("go to hand sanitizer dispenser", [("go", "")]),
        ("go to clean the room", [("go", ""), ("clean", "room")]),
        ("going to the kitchen", [("go", "")]),
        ("going to pick up the mug", [("take", "mug")]),
        ("get as close as you can", [("go", "")]),
        ("turn around on the spot", [("go", "spot")]),
        ("LEFT_GRASP(mug_1)", [("take", "")]),
        ("left the loading bay", [("exit", "loading bay")]),
        ("you carry a grey key", [("take", "grey key")]),
        ("carry the box to the dock", [("carry", "box")]),
        ("holding nothing", [("place", "nothing")]),
        ("put down the object in hand", [("place", "")]),
        ("put it in your gripper", [("take", "")]),
        ("letting go of the fruit", [("place", "")]),
        ("MoveAgent ahead=0.25", [("go", "agent ahead")]),
        ("move leftward by 0.25", [("go", "leftward")]),
        ("the microwave is off", [("switch", "microwave")]),
        ("thermal_inspection: pump", [("look", "")]),
        ("[walktowards] <dishwasher> (156)", [("go", "")]),
        # goals and what they come to
        ("the mug should be in the sink", [("place", "mug")]),
        ("all three pillows should be back on the bed", [("place", "three pillows")]),
        ("the notebook belongs under the desk", [("place", "notebook")]),
        ("the folded cloth rests on the shelf", [("place", "folded cloth")]),
        # the object first
        ("mug_1 picked up from the table", [("take", "mug 1")]),
        ("jalapeno-chips brought to user", [("carry", "jalapeno chips")]),
        ("the closed drawer", []),
        ("The mug was placed in the sink", [("place", "mug")]),
        ("A box has been picked up from shelf 2", [("take", "box")]),
        ("The mug on the table was picked up", [("take", "mug")]),
        ("the office lights are on", [("switch", "office lights")]),
        # what comes before the verb, and the values of keys
        ("t=12.5s drove to the dock", [("go", "")]),
        ("state: NAVIGATING target=dock_1", [("go", "")]),
        ("action: pick, item: mug, place: table", [("take", "")]),
        ("place: mug", [("place", "")]),
        ("step 3: place: mug", [("place", "")]),
        ("[undockrobot] <dock> (1)", [("undock", ""), ("dock", "")]),
        # lists
        ("put a cup, a plate and a fork on the table", [("place", "cup plate fork")]),
        ("pick up the mug, the door was opened", [("take", "mug"), ("open", "door")]),
        ("pick up the mug, the robot drove off", [("take", "mug"), ("go", "")]),
        ("turn left, the sink is there", [("go", "left")]),
        ("take the stairs", [("go", "stairs")]),
        ("take the plate", [("take", "plate")]),
        ("lowered the pallet", [("lower|place", "pallet")]),
        ("lowered the arm by 3 cm", [("go|lower", "arm")]),
        ("moved the lift up by 3 cm", [("go|raise", "lift")]),
        ("alarm 3 off", [("switch", "alarm 3")]),
        ("at the dock", [("go", "")]),
        ("BT node grasp_object[target=mug] returned SUCCEEDED", [("take", "")]),
        ("set_device_off(lamp_2)", [("switch", "device")]),
        ("DropOff(cup, sink)", [("place", "")]),
        ("3. [Grasp] mug OK", [("take", "")]),
        ("put the fork and the spoon in the drawer", [("place", "fork spoon")]),
        ("leave the tray and the cup in the fridge", [("place", "tray cup")]),
        ("red door open [ok]", [("open", "red door")]),
        ("move the fork up by 40 cm", [("go|raise", "fork")]),
        ("make your way to the dock", [("go", "way")]),
        ("make coffee", []),
        ("hand over the cup", [("place", "cup")]),
        # run together
        ("[MOVEBASE] <sofa>", [("go", "")]),
        ("TURNON desklamp", [("switch", "desklamp")]),
        ("looked for the keys", [("find", "")]),
        # nouns and adjectives are no acts
        ("to the close counter", []),
        ("the open drawer", []),
        ("everything is in place", []),
        # an unknown verb claims nothing
        ("frobnicate the widget", []),
        ("", []),
        ("...", []),
    ],
)
def test_acts(text: str, expected: list[tuple[str, str]]) -> None:
    got = said(text)
    assert [kinds for kinds, _ in got] == [kinds for kinds, _ in expected]
    for (_, thing), (_, words) in zip(got, expected, strict=True):
        assert set(words.split()) <= set(thing.split())


@pytest.mark.parametrize(
    ("text", "negated"),
    [
        ("do not enter the lab", [True]),
        ("don't touch the vase", [True]),
        ("never open the door", [True]),
        ("avoid entering the kitchen", [True]),
        ("did not pick up the cup", [True]),
        ("inspect the mug but do not pick it up", [False, True]),
        ("clean the shelf without moving the vase", [False, True]),
        ("enter the lab", [False]),
    ],
)
def test_negation(text: str, negated: list[bool]) -> None:
    assert [act.negated for act in acts_of(text)] == negated


def test_where_it_is_done() -> None:
    (act,) = acts_of("bring the blue mug from the kitchen to the top shelf")
    assert (act.object, act.source, act.relation, act.place) == (("blue", "mug"), ("kitchen",), "to", ("top", "shelf"))


@pytest.mark.parametrize(
    ("text", "relation", "place"),
    [
        ("place a cup with a spoon in it on the counter", "on", ("counter",)),
        ("fill the cup with water", "with", ("water",)),
        ("put the soap inside of the tub", "inside", ("tub",)),
        ("set up a table right beside the lake", "beside", ("lake",)),
    ],
)
def test_where_one_of_several_relations_says_it(text: str, relation: str, place: tuple[str, ...]) -> None:
    assert [(act.relation, act.place) for act in acts_of(text)] == [(relation, place)]


def test_what_is_left_alone_is_ruled_out() -> None:
    assert {"living", "room"} <= ruled_out("mop the kitchen, but leave the living room alone")


def test_what_is_ruled_out() -> None:
    assert ruled_out("do not enter the lab") == {"enter", "lab"}
    assert ruled_out("go to the lab but do not touch the robot in the lab") == {"touch", "robot"}
    assert not ruled_out("go to the lab")


def test_verbs_in_every_inflection() -> None:
    assert all(is_verb(word) for word in ("put", "putting", "placed", "navigates", "took", "brought", "opening"))
    assert not any(is_verb(word) for word in ("mug", "the", "red", "4", ""))


def test_a_long_run_of_letters_is_read_in_no_time() -> None:
    started = time.perf_counter()
    assert acts_of("put" + "a" * 1_000_000) == ()
    assert time.perf_counter() - started < 5  # quadratic, it would take hours


@given(st.text(max_size=80))
def test_any_text_can_be_read(text: str) -> None:
    for act in acts_of(text):
        assert act.verb
        assert set(act.object) <= set(act.about) | {act.verb} | set(act.object)
        assert act.kinds or act.negated
