from __future__ import annotations

from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flip_edge.fulfilment import fulfilment
from flip_edge.lexicon import lexicon

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
        ("put two mugs in the sink", [PICKED, PUT], 0.25),
        ("put two mugs in the sink", ["put both mugs in the sink"], 1.0),
        ("put two mugs in the sink", ["put the mugs in the sink"], 1.0),
        ("take three pictures of the pump", ["took a picture of the pump"], 1 / 6),
        ("take three pictures of the pump", ["took 3 pictures of the pump"], 1.0),
        ("inspect two pumps", ["inspected pump 1", "inspected pump 2"], 1.0),
        ("find two mugs and put them in the sink", ["found a mug", PUT, "found a mug", PUT], 1.0),
        ("find two mugs and put them in the sink", ["found a mug", PUT], 0.625),
        # a thing that was taken and put down is one thing
        ("gather the two mugs at the sink", [PICKED, PUT, PICKED, PUT], 1.0),
        ("gather the two mugs at the sink", [PICKED, PUT], 0.25),
        ("screw the two bolts into the plate", ["bolt 1 tightened", "bolt 2 tightened"], 1.0),
        ("screw the two bolts into the plate", ["bolt 1 tightened"], 0.25),
        # each of those that their labels tell apart
        ("weld seam 4 and seam 5", ["moved to seam 4", "welded seam 4"], 0.5),
        ("weld seams 4 and 5", ["moved to seam 4", "welded seam 4", "moved to seam 5", "welded seam 5"], 1.0),
        ("patrol waypoints 2, 5 and 7", ["went to waypoint 2", "went to waypoint 5"], 0.75),
        ("patrol waypoints 2, 5 and 7", ["patrolled waypoints 2-7"], 1.0),
        ("patrol waypoints 2, 5 and 7", ["patrolled all waypoints"], 1.0),
        ("go from room 1 to room 2", ["drove to room 2"], 1.0),
        ("scan shelves 1 to 4", ["scanned shelf 1", "scanned shelf 2"], 0.6),
        ("scan shelves 1 to 4", ["scanned shelf 1", "scanned shelf 2", "scanned shelf 3", "scanned shelf 4"], 1.0),
        ("scan shelves 1 to 4", ["scanned shelves 1 to 4"], 1.0),
        ("fold the towel twice", ["folded the towel once"], 0.25),
        ("fold the towel twice", ["folded the towel", "folded the towel again"], 1.0),
        ("fold the towel twice", ["folded the towel twice"], 1.0),
        ("fill the kettle with water", ["put the kettle on the stove"], 0.0),
        ("fill the kettle with water", ["put the kettle under the tap", "turned the tap on"], 1.0),
        ("fill the box with screws", ["put the screws in the box"], 1.0),
        ("throw away the apple", ["grab('apple')", "putin('apple', 'garbagecan')"], 1.0),
        ("put two knives in the drawer", ["put the knife in the drawer", "put the knife in the drawer"], 1.0),
        ("sort the screws", ["put screw 1 in the bin"], 1.0),
        ("put three plates in the sink, no more", ["put(plate_1)", "put(plate_2)", "put(plate_3)"], 1.0),
        (
            "put exactly three plates in the sink",
            ["put(plate_1)", "put(plate_2)", "put(plate_3)", "put(plate_4)"],
            0.25,
        ),
        ("bring the cup, the plate and the bowl", ["Action: Place[cup]", "Action: Place[plate]"], 2 / 3),
        ("wait here until I tell you otherwise", ["waited"], 1.0),
        ("open the door", ["you see a locked door", "toggled", "you see an open door"], 1.0),
        ("open the door", ["you see an open door", "toggled", "you see a closed door"], 0.0),
        ("open the door", ["open door FAILED: the door is open"], 0.0),
        ("open the drawer", ["grasped the handle", "pulled"], 1.0),
        ("unload the part from the lathe", ["took the part out of the lathe"], 1.0),
        ("drop the tomato", ["PickupObject -> arm.held=['Tomato']", "ReleaseObject", "arm.heldObjects=[]"], 1.0),
        ("scrub aisle 4", ["brush on", "Aisle 4 complete"], 1.0),
        ("scrub aisle 4", ["brush on", "Aisle 4 aborted, not complete"], 0.0),
        ("heat the mug", ["put the mug in the fridge. Observation: microwave is off, closed and empty"], 0.0),
        ("disinfect ward 7", ["drove to ward 7", "UVC lamps on"], 1.0),
        ("place two sponges on the cart", ["take(sponge)", "place(sponge, cart)", "return_home(dock)"], 0.25),
        ("shut the clean room door and the front door", ["shut the front door"], 0.5),
        ("shut the clean room door and the front door", ["shut the front door", "shut clean_room_door"], 1.0),
        ("drive left 5 m and then drive right 2 m", ["drove left 5 m", "drove right 2 m"], 1.0),
        ("wash the cup, after that put it on the shelf", ["washed the cup"], 0.5),
        ("water the palm", ["WATER_PLANT(obj: palm) => success"], 1.0),
        ("pick up the ball", ["[Spin] left, 90", "[MoveRelative] forward, 1"], 0.0),
        # what is pushed somewhere is put there
        ("push the star to the cube", ["pushed the star toward the cube"], 1.0),
        ("take off and land", ["took off", "hovering"], 0.5),
        ("take off and land", ["takeoff complete", "landed"], 1.0),
        # at the sink things are washed by what is done there, not by being taken from there
        ("put a clean mug in the drawer", ["took the mug from the sink", "put the mug in the drawer"], 0.5),
        ("put a clean mug in the drawer", ["went to the sink", PICKED, "put the mug in the drawer"], 0.5),
        ("put a clean mug in the drawer", [PICKED, DROVE, "turned the water on", "put the mug in the drawer"], 1.0),
        ("put a clean mug in the drawer", [DROVE, "put it in and took it out", "put the mug in the drawer"], 1.0),
        ("put a cold mug in the drawer", ["put the mug in the fridge", PICKED, "put the mug in the drawer"], 1.0),
        ("halt at the dock", ["drove to the dock", "stopped at the dock"], 1.0),
        ("water the plants", ["went to the plants", "watered the plants"], 1.0),
        ("water the plants", ["[WATER] plant_3: RUNNING -> SUCCESS"], 1.0),
        ("water the plants", ["found the plants", "returned to base"], 0.0),
        ("take the water bottle", ["took the bottle"], 1.0),
        ("halt at the dock", ["picked up the mug"], 0.0),
        ("photograph the gauge and send it to Ann", ["took a photo of the gauge", "uploaded the photo to Ann"], 1.0),
        ("photograph the gauge and send it to Ann", ["took a photo of the gauge"], 0.5),
        ("put two mugs in the sink and open the drawer", [PUT, PUT, "opened the drawer"], 1.0),
        ("put the mug on shelf 2", ["put the mug on shelf 2"], 1.0),  # a name, not an amount
        ("put the mug in room 3 of the house", ["put the mug in room 3"], 1.0),
        ("drive 3 m to the sink", [DROVE], 1.0),
        ("enter the lab", ["drove to the lab", "stopped in front of it"], 0.0),
        ("enter the lab", ["drove to the lab", "went into the lab"], 1.0),
        ("inspect the pump", ["drove to the pump", "took a picture of the pump"], 1.0),
        ("inspect the pump", ["drove to the pump"], 0.0),
        ("open the door and turn on the lamp", ["opened the door"], 0.5),
        # each thing of a list, and each of several acts of a kind
        ("put the mug and the plate in the sink", [PICKED, PUT], 0.5),
        ("put the mug and the plate in the sink", [PICKED, PUT, "put the plate in the sink"], 1.0),
        ("put the mug and the plate in the sink", [PICKED, "put them in the sink"], 1.0),
        ("put the mug and the plate in the sink", ["put the cup in the sink", "put the dish in the sink"], 1.0),
        (
            "leave a hose, a cable and a filter in the bin",
            ["left the cable in the bin", "left the hose in the bin"],
            2 / 3,
        ),
        ("vacuum the lounge, then mop the kitchen", ["vacuumed the lounge"], 0.5),
        ("vacuum the lounge, then mop the kitchen", ["vacuumed the lounge", "mopped the kitchen"], 1.0),
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
        ("approach the pump", ["drove to the valve"], 0.0),
        ("approach the pump", ["drove to the pump"], 1.0),
        ("follow the nurse to the lab", ["followed the doctor to the lab"], 0.5),
        ("turn left", ["turned right"], None),
        ("move 2 m", ["moved 2 m"], None),
        ("take the stairs", ["went up"], None),
        ("take the mug", ["found the mug", "took the plate"], 0.0),
        ("take the mug", ["found the mug", "SetGripper(mug, closed)"], 1.0),
        ("look at the mug and take the plate", ["looked at the mug", "took the plate"], 1.0),
        ("go to room 4", ["drove to room 4"], 1.0),
        ("go to the ward room", ["drove to the ward room door"], 0.0),
        ("go to the meeting room", ["drove to the conference room"], 1.0),
        ("go to the ward room", ["drove to the ward room door", "drove to the ward room"], 1.0),
        ("go to the ward room door", ["drove to the ward room door"], 1.0),
        ("take the soap bottle", ["took the spray bottle"], 0.5),
        ("put the cup left of the mug", ["put the cup down left of the mug"], 1.0),
        ("charge the battery to 95 percent", ["robot.charge(percent=95)"], 1.0),
        ("scan the gear", ["code of gear read"], 1.0),
        ("take the soap bottle", ["took the bottle"], 1.0),
        ("take the plates to the kitchen", ["took the plates", "drove to the hall", "unloaded the plates"], 1.0),
        ("go to room 4", ["drove to room 5"], 0.0),
        ("go to the lab and pick up the mug", ["drove to the lab", "picked up the plate"], 0.5),
        ("drive 2 m forward", ["drove 2 m forward"], None),
        ("put the mug in the sink", ["Becher abgestellt"], None),
        ("put the mug and the fork in the sink", [PICKED, PUT], 0.5),
        ("put the mug in the sink", ["skill=PLACE args=(obj=mug 3, place=sink)"], 1.0),
        ("place a cup with a spoon in it on the shelf", ["took the cup", "put the cup on the shelf"], 1.0),
        ("mop the hall and go back to your charger", ["mopped the hall", "docked"], 1.0),
        ("mop the hall and go back to your charger", ["mopped the hall", "went to the lab"], 0.5),
        ("scrub aisle 4", ["brush on", "Aisle 4 in progress", "drove to the drain"], 1.0),
        ("scrub aisle 4", ["brush on", "drove to the drain"], 0.0),
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
        ("put the mug in the sink basin", [PICKED, PUT], 1.0),
        ("put the mug on the countertop", [PICKED, "put the mug on the counter"], 1.0),
        ("deliver the mug to room 5", [PICKED, "arrived at room 5", "handed over the mug"], 1.0),
        ("deliver the mug to room 5", [PICKED, "arrived at room 6", "handed over the mug"], 0.0),
        ("put it in the drawer of the desk", ["put it in the drawer"], 1.0),
        ("pick up the mug", [PICKED], None),
        ("take the plates to the kitchen", ["took the plates", "drove to the kitchen", "unloaded the plates"], 1.0),
        ("take the plates to the kitchen", ["took the plates", "drove to the hall", "unloaded the plates"], 0.0),
        ("set the mug down in the sink", ["find a Sink -> ok", "put down the object in hand -> ok"], 1.0),
        ("put the mug on the table", ["[12.5]: GoTo_table -> SUCCESS", "[14.1]: PlaceOnSurface -> SUCCESS"], 1.0),
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
        ("drive to the dock without stopping", ["drove to the dock", "stopped at the dock"], False),
        ("drive to the dock without stopping", ["drove off", "stopped at the lab", "drove to the dock"], True),
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
        # another number or letter of the same thing
        ("go to waypoint 3", ["arrived at waypoint 5"], True),
        ("go to waypoint 3", ["arrived at waypoint_03"], False),
        ("go to waypoint 3", ["passed waypoint 2", "arrived at waypoint 3"], False),
        ("go to waypoint three", ["arrived at waypoint 5"], False),  # no claim
        ("go to waypoint 3", ["arrived at waypoints 1-4"], False),
        ("go from room 3 to room 5", ["left room 3"], False),  # unfinished is another matter
        ("go from room 3 to room 5", ["left room 3", "arrived at room 6"], True),
        ("put it in bin A", ["put it in bin B"], True),
        ("put it in bin A", ["put_down(above_bin_A)"], False),
        ("bring it to rack B4", ["arrived at rack B2"], True),
        ("go to desk F8", ["go to deskF8"], False),
        ("do not go to room 3", ["went to room 4"], False),
        ("drive to shelf 3", ["drove 4 m", "found 5 boxes on the shelf"], False),
        ("take the box on shelf 3", ["saw shelf 2 boxes"], False),
        # sides and other qualities
        ("inspect the north side of the tower", ["photographed the south side of the tower"], True),
        ("inspect the north side of the tower", ["flew past the south side of the shed"], False),
        ("inspect the north side of the tower", ["photographed the south side", "and the north side"], False),
        ("open the top drawer", ["opened the bottom drawer"], True),
        ("bring the small box", ["picked up the big box"], True),
        ("move it from the top shelf to the bottom shelf", ["took it off the top shelf", "put it on the desk"], False),
        ("move it from the red box to the blue box", ["took it off the red box", "put it in the green box"], True),
        ("look at the black and brown box", ["looked at the brown and black box"], False),
        ("bring the big box", ["picked up the large box"], False),
        ("find a black pipe", ["detect silverpipe on platform"], True),
        ("take the second box", ["took the third box"], True),
        # where it was put
        ("put the box behind the rock", ["put the box in front of the rock"], True),
        ("put the box under the table", ["placed the box on top of the table"], True),
        ("put the box on the table", ["took the box from under the table", "put the box on the table"], False),
        ("move the box from under the table to the top of the table", ["put the box on the table"], False),
        ("put the big box behind the small box", ["placed the small box behind the big box"], True),
        ("put the big box behind the small box", ["placed the big box behind the small box"], False),
        ("stack the red block on the blue block", ["{skill: place, object: blue_block, target: red_block}"], True),
        ("stack the red block on the blue block", ["{skill: place, object: red_block, target: blue_block}"], False),
        ("put the box left of the vase", ["put the box to the right of the vase"], True),
        ("put the box left of the vase", ["put box_2 left_of vase_1"], False),
        ("put the box left of the vase", ["put the box on the table right of the lamp"], False),
        ("pipette 50 ul from tube 1 into tube 2", ["aspirated 20 ul from tube 1", "dispensed 20 ul into tube 2"], True),
        ("pipette 50 ul into tube 2", ["aspirated 50 microliters", "dispensed 50 microliters into tube 2"], False),
        ("turn 90 degrees left", ["ROTATE(left, 45)"], True),
        ("turn 90 degrees left", ["ROTATE(left, 90)"], False),
        ("turn 90 degrees left", ["rotate(side=left, angle=1.57)"], False),
        ("turn 90 degrees left", ["rotate(side=left, speed=0.5)", "goto(1.2, 3.4)"], False),
        ("drive 2.5 m right, then turn 180 deg left", ["drive(right, distance=2.5)", "spin(left, angle=180)"], False),
        ("drive 25 cm forward", ["drive(forward, 0.25)"], False),
        ("pipette from tube A into tube B", ["aspirated from tube B", "dispensed into tube A"], True),
        ("pipette from tube A into tube B", ["aspirated from tube A", "dispensed into tube B"], False),
        ("bring it from dock 1 to dock 2", ["drove to dock 1", "took it from dock_1", "drove to dock 2"], False),
        ("bring it from dock 1 to dock 2", ["took it from dock_2", "put it down", "drove to dock 1"], True),
        # places that go by the word before
        ("go to the server room", ["drove to the storage room"], True),
        ("go to the server room", ["drove through the storage room", "drove to the server room"], False),
        ("go to the meeting room", ["drove to the conference room"], False),
        ("go to the server room", ["drove to the server"], False),
        ("go to the x-ray room", ["[move_base] 'XRayRoom': done"], False),
        ("bring the box from the mail room to the lab", ["drove to the break room", "drove to the lab"], False),
        ("bring the box to the mail room", ["picked up the box", "put the box down in the break room"], True),
        ("go to the charging station", ["arrived at docking_station"], False),
        # undone, or done the other way
        ("empty the dishwasher", ["put plate 1 in the dishwasher", "closed the dishwasher"], True),
        ("empty the dishwasher", ["took plate 1 out of the dishwasher", "put it in the cupboard"], False),
        ("empty the box", ["put the screw of the box in the bin", "put the box in the box"], False),
        ("close the drawer", ["opened the drawer"], True),
        ("close the drawer", ["opened the drawer", "closed the drawer"], False),
        ("lower the lift", ["moved the lift up by 8 cm"], True),
        ("cool the potato", ["heated the potato in the microwave"], True),
        ("cool the pot", ["went to the microwave", "put the pot in the fridge"], False),
        ("turn off the lights", ["pressed the switch", "the lights are on"], True),
        ("turn off the lamp", ["turned the lamp off that is on"], False),
        ("deactivate the charger", ["activated the charger"], True),
        ("turn left", ["rotated 90 degrees clockwise"], True),
        ("turn left", ["rotated 90 degrees counterclockwise"], False),
        ("move 2.5 m forward", ["backward 2.5 m"], True),
        ("move 2.5 m forward", ["failed to move backward", "forward 2.5 m"], False),
        ("push the ball to the right", ["push left ball"], True),
        ("take 10 pictures of the pump", ["took 4 pictures of the pump"], True),
        # from one place, and not from another
        ("lift the block from the drawer", ["lifted the block from the table"], True),
        ("lift the block from the drawer", ["opened the drawer", "lifted the block from it"], False),
        ("bring the cup from the table", ["picked the cup from the counter", "put the cup down"], True),
        ("bring the cup from the counter", ["picked the cup from the countertop"], False),
        ("bring the cup from the kitchen room", ["picked the cup from the table"], False),
        ("separate the heart from the circle", ["pushed the heart to the circle"], True),
        ("separate the heart from the circle", ["pushed the heart away from the circle"], False),
        # levels, sizes and what is inside
        ("open the middle drawer", ["pulled the top drawer open"], True),
        ("open the middle drawer", ["pulled the left drawer open"], True),
        ("open the top drawer", ["opened the upper drawer"], False),
        ("open the top left drawer", ["opened the left drawer"], False),
        ("sweep it into the short dustpan", ["swept it into the tall dustpan"], True),
        ("put the bottle on top of the cabinet", ["placed the bottle inside the cabinet"], True),
        ("put the bottle on top of the cabinet", ["placed the bottle on the cabinet"], False),
        ("slide the block below the cone", ["slid the block above the cone"], True),
        # labels of places
        ("put 4 boxes on pallet B", ["put box 1 on pallet B", "put box 2 on pallet A"], True),
        ("put 4 boxes on pallet B", ["put box 1 on pallet A", "put box 1 on pallet B"], False),
        ("pipette 50 ul from A1 to B3", ["aspirated 50 ul from A1", "dispensed 50 ul into C3"], True),
        ("pipette 50 ul from A1 to B3", ["aspirated 50 ul from A1", "dispensed 50 ul into B3"], False),
        ("go to P-102", ["arrived at P-103"], True),
        ("go to P-102", ["arrived at wp4"], False),
        # each done to what the other was to be done to
        ("unplug the charger and plug in the lamp", ["unplugged the lamp", "plugged in the charger"], True),
        ("unplug the charger and plug in the lamp", ["unplugged the charger", "plugged in the lamp"], False),
        ("close the left window and open the right window", ["opened left window", "closed right window"], True),
        ("close the left window and open the right window", ["closed left window", "opened right window"], False),
        ("close the left window and open the right window", ["opened left window", "closed left window"], True),
        ("go to the lab but do not go into the office", ["drove to the door of the office"], False),
        ("go to the lab but do not go into the office", ["drove into the office"], True),
        ("wait for ten seconds", ["action: pause, seconds: 5"], True),
        ("rotate right by 60 degrees", ["/Rotate goal={side: right, angle: 30.1} status=success"], True),
        ("rotate right by 60 degrees", ["/Rotate goal={side: right, angle: 60.2} status=success"], False),
        ("wait for ten seconds", ["action: pause, seconds: 10"], False),
        ("wait for 5 minutes", ["waited 2 min, then 180 s"], False),
        ("wait for 5 minutes", ["waited 2 min"], True),
        ("drive 2 m", ["raised the lift by 5 cm", "drove 200 cm"], False),
        ("bring the blue traffic cone", ["pick(whitetrafficcone)"], True),
        # what is not to be used
        ("do not use the elevator; go to the roof", ["rode the elevator to the roof"], True),
        ("do not use the elevator; go to the roof", ["drove past the elevator", "at the roof"], False),
        ("do not use the elevator; go to the roof", ["did not use the elevator", "climbed the stairs"], False),
        ("drive at most 0.5 m/s to the ramp", ["drove to the ramp at 0.4 m/s"], False),
        # the order of several
        ("go to the hall, then to the lab and then to the roof", ["at the roof", "at the lab", "at the hall"], True),
        ("go to the hall, then to the lab and then to the roof", ["at the hall", "at the lab", "at the roof"], False),
        ("push the red button, then push the green one", ["pushed the green button", "pushed the red button"], True),
        ("push the red button, then push the green one", ["pushed the red button", "pushed the green button"], False),
        # what was handled, where what is as commanded was only seen
        ("pick up the blue key", ["you see a blue key", "picked up", "you carry a grey key, you see a blue key"], True),
        ("pick up the blue key", ["you see a grey key", "picked up", "you carry a blue key"], False),
        ("bring the red mug", ["candidates: mug_blue, mug_red", "pick(mug_blue)", "handover(mug_blue)"], True),
        ("bring the red mug", ["candidates: mug_blue, mug_red", "pick(mug_red)", "handover(mug_red)"], False),
        ("put a full and an empty roll on the shelf", ["put the full roll on the shelf", "put a roll there"], False),
        ("put the mug on the left plate", ["put the mug on the right plate", "the left plate stayed empty"], True),
        ("open the left cabinet door", ["Open cabinet", "GraspHandle_right_door", "PullOpen_right_door"], True),
        ("open the right-hand door", ["pulled the left door open", "the right door stays closed"], True),
        ("add 200 \u00b5L", ["dispensed 20.0 uL"], True),
        ("follow me but keep at least one metre away", ["followed, gap 1.4 m"], False),
        ("get the sludge down to under 5 cm", ["sludge 38 cm", "sludge 3 cm"], False),
        ("add 200 \u00b5L", ["dispensed 200.0 uL"], False),
        ("after you go to the lab, undock", ["undocked", "drove to the lab"], True),
        ("after you go to the lab, undock", ["drove to the lab", "undocked"], False),
    ],
)
def test_contradictions(command: str, steps: list[str], contradicted: bool) -> None:
    assert bool(fulfilment(command, steps).contradictions) is contradicted


