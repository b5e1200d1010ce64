"""The live state machine, sentence by sentence of its module's description; then any sequence of events."""

from __future__ import annotations

import doctest
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flip_edge.monitor
from flip_edge import Config, Episode, Outcome, Verdict
from flip_edge.backward import Evidence
from flip_edge.decision import Decision
from flip_edge.monitor import MAX_RUN_CHARACTERS, Alert, Monitor
from flip_edge.verdict import verdict_of

IDLE = 30.0


@pytest.fixture
def monitor() -> Monitor:
    return Monitor(idle_timeout_s=IDLE, max_steps=200)


def said(episodes: list[Episode]) -> list[tuple[str, tuple[str, ...]]]:
    return [(episode.command, episode.steps) for episode in episodes]


def verdict(outcome: Outcome, id: str, command: str = "go") -> Verdict:
    episode = Episode(command, ("went",), id)
    return verdict_of(
        episode, Decision(outcome, "because", "likelihood"), Evidence(), Config(), model_id="m", prompt_id="p"
    )


def test_the_example_in_the_description_holds() -> None:
    assert doctest.testmod(flip_edge.monitor).failed == 0
    assert doctest.testmod(flip_edge.monitor).attempted > 3


# --- "A run begins with a command and collects the descriptions that follow."


def test_a_run_collects_the_descriptions_that_follow_its_command_in_order(monitor: Monitor) -> None:
    assert monitor.command("go to the dock", now=0) == []
    for step in ("left the hall", "turned", "turned", "docked"):
        assert monitor.action(step, now=1) == []
    assert said(monitor.command("next", now=2)) == [("go to the dock", ("left the hall", "turned", "turned", "docked"))]


def test_a_run_begins_empty(monitor: Monitor) -> None:
    monitor.command("one", now=0)
    monitor.action("did one", now=1)
    monitor.command("two", now=2)
    monitor.action("did two", now=3)
    assert said(monitor.flush()) == [("two", ("did two",))]


def test_texts_are_cleaned_on_arrival(monitor: Monitor) -> None:
    monitor.command(" go\nto the\tdock \x00", now=0)
    monitor.action("\x07docked\r\nCommand: go\n", now=1)
    assert said(monitor.flush()) == [("go to the dock", ("docked Command: go",))]


def test_ids_are_carried_and_runs_without_one_get_their_own(monitor: Monitor) -> None:
    monitor.command("one", id="c-17", now=0)
    first = monitor.command("two", now=1)
    second = monitor.command("three", now=2)
    third = monitor.flush()
    assert first[0].id == "c-17"
    ids = [first[0].id, second[0].id, third[0].id]
    assert all(ids)
    assert len(set(ids)) == 3


# --- "It ends, and is to be checked, when ..."


def test_a_final_description_ends_its_run_and_is_part_of_it(monitor: Monitor) -> None:
    monitor.command("go", id="c", now=0)
    monitor.action("started", command_id="c", now=1)
    assert said(monitor.action("arrived", command_id="c", final=True, now=2)) == [("go", ("started", "arrived"))]
    assert monitor.flush() == []
    assert monitor.tick(1000) == []


def test_an_empty_final_description_ends_its_run(monitor: Monitor) -> None:
    monitor.command("go", id="c", now=0)
    monitor.action("arrived", command_id="c", now=1)
    assert said(monitor.action("", command_id="c", final=True, now=2)) == [("go", ("arrived",))]


def test_a_final_description_without_an_id_ends_the_active_run(monitor: Monitor) -> None:
    monitor.command("go", now=0)
    assert said(monitor.action("arrived", final=True, now=1)) == [("go", ("arrived",))]


def test_the_next_command_ends_a_run_also_one_without_descriptions(monitor: Monitor) -> None:
    monitor.command("one", now=0)
    ended = monitor.command("two", now=1)
    assert said(ended) == [("one", ())]
    assert "no actions" in (ended[0].problem() or "")


def test_silence_for_the_timeout_ends_a_run_and_not_sooner(monitor: Monitor) -> None:
    monitor.command("go", now=0)
    monitor.action("started", now=10)
    assert monitor.tick(10 + IDLE - 0.01) == []
    assert said(monitor.tick(10 + IDLE)) == [("go", ("started",))]
    assert monitor.tick(10 + 2 * IDLE) == []  # checked once
    assert monitor.tick(10 + 200 * IDLE) == []


