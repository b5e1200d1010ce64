from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flip_edge.fulfilment import fulfilment

PICKED, DROVE, PUT = "picked up the mug", "drove to the sink", "put the mug in the sink"


@pytest.mark.parametrize(
    ("command", "steps", "completed"),
    [
        ("bring the mug to the sink", [PICKED, DROVE, PUT], 1.0),
        ("bring the mug to the sink", [PICKED, DROVE], 0.0),
        ("bring the mug to the sink", [DROVE], 0.0),
        ("bring the mug to the sink", [PICKED, DROVE, "failed to put the mug in the sink"], 0.0),
        ("bring the mug to the sink", [PICKED, DROVE, PUT, "picked up the sponge"], 0.0),  # still holding something
        ("pick up the mug", [PICKED], 1.0),
        ("put a washed mug in the sink", [PICKED, "rinsed the mug", PUT], 1.0),
        ("put a washed mug on the shelf", [PICKED, "put the mug on the shelf"], 0.5),
        ("put a heated mug on the shelf", ["put the mug in the microwave", "put the mug on the shelf"], 1.0),
        ("put two mugs in the sink", [PICKED, PUT, PICKED, PUT], 1.0),
        ("put two mugs in the sink", [PICKED, PUT], 0.5),
        ("put two mugs in the sink", ["put both mugs in the sink"], 1.0),
        ("put two mugs in the sink", ["put the mugs in the sink"], 1.0),
        ("take three pictures of the pump", ["took a picture of the pump"], 1 / 3),
        ("take three pictures of the pump", ["took 3 pictures of the pump"], 1.0),
        ("inspect two pumps", ["inspected pump 1", "inspected pump 2"], 1.0),
        ("find two mugs and put them in the sink", ["found a mug", PUT, "found a mug", PUT], 1.0),
        ("find two mugs and put them in the sink", ["found a mug", PUT], 0.75),
        ("put two mugs in the sink and open the drawer", [PUT, PUT, "opened the drawer"], 1.0),
        ("put the mug on shelf 2", ["put the mug on shelf 2"], 1.0),  # a name, not an amount
        ("put the mug in room 3 of the house", ["put the mug in room 3"], 1.0),
        ("drive 3 m to the sink", [DROVE], 1.0),
        ("enter the lab", ["drove to the lab", "stopped in front of it"], 0.0),
        ("enter the lab", ["drove to the lab", "went into the lab"], 1.0),
        ("inspect the pump", ["drove to the pump", "took a picture of the pump"], 1.0),
        ("inspect the pump", ["drove to the pump"], 0.0),
        ("open the door and turn on the lamp", ["opened the door"], 0.5),
        # what the lexicon does not know is not held against the run
        ("frobnicate the widget", [PICKED], 1.0),
        ("bring the mug to the sink", ["Becher genommen", "Becher abgestellt"], 1.0),
        ("hole die Tasse", [PICKED], 1.0),
    ],
)
def test_completed(command: str, steps: list[str], completed: float) -> None:
    assert fulfilment(command, steps).completed == pytest.approx(completed)


@pytest.mark.parametrize(
    ("command", "steps", "handled"),
    [
        ("put the mug in the sink", [PICKED, PUT], 1.0),
        ("put the mug in the sink", ["picked up the plate", "put the plate next to the mug in the sink"], 0.0),
        ("put the mug in the sink", ["PickObject: mug_2", "PlaceObject: sink"], 1.0),
        ("put the mug in the sink and the fork in the drawer", [PUT], 1.0),
        ("put the soap bar in the sink", ["pick soapbar 3", "put soapbar 3 in sink 1"], 1.0),
        ("bring me something spicy", ["picked up the chips"], None),
        ("go to the kitchen", ["drove to the kitchen"], 1.0),
        ("go to the kitchen", ["drove to the bedroom"], 0.0),
        ("go to the kitchen", ["found the kitchen knife"], 0.0),
        ("go to room 4", ["drove to room 4"], 1.0),
        ("go to room 4", ["drove to room 5"], 0.0),
        ("go to the lab and pick up the mug", ["drove to the lab", "picked up the plate"], 0.5),
        ("drive 2 m forward", ["drove 2 m forward"], None),
        ("put the mug in the sink", ["Becher abgestellt"], None),
    ],
)
def test_handled(command: str, steps: list[str], handled: float | None) -> None:
    assert fulfilment(command, steps).handled == handled


@pytest.mark.parametrize(
    ("command", "steps", "placed"),
    [
        ("put the mug in the sink", [PICKED, PUT], 1.0),
        ("put the mug in the sink", [PICKED, "put the mug on the shelf"], 0.0),
        ("put the mug in the drawer", [PICKED, "opened the drawer and put the mug inside"], 1.0),
        ("put the mug in the sink", ["drove to the sink", PICKED], None),
        ("put the mug away", [PICKED, PUT], None),
        ("pick up the mug", [PICKED], None),
    ],
)
def test_placed(command: str, steps: list[str], placed: float | None) -> None:
    assert fulfilment(command, steps).placed == placed