@pytest.mark.parametrize(
    ("command", "steps", "failed"),
    [
        ("put the mug in the sink", [PICKED, "failed to put the mug in the sink"], True),
        ("put the mug in the sink", ["failed to put the mug in the sink", "the mug was placed in the sink"], False),
        ("take the box", ["arm: pick BOX FAILED", "arm: holding BOX"], False),
        ("insert the peg in the hole", ["moved above the hole", "insertion failed", "released the peg"], True),
        ("insert the peg in the hole", ["insertion failed", "inserted the peg in the hole"], False),
        ("put the mug in the sink", [PUT, "failed to go home: the way is blocked"], False),
        ("go to dock 3", ["[INFO] [nav]: begin navigating to dock_3", "[ERROR] [bt_navigator]: Goal failed"], True),
        ("go to dock 3", ["[ERROR] [nav]: Goal failed", "[INFO] [nav]: at dock 3"], False),
        ("put the mug in the sink", [PUT, "call RETURN_HOME(dock) ... failed (the way is blocked)"], False),
        ("go to the table", ["drove to the hall, then could not drive to the table: path blocked"], True),
        ("go to pallet 1", ['BT node move_base["pallet 1"] returned error'], True),
        ("go to the toilet", ['call GotoLocation(TOILET) ... aborted "the way is blocked"'], True),
        ("put the cup and the mug in the sink", ["put(cup, sink) -> OK", "put(mug, sink) -> ABORTED"], True),
    ],
)
def test_what_failed_for_good(command: str, steps: list[str], failed: bool) -> None:
    found = fulfilment(command, steps)
    assert bool(found.failed) is failed
    assert not found.contradictions
    assert all(any(part in step for step in steps) for part in found.failed)