def test_every_description_begins_the_silence_anew(monitor: Monitor) -> None:
    monitor.command("go", now=0)
    for now in range(20, 200, 20):
        monitor.action("on the way", now=now)
        assert monitor.tick(now + 19) == []


def test_a_command_that_nothing_follows_is_checked_after_the_timeout(monitor: Monitor) -> None:
    monitor.command("go", now=5)
    assert monitor.tick(5 + IDLE - 0.01) == []
    (episode,) = monitor.tick(5 + IDLE)
    assert "no actions" in (episode.problem() or "")


def test_after_an_idle_check_the_run_stays_open_and_is_checked_again_as_a_whole(monitor: Monitor) -> None:
    monitor.command("go", now=0)
    monitor.action("started", now=1)
    assert said(monitor.tick(40)) == [("go", ("started",))]
    assert monitor.open_runs == 1
    monitor.action("arrived", now=100)
    assert monitor.tick(101) == []
    (again,) = monitor.tick(100 + IDLE)
    assert said([again]) == [("go", ("started", "arrived"))]
    assert said(monitor.action("docked", final=True, now=200)) == [("go", ("started", "arrived", "docked"))]


def test_the_checks_of_one_run_carry_one_id(monitor: Monitor) -> None:
    monitor.command("go", now=0)
    first = monitor.tick(40)
    monitor.action("went", now=41)
    second = monitor.tick(100)
    assert first[0].id == second[0].id


def test_a_run_without_news_since_its_idle_check_is_not_checked_again_when_it_ends(monitor: Monitor) -> None:
    monitor.command("go", now=0)
    monitor.action("went", now=1)
    assert len(monitor.tick(40)) == 1
    assert monitor.command("next", now=50) == []


def test_simulated_time_that_jumps_back_neither_ends_a_run_nor_keeps_it_open_for_ever(monitor: Monitor) -> None:
    monitor.command("go", now=1000)
    monitor.action("went", now=1001)
    assert monitor.tick(5) == []
    assert monitor.tick(5 + IDLE - 0.01) == []
    assert said(monitor.tick(5 + IDLE)) == [("go", ("went",))]


def test_settings_can_change_while_runs_are_open(monitor: Monitor) -> None:
    monitor.command("go", now=0)
    monitor.action("went", now=0)
    monitor.idle_timeout_s = 5
    assert len(monitor.tick(5)) == 1


# --- "A description without an id belongs to the command that is active when it arrives; one with an id, to ..."


def test_a_description_with_an_id_belongs_to_that_command(monitor: Monitor) -> None:
    monitor.command("go", id="a", now=0)
    monitor.action("by id", command_id="a", now=1)
    monitor.action("by time", now=2)
    assert said(monitor.flush()) == [("go", ("by id", "by time"))]


def test_descriptions_that_come_before_their_command_begin_its_run(monitor: Monitor) -> None:
    monitor.command("first", id="a", now=0)
    monitor.action("of the first", now=1)
    monitor.action("of the second", command_id="b", now=2)
    monitor.action("more of the first", now=3)
    assert said(monitor.command("second", id="b", now=4)) == [("first", ("of the first", "more of the first"))]
    monitor.action("the rest of the second", now=5)
    assert said(monitor.flush()) == [("second", ("of the second", "the rest of the second"))]


def test_early_descriptions_wait_for_their_command_though_another_comes_first(monitor: Monitor) -> None:
    monitor.action("early for c", command_id="c", now=0)
    ended = monitor.command("second", id="b", now=1)
    ended += monitor.command("third", id="c", now=2)
    ended += monitor.flush()
    assert ("third", ("early for c",)) in said(ended)
    assert "early for c" not in [step for command, steps in said(ended) if command != "third" for step in steps]


def test_early_descriptions_whose_command_never_comes_are_checked_after_silence(monitor: Monitor) -> None:
    monitor.action("early", command_id="b", now=0)
    (episode,) = monitor.tick(IDLE)
    assert (episode.id, episode.command, episode.steps) == ("b", "", ("early",))
    assert "no command" in (episode.problem() or "")


def test_a_command_that_comes_after_its_early_descriptions_were_checked_is_checked_too(monitor: Monitor) -> None:
    monitor.action("went", command_id="b", now=0)
    (without,) = monitor.tick(IDLE)
    assert without.command == ""
    monitor.command("go", id="b", now=IDLE + 1)
    assert said(monitor.tick(3 * IDLE)) == [("go", ("went",))]