@pytest.mark.parametrize(
    ("command", "steps", "contradicted"),
    [
        ("put the mug on the box", ["placed the mug on the box"], False),
        ("put the mug on the box", ["picked up the box", "placed the box on the mug"], True),
        ("put the mug on the box", ["placed the box on the mug", "placed the mug on the box"], False),
        ("put the mug with the fork in the sink", ["put the fork in the mug", "put the mug in the sink"], False),
        ("bring it from the lab to the office", ["drove to the lab", "drove to the office"], False),
        ("bring it from the lab to the office", ["drove to the office", "drove to the lab"], True),
        ("go to the lab and then to the office", ["drove to the office", "drove to the lab"], True),
        ("go to the lab, after that to the office", ["drove to the lab", "drove to the office"], False),
        ("go to the lab after the office", ["drove to the office", "drove to the lab"], False),
        ("go to the lab before the office", ["drove to the office", "drove to the lab"], True),
        ("do not enter the lab", ["drove to the lab", "went into the lab"], True),
        ("do not enter the lab", ["drove to the lab", "stopped in front of the lab"], False),
        ("do not enter the lab", ["went into the office"], False),
        ("inspect the mug but do not pick it up", ["looked at the mug", PICKED], True),
        ("inspect the mug but do not pick it up", ["looked at the mug"], False),
        ("wipe the shelf without moving the vase", ["wiped the shelf", "moved the vase to the table"], True),
        ("do not wake the cat", ["drove past the cat", "did not wake the cat"], False),
        ("do not wake the cat", ["wake the cat"], True),
        ("turn left", ["turned right by 90 degrees"], True),
        ("turn left", ["turned right by 90 degrees", "turned left by 180 degrees"], False),
        ("rotate 90 degrees to the left", ["Turn(side=right, angle=90)"], True),
        ("drive backward to the desk", ["moved forward until it reached the desk"], True),
        ("go to the left door", ["turned right", "went to the door"], False),
        ("put the mug on the left shelf", ["turned right", "put the mug on the shelf"], False),
        ("drive 2 m forward", ["drove 4 m forward"], True),
        ("drive 2 m forward", ["drove 2.0 metres forward"], False),
        ("drive two metres forward", ["drove 2 m forward"], False),
        ("drive 2 m forward", ["drove 1.97 m forward"], False),
        ("drive 2 m forward", ["drove 1.2 m forward", "drove 0.8 m forward"], False),
        ("drive 2 m forward", ["drove 1.2 m forward", "drove 0.2 m forward"], True),
        ("drive 2 m forward", ["drove 200 cm forward"], False),  # another unit: no claim
        ("drive 2 m and turn 90 degrees", ["drove 2 m", "turned 45 degrees"], True),
        ("bring the red cup", ["picked up the blue cup"], True),
        ("bring the red cup", ["picked up the blue plate"], False),  # of another thing: no claim here
        ("bring the red cup", ["found the blue cup", "picked up the red cup"], False),
        ("turn off the lamp", ["switched on the lamp"], True),
        ("turn off the lamp", ["turned the lamp on", "turned the lamp off"], False),
        ("turn off the lamp", ["used the lamp"], False),
        ("take everything but the plate off the table", ["removed the plate from the table"], True),
        ("take everything but the plate off the table", ["removed the cup", "left the plate on the table"], False),
        ("take the plate off the table", ["removed the cup", "left the plate on the table"], True),
        ("go to the desk with the plate", ["put down the plate", "drove to the desk"], True),
        ("go to the desk with the plate", ["picked up the plate", "drove to the desk", "put down the plate"], False),
        ("go to the desk without the plate", ["picked up the plate", "drove to the desk"], True),
        ("go to the desk without the plate", ["put down the plate", "drove to the desk"], False),
    ],
)
def test_contradictions(command: str, steps: list[str], contradicted: bool) -> None:
    assert bool(fulfilment(command, steps).contradictions) is contradicted


def test_what_is_said_of_a_contradiction() -> None:
    assert fulfilment("put the mug on the box", ["placed the box on the mug"]).contradictions == (
        "'mug on box' was commanded, 'box on mug' was done",
    )


@given(st.text(max_size=60), st.lists(st.text(max_size=60), max_size=5))
def test_any_text_can_be_compared(command: str, steps: list[str]) -> None:
    found = fulfilment(command, steps)
    assert 0 <= found.completed <= 1
    assert found.handled is None or 0 <= found.handled <= 1
