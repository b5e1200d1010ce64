"""From labelled runs to an adapter: what is trained on, and how. For a desk; the robot never needs it.

The way of one row, one module each::

    readers, world, gridworld, roomworld -> Task (plan.py) -> negatives -> styles, wording -> prepare
"""