# --- "A description for a run that has ended is late: it is counted and not used."


@pytest.mark.parametrize("end", ["final", "command"])
def test_a_description_for_a_run_that_has_ended_is_counted_and_not_used(monitor: Monitor, end: str) -> None:
    monitor.command("one", id="a", now=0)
    monitor.action("did", command_id="a", final=end == "final", now=1)
    monitor.command("two", id="b", now=2)
    assert monitor.action("late", command_id="a", now=3) == []
    assert monitor.action("late and final", command_id="a", final=True, now=4) == []
    assert monitor.counters.late_descriptions == 2
    assert said(monitor.flush()) == [("two", ())]


# --- "Descriptions without a command are a run too, and end as UNKNOWN."


def test_descriptions_without_a_command_are_a_run_that_cannot_be_judged(monitor: Monitor) -> None:
    monitor.action("drove", now=0)
    monitor.action("stopped", now=1)
    (episode,) = monitor.tick(1 + IDLE)
    assert episode.steps == ("drove", "stopped")
    assert "no command" in (episode.problem() or "")


@pytest.mark.parametrize("end", ["final", "command", "flush"])
def test_descriptions_without_a_command_end_like_any_run(monitor: Monitor, end: str) -> None:
    assert monitor.action("drove", now=0) == []
    ended = {
        "final": lambda: monitor.action("stopped", final=True, now=1),
        "command": lambda: monitor.command("go", now=1),
        "flush": monitor.flush,
    }[end]()
    assert [(episode.command, episode.steps[0]) for episode in ended] == [("", "drove")]


def test_they_are_no_part_of_the_command_that_follows(monitor: Monitor) -> None:
    monitor.action("drove", now=0)
    monitor.command("go", now=1)
    monitor.action("went", now=2)
    assert said(monitor.flush()) == [("go", ("went",))]


def test_a_blank_command_is_a_run_that_cannot_be_judged(monitor: Monitor) -> None:
    monitor.command("one", now=0)
    assert len(monitor.command(" \n", now=1)) == 1
    monitor.action("went", now=2)
    (episode,) = monitor.flush()
    assert "no command" in (episode.problem() or "")


# --- "The same command again, by its id or word for word before anything was described, is a repetition ..."


def test_the_same_words_again_before_anything_was_described_change_nothing(monitor: Monitor) -> None:
    monitor.command("go to the dock", now=0)
    assert monitor.command("go to the dock", now=1) == []
    assert monitor.command(" go to  the dock\n", now=2) == []
    assert (monitor.counters.commands, monitor.counters.repeated_commands) == (1, 2)
    monitor.action("docked", now=3)
    assert said(monitor.flush()) == [("go to the dock", ("docked",))]


def test_the_same_words_after_something_was_described_are_a_new_command(monitor: Monitor) -> None:
    monitor.command("go to the dock", now=0)
    monitor.action("docked", now=1)
    assert said(monitor.command("go to the dock", now=2)) == [("go to the dock", ("docked",))]
    assert monitor.counters.repeated_commands == 0


def test_the_same_id_again_changes_nothing_also_after_descriptions(monitor: Monitor) -> None:
    monitor.command("go", id="a", now=0)
    monitor.action("started", now=1)
    assert monitor.command("go", id="a", now=2) == []
    monitor.action("arrived", now=3)
    assert said(monitor.flush()) == [("go", ("started", "arrived"))]
    assert monitor.counters.repeated_commands == 1


def test_the_same_words_under_another_id_are_another_command(monitor: Monitor) -> None:
    monitor.command("go", id="a", now=0)
    assert [episode.id for episode in monitor.command("go", id="b", now=1)] == ["a"]


def test_a_command_sent_again_once_a_second_does_not_put_off_the_check(monitor: Monitor) -> None:
    """A repetition changes nothing: the run is as silent as before."""
    monitor.command("go", id="a", now=0)
    monitor.action("went", now=0)
    checked = []
    for now in range(1, 4 * int(IDLE)):
        monitor.command("go", id="a", now=now)
        checked += monitor.tick(now)
    assert said(checked) == [("go", ("went",))]


