"""Logs and commands in many styles say what the plan says, and the same seed says it the same way."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.dressing import Dressing, may_leave
from training.errands import KINDS, make_task
from training.naming import USER, Naming, measured
from training.plan import Act, Quantity, Result, Task, Thing
from training.styles import FAMILIES, Style
from training.wording import Wording, merged

MUG, TABLE, SINK = Thing("coffee mug", ("red",)), Thing("side table"), Thing("sink")
RUN = (
    Act("go", place=TABLE),
    Act("pick", thing=MUG, source=TABLE, essential=True),
    Act("go", place=SINK),
    Act("place", thing=MUG, place=SINK, essential=True),
)
TASKS = st.builds(make_task, st.just(7), st.integers(0, 5000))
STYLES = st.builds(Style, st.sampled_from(FAMILIES), st.integers(0, 10**6))


def squeezed(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum() or character == ".")


def test_there_are_tasks_of_every_kind() -> None:
    kinds = {make_task(0, number).kind for number in range(600)}
    assert set(KINDS) <= kinds
    assert any("+" in kind for kind in kinds)


@settings(deadline=None, max_examples=150)
@given(TASKS, STYLES)
def test_a_log_names_everything_that_matters(task: Task, style: Style) -> None:
    log = squeezed(" ".join(style.render(task.acts)))
    for act in task.acts:
        if not act.essential:
            continue
        for thing in (act.thing, act.place):
            if thing and thing.name != USER and act.verb != "give":
                assert squeezed(thing.words) in log
        if act.amount and not style.measures:
            assert squeezed(f"{act.amount.value:g}") in log
        if act.side:
            assert act.side in log


@settings(deadline=None, max_examples=150)
@given(TASKS, st.integers(0, 10**6))
def test_a_command_names_all_of_its_goal(task: Task, seed: int) -> None:
    command = Wording(seed).render(task.goal, ordered=task.ordered)
    assert "{" not in command
    for act in task.goal:
        for thing in (act.thing, act.place):
            if thing and thing.name != USER and thing.count == 1:
                assert squeezed(thing.words) in squeezed(command)
        assert act.side in command
        assert not act.negated or "not " in command or "never " in command
    assert not task.ordered or any(word in command.lower() for word in ("then", "before", "after"))


@settings(deadline=None, max_examples=100)
@given(TASKS, STYLES)
def test_a_cut_run_reads_like_the_start_of_the_whole(task: Task, style: Style) -> None:
    if style.family == "narrative" or style.chatters:
        return
    whole = style.render(task.acts)
    assert len(whole) == len(task.acts)
    assert style.render(task.acts[:2]) == whole[:2]


@settings(deadline=None, max_examples=100)
@given(TASKS, STYLES)
def test_a_failure_can_be_read_where_results_are_told(task: Task, style: Style) -> None:
    failed = (*task.acts[:-1], replace(task.acts[-1], result=Result.FAILED))
    assert (style.render(failed) != style.render(task.acts)) == style.tells_results


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_has_many_styles(family: str) -> None:
    logs = {Style(family, seed).render(RUN) for seed in range(60)}
    assert len(logs) > 40 or family == "describer"
    assert all(Style(family, seed).render(RUN) == Style(family, seed).render(RUN) for seed in range(5))


def test_sentences_in_tenses_and_persons() -> None:
    firsts = {Style("sentences", seed).render(RUN)[1].lower().rstrip(".") for seed in range(400)}
    words = {" ".join(line.split()[:2]) for line in firsts}
    assert {"picked up", "i picked", "picking up", "the robot", "picks up", "pick up"} <= words


def test_the_describer_of_the_package() -> None:
    failed = replace(RUN[3], result=Result.FAILED, reason="no free place")
    assert Style("describer", 0).render((*RUN[:3], failed)) == (
        "drove to the side table",
        "picked up the red coffee mug from the side table",
        "drove to the sink",
        "failed to put the red coffee mug in the sink: no free place",
    )
    assert Style("describer", 0).render([Act("go", place=Thing("room", label="12"))]) == ("drove to room 12",)


def test_json_logs_are_json() -> None:
    lines = [line for seed in range(40) for line in Style("json", seed).render(RUN) if line.startswith("{")]
    assert lines
    assert all(isinstance(json.loads(line), dict) for line in lines)


def test_environment_commands() -> None:
    logs = {Style("environment", seed).render(RUN) for seed in range(200)}
    assert ("go to sidetable", "take redcoffeemug from sidetable", "go to sink", "put redcoffeemug in/on sink") in logs
    assert any("[" in log[0] and "<side_table>" in log[0] for log in logs)


def test_measured_amounts_are_close_and_counts_exact() -> None:
    drive = Act("move", side="forward", amount=Quantity(2, "m"))
    values = set()
    for seed in range(100):
        style = Style("skill_calls", seed)
        (line,) = style.render([drive])
        value = float(re.findall(r"\d+(?:\.\d+)?", line)[-1])
        values.add(value)
        assert 1.96 <= value <= 2.04
        assert value == 2 or style.measures
    assert len(values) > 3
    assert measured(Quantity(7, "pictures"), 3) == Quantity(7, "pictures")


def test_chatter_comes_between_the_lines_of_the_task() -> None:
    style = next(style for seed in range(100) if (style := Style("telemetry", seed)).chatters)
    whole, cut = style.render(RUN * 3), style.render(RUN)
    assert len(whole) > 3 * len(RUN)
    assert whole[: len(cut)] == cut


def test_how_things_lie_is_told() -> None:
    act = Act("place", thing=MUG, place=Thing("plate"), relation="left of")
    for family in FAMILIES:
        for seed in range(30):
            assert "left" in " ".join(Style(family, seed).render([act])).lower()


def test_numbers_of_a_command_can_be_words() -> None:
    goal = (Act("photograph", thing=Thing("pump"), amount=Quantity(3, "pictures")),)
    commands = {Wording(seed).render(goal).lower() for seed in range(60)}
    assert any("three pictures" in command for command in commands)
    assert any("3 pictures" in command for command in commands)


def test_a_command_can_be_in_the_words_of_the_log() -> None:
    goal = (Act("place", thing=Thing("alarm clock", count=2), place=Thing("coffee table")),)
    commands = [Wording(seed, Naming("joined", "{name} {number}")).render(goal).lower() for seed in range(50)]
    assert all("two alarmclock" in command and "coffeetable" in command for command in commands)
    assert any("the coffeetable" in command for command in commands)


def test_most_commands_are_plain_and_begin_with_the_usual_verb() -> None:
    goal = (Act("place", thing=Thing("mug"), place=Thing("table")),)
    commands = [Wording(seed).render(goal).lower() for seed in range(300)]
    plain = [
        command for command in commands if command.split()[0] in ("put", "place", "set", "leave", "deposit", "lay")
    ]
    assert 0.7 < len(plain) / len(commands) < 0.95
    usual = [command for command in plain if command.startswith("put")]
    assert 0.3 < len(usual) / len(plain) < 0.7


def test_a_change_of_state_may_become_an_attribute() -> None:
    apple, fridge = Thing("apple"), Thing("fridge")
    (act,) = merged((Act("clean", thing=apple), Act("place", thing=apple, place=fridge)))
    assert act.thing is not None
    assert act.thing.attributes[0] in ("clean", "cleaned", "washed", "rinsed")


@settings(deadline=None, max_examples=150)
@given(TASKS, st.integers(0, 10**6), st.sampled_from(["full", "no sources", "no ways"]), st.integers(0, 4))
def test_a_dressed_run_is_still_the_run(task: Task, seed: int, ways: str, search: int) -> None:
    dressing = Dressing(seed, search=search, retry=True, ways=ways)
    told = dressing.dress(task.acts, [Thing("attic"), Thing("fridge")])

    def essential(acts: tuple[Act, ...]) -> list[Act]:
        return [replace(act, source=None) for act in acts if act.essential and act.result is Result.DONE]

    assert essential(told) == essential(task.acts)


def test_a_robot_that_looked_elsewhere_comes_back_before_it_picks_up() -> None:
    box, mug = Thing("box"), Thing("mug")
    there = [Act("go", place=box), Act("open", thing=box), Act("find", mug, box), Act("pick", mug, source=box)]
    told = Dressing(5, search=2).dress(there, [Thing("bench"), Thing("rack")])
    assert len(told) > len(there)
    assert list(told[-4:]) == there


def test_a_search_comes_before_the_first_pick_in_a_run_and_in_its_cut() -> None:
    dressing = Dressing(5, search=2)
    places = [Thing("shelf"), Thing("drawer"), Thing("bed")]
    whole, cut = dressing.dress(RUN, places), dressing.dress(RUN[:2], places)
    assert len(whole) > len(RUN) + 1
    assert whole[: len(cut)] == cut


def test_driving_away_afterwards_is_told_of_right_and_wrong_runs() -> None:
    for result in Result:
        told = Dressing(after=result).dress(RUN)
        assert told[:-1] == RUN
        assert told[-1].verb == "return"
        assert told[-1].result is result
        assert Dressing(after=result).dress(RUN[:2])[-1] == told[-1]
    assert may_leave([RUN[3]])
    assert not may_leave([RUN[3], Act("go", place=SINK)])


def test_heating_told_act_by_act() -> None:
    heat = Act("heat", thing=Thing("egg"), place=Thing("microwave"), essential=True)
    verbs = [act.verb for act in Dressing(expanded=True).dress([heat])]
    assert verbs == ["open", "place", "close", "turn on", "turn off", "open", "pick", "close"]