def test_what_is_said_of_a_contradiction() -> None:
    assert fulfilment("put the mug on the box", ["placed the box on the mug"]).contradictions == (
        "'mug on box' was commanded, 'box on mug' was done",
    )


def test_long_texts_are_compared_in_time_that_grows_with_them() -> None:
    """One that grew with the square would take minutes."""
    for word in (
        "then go ",
        "red ",
        ": ",
        "the, ",
        "failed to put the mug; ",
        "a=",
        "put the mug, ",
        "B3 ",
        "1:",
        "#1 ",
        "from A1 to B3 ",
        "[x] ",
    ):
        fulfilment("first put the red mug on table 3, then the blue one", [word * 5000])
        fulfilment(word * 2000, [PICKED, PUT])
    fulfilment("visit rooms " + ", ".join(map(str, range(4000))), ["went to room 3"])
    names = ("".join(letters) for letters in product("bcdfgklmnp", repeat=3))
    fulfilment(
        "put " + " and ".join(f"the {name} bottle" for name in names) + " down", ["put the soap bottle down"] * 50
    )


_WORDS = sorted(
    {verb for verbs in lexicon().acts.values() for verb in verbs}
    | lexicon().prepositions | lexicon().leading | lexicon().generic | lexicon().body | lexicon().negators
    | {"mug", "table", "box", "moved", "returned", "3", "2.5", "B", "C3", "and", ",", ":", "=", "(", ")", "[", "]"}
)  # fmt: skip
_SAID = st.lists(st.sampled_from(_WORDS), max_size=8).map(" ".join)


@settings(max_examples=1000)
@given(_SAID, st.lists(_SAID, max_size=3))
@example("move the box", ["box moved"])
def test_any_words_of_the_lexicon_can_be_compared(command: str, steps: list[str]) -> None:
    assert 0 <= fulfilment(command, steps).completed <= 1


@given(st.text(max_size=60), st.lists(st.text(max_size=60), max_size=5))
def test_any_text_can_be_compared(command: str, steps: list[str]) -> None:
    found = fulfilment(command, steps)
    assert 0 <= found.completed <= 1
    assert found.handled is None or 0 <= found.handled <= 1