def test_a_command_sent_again_after_its_run_ended_begins_another(monitor: Monitor) -> None:
    """A robot may use an id for a task: to ignore it would be to check that task once and never again."""
    for round in range(2):
        monitor.command("go", id="a", now=10 * round)
        (episode,) = monitor.action("arrived", command_id="a", final=True, now=10 * round + 1)
        assert episode.steps == ("arrived",)
        alert = monitor.conclude(verdict(Outcome.MISMATCH, episode.id))
        assert alert is not None
        assert (alert.raised, alert.consecutive) == (True, round + 1)
    assert monitor.counters.repeated_commands == 0


# --- "An alert is raised by the first MISMATCH of a run, once a run, and cleared by the next MATCH. ..."


def test_a_mismatch_raises_and_the_next_match_clears(monitor: Monitor) -> None:
    raised = monitor.conclude(verdict(Outcome.MISMATCH, "a"))
    assert raised is not None
    assert (raised.raised, raised.id, raised.consecutive, raised.verdict.command_id) == (True, 1, 1, "a")
    assert monitor.alert is raised
    cleared = monitor.conclude(verdict(Outcome.MATCH, "b"))
    assert cleared is not None
    assert (cleared.raised, cleared.id, cleared.consecutive, cleared.verdict.command_id) == (False, 1, 0, "b")
    assert monitor.conclude(verdict(Outcome.MATCH, "c")) is None
    again = monitor.conclude(verdict(Outcome.MISMATCH, "d"))
    assert again is not None
    assert (again.raised, again.id, again.consecutive) == (True, 2, 1)


def test_a_match_at_first_changes_nothing(monitor: Monitor) -> None:
    assert monitor.conclude(verdict(Outcome.MATCH, "a")) is None
    assert monitor.alert is None


def test_a_run_raises_once_however_often_it_is_checked(monitor: Monitor) -> None:
    assert monitor.conclude(verdict(Outcome.MISMATCH, "a")) is not None
    assert monitor.conclude(verdict(Outcome.MISMATCH, "a")) is None
    assert monitor.counters.alerts == 1


def test_every_mismatched_run_raises_and_they_are_counted_in_a_row(monitor: Monitor) -> None:
    alerts = [monitor.conclude(verdict(Outcome.MISMATCH, id)) for id in "abc"]
    assert [alert and (alert.id, alert.consecutive) for alert in alerts] == [(1, 1), (2, 2), (3, 3)]


def test_unknown_neither_raises_nor_clears(monitor: Monitor) -> None:
    assert monitor.conclude(verdict(Outcome.UNKNOWN, "a")) is None
    raised = monitor.conclude(verdict(Outcome.MISMATCH, "b"))
    assert monitor.conclude(verdict(Outcome.UNKNOWN, "c")) is None
    assert monitor.alert is raised
    monitor.conclude(verdict(Outcome.MATCH, "d"))
    assert monitor.conclude(verdict(Outcome.UNKNOWN, "e")) is None
    assert monitor.alert is not None
    assert not monitor.alert.raised


def test_a_slow_robots_early_mismatch_is_corrected_by_the_match_of_the_whole_run(monitor: Monitor) -> None:
    monitor.conclude(verdict(Outcome.MISMATCH, "a"))
    cleared = monitor.conclude(verdict(Outcome.MATCH, "a"))
    assert cleared is not None
    assert not cleared.raised


def test_a_run_whose_alert_was_cleared_does_not_raise_a_second_one(monitor: Monitor) -> None:
    monitor.conclude(verdict(Outcome.MISMATCH, "a"))
    monitor.conclude(verdict(Outcome.MATCH, "b"))
    assert monitor.conclude(verdict(Outcome.MISMATCH, "a")) is None
    assert monitor.counters.alerts == 1


def test_two_runs_never_share_an_alert_even_if_a_callers_id_looks_like_one_of_ours(monitor: Monitor) -> None:
    ids = []
    monitor.command("one", now=0)
    ids += [episode.id for episode in monitor.command("two", id="run-2", now=1)]
    ids += [episode.id for episode in monitor.command("three", now=2)]
    ids += [episode.id for episode in monitor.flush()]
    alerts = [monitor.conclude(verdict(Outcome.MISMATCH, id)) for id in ids]
    assert all(alerts), ids


def test_verdicts_are_counted(monitor: Monitor) -> None:
    for outcome in (Outcome.MATCH, Outcome.MATCH, Outcome.UNKNOWN, Outcome.MISMATCH):
        monitor.conclude(verdict(outcome, "a"))
    assert monitor.counters.verdicts == {"MATCH": 2, "MISMATCH": 1, "UNKNOWN": 1}


# --- bounds


def test_descriptions_beyond_the_limit_are_counted_and_make_the_run_unknown(monitor: Monitor) -> None:
    monitor.command("go", now=0)
    for number in range(1000):
        monitor.action(f"step {number}", now=1)
    (episode,) = monitor.flush()
    assert (len(episode.steps), episode.dropped_steps) == (200, 800)
    assert "800 of its 1000 descriptions were dropped" in (episode.problem() or "")
    assert (monitor.counters.descriptions, monitor.counters.dropped_descriptions) == (1000, 800)


def test_a_lost_message_makes_the_active_run_unknown_and_no_other(monitor: Monitor) -> None:
    monitor.lose()  # nothing is active: nothing is spoilt
    monitor.command("go there", now=0.0)
    monitor.lose(2)
    (first,) = monitor.command("go there", now=1.0)  # no repetition: something was done, whatever it was
    assert "2 of its 2 descriptions were dropped or lost" in (first.problem() or "")
    monitor.action("went there", now=2.0)
    (second,) = monitor.flush()
    assert second.problem() is None
    assert monitor.counters.dropped_descriptions == 3


def test_a_run_exactly_at_the_limit_is_whole(monitor: Monitor) -> None:
    monitor.command("go", now=0)
    for _ in range(200):
        monitor.action("step", now=1)
    (episode,) = monitor.flush()
    assert episode.problem() is None


def test_a_flood_of_text_is_bounded(monitor: Monitor) -> None:
    monitor.command("go", now=0)
    for _ in range(100):
        monitor.action("x" * 100_000, now=1)
    (episode,) = monitor.flush()
    assert sum(map(len, episode.steps)) <= MAX_RUN_CHARACTERS
    assert episode.dropped_steps == 98


def test_a_flood_of_ids_is_bounded_and_every_run_comes_out(monitor: Monitor) -> None:
    ended = []
    for number in range(1000):
        ended += monitor.action(f"step {number}", command_id=f"c{number}", now=number)
        assert monitor.open_runs <= 64
    ended += monitor.flush()
    assert [episode.steps for episode in ended] == [(f"step {number}",) for number in range(1000)]


def test_a_flood_of_ids_does_not_end_the_run_of_the_active_command(monitor: Monitor) -> None:
    monitor.command("go", id="a", now=0)
    monitor.action("started", now=1)
    for number in range(1000):
        monitor.action("?", command_id=f"stray-{number}", now=2)
    monitor.action("arrived", now=3)
    assert ("go", ("started", "arrived")) in said(monitor.flush())


# --- any sequence


@dataclass(frozen=True)
class Event:
    kind: str
    id: str
    final: bool
    wait: float


EVENTS = st.lists(
    st.builds(
        Event,
        kind=st.sampled_from(["command", "command", "action", "action", "action", "tick", "flush"]),
        id=st.sampled_from(["", "", "a", "b", "c", "run-1", "run-2"]),
        final=st.sampled_from([False, False, False, True]),
        wait=st.sampled_from([0.0, 1.0, 9.9, 10.0, 25.0, -5.0]),
    ),
    max_size=60,
)


@dataclass
class Played:
    """A monitor after a sequence of events, with unique texts, and everything that came out of it."""

    monitor: Monitor
    sent: list[str]
    commands: list[str]
    episodes: list[Episode]


def play(events: list[Event], *, max_steps: int = 4) -> Played:
    monitor = Monitor(idle_timeout_s=10, max_steps=max_steps)
    played = Played(monitor, [], [], [])
    now = 0.0
    for number, event in enumerate(events):
        now += event.wait
        if event.kind == "command":
            played.commands.append(f"command {number}")
            played.episodes += monitor.command(played.commands[-1], id=event.id, now=now)
        elif event.kind == "action":
            played.sent.append(f"step {number}")
            played.episodes += monitor.action(played.sent[-1], command_id=event.id, final=event.final, now=now)
        elif event.kind == "tick":
            played.episodes += monitor.tick(now)
        else:
            played.episodes += monitor.flush()
        assert monitor.open_runs <= 64
    played.episodes += monitor.flush()
    assert monitor.open_runs == 0
    return played


def last_states(episodes: list[Episode]) -> list[Episode]:
    """One episode a run: a run that was checked while it was open comes again, longer."""
    runs: list[Episode] = []
    for episode in episodes:
        for index, run in enumerate(runs):
            same = run.id == episode.id and run.command in ("", episode.command)  # its command may come late
            if same and run.steps and episode.steps[: len(run.steps)] == run.steps:
                runs[index] = episode
                break
        else:
            runs.append(episode)
    return runs


@settings(max_examples=400, deadline=None)
@given(EVENTS)
def test_every_description_is_in_one_run_or_counted_as_dropped_or_late(events: list[Event]) -> None:
    played = play(events)
    counters = played.monitor.counters
    runs = last_states(played.episodes)
    used = Counter(step for run in runs for step in run.steps)
    assert set(used) <= set(played.sent)
    assert max(used.values(), default=1) == 1, "in two runs"
    assert counters.descriptions == len(played.sent)
    assert len(played.sent) == len(used) + counters.dropped_descriptions + counters.late_descriptions


@settings(max_examples=200, deadline=None)
@given(EVENTS)
def test_steps_keep_their_order_and_runs_their_limit(events: list[Event]) -> None:
    played = play(events)
    order = {step: number for number, step in enumerate(played.sent)}
    for episode in played.episodes:
        numbers = [order[step] for step in episode.steps]
        assert numbers == sorted(numbers)
        assert len(episode.steps) <= 4
        assert not episode.dropped_steps or len(episode.steps) == 4


@settings(max_examples=200, deadline=None)
@given(EVENTS)
def test_every_command_is_checked(events: list[Event]) -> None:
    played = play(events)
    assert {episode.command for episode in played.episodes} - {""} == set(played.commands)


@settings(max_examples=200, deadline=None)
@given(EVENTS)
def test_a_description_without_an_id_is_in_the_run_of_the_command_before_it(events: list[Event]) -> None:
    events = [event for event in events if not event.id.startswith("run-")]
    run_of = {step: episode.command for episode in play(events, max_steps=1000).episodes for step in episode.steps}
    active, active_id = "", ""
    for number, event in enumerate(events):
        if event.kind == "command":
            active, active_id = f"command {number}", event.id
        elif event.kind == "action" and not event.id:
            assert run_of[f"step {number}"] == active
        if event.kind == "flush" or (event.kind == "action" and event.final and event.id in ("", active_id)):
            active, active_id = "", ""


VERDICTS = st.lists(st.tuples(st.sampled_from(list(Outcome)), st.sampled_from("abcd")), max_size=40)


@settings(max_examples=300, deadline=None)
@given(VERDICTS)
def test_alerts_alternate_properly(verdicts: list[tuple[Outcome, str]]) -> None:
    monitor = Monitor(idle_timeout_s=10, max_steps=10)
    current: Alert | None = None
    raised = 0
    for outcome, id in verdicts:
        change = monitor.conclude(verdict(outcome, id))
        if change is None:
            pass
        elif change.raised:
            raised += 1
            assert outcome is Outcome.MISMATCH
            assert change.id == raised
            assert change.consecutive == (current.consecutive + 1 if current and current.raised else 1)
        else:
            assert outcome is Outcome.MATCH
            assert current is not None
            assert current.raised, "cleared what was not raised"
            assert (change.id, change.consecutive) == (current.id, 0)
        current = change or current
        assert monitor.alert is current
        assert outcome is not Outcome.MATCH or not (current and current.raised), "a match leaves no alert"
        assert outcome is not Outcome.MISMATCH or current is not None
    assert monitor.counters.alerts == raised
    assert sum(monitor.counters.verdicts.values()) == len(verdicts)


def test_the_active_run_can_be_seen_while_it_goes_on() -> None:
    monitor = Monitor(idle_timeout_s=30, max_steps=2)
    assert monitor.so_far() is None
    monitor.command("go to the dock", id="a", now=0.0)
    assert monitor.so_far() is None
    monitor.action("drove off", now=1.0)
    monitor.action("opened a door", command_id="b", now=1.0)
    assert monitor.so_far() == Episode("go to the dock", ("drove off",), "a")
    monitor.action("stopped", now=2.0)
    monitor.action("waited", now=3.0)
    seen = monitor.so_far()
    assert seen
    assert seen.dropped_steps == 1
    assert monitor.counters.runs == 0
    assert monitor.command("go on", id="c", now=4.0) == [seen]
    assert monitor.so_far() is None
