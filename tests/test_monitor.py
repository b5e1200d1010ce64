"""The live state machine, sentence by sentence of its module's description; then any sequence of events."""

from __future__ import annotations

import doctest
from collections import Counter
from dataclasses import dataclass, replace

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
    assert monitor.so_far() == Episode("go to the dock", ("drove off",), "a", finished=False)
    monitor.action("stopped", now=2.0)
    monitor.action("waited", now=3.0)
    seen = monitor.so_far()
    assert seen
    assert seen.dropped_steps == 1
    assert monitor.counters.runs == 0
    assert monitor.command("go on", id="c", now=4.0) == [replace(seen, finished=True)]
    assert monitor.so_far() is None


# --- stamps, settling, cancelling, overlapping


def live(**options: object) -> Monitor:
    return Monitor(**{"idle_timeout_s": 30, "max_steps": 50, **options})  # type: ignore[arg-type]


def test_a_description_belongs_to_the_command_that_was_active_at_its_stamp() -> None:
    monitor = live(settle_s=0.5)
    monitor.command("go to the dock", now=0.0, stamp=100.0)
    monitor.action("drove off", now=1.0, stamp=101.0)
    assert monitor.command("go to the kitchen", now=5.0, stamp=105.0) == []
    monitor.action("arrived at the dock", now=5.1, stamp=104.9)  # overtaken by the command on the way
    monitor.action("turned around", now=5.2, stamp=105.2)
    assert monitor.tick(5.4) == []
    assert [episode.steps for episode in monitor.tick(5.5)] == [("drove off", "arrived at the dock")]
    assert [episode.steps for episode in monitor.flush()] == [("turned around",)]


def test_a_description_that_comes_before_its_command_goes_to_it_by_its_stamp() -> None:
    monitor = live()
    monitor.command("go to the dock", now=0.0, stamp=100.0)
    monitor.action("drove to the dock", now=1.0, stamp=101.0)
    monitor.action("drove to the kitchen", now=2.0, stamp=103.0)
    monitor.action("named so by the robot", command_id="#1", now=2.0, stamp=103.0)
    [dock] = monitor.command("go to the kitchen", now=3.0, stamp=102.0)
    assert dock.steps == ("drove to the dock", "named so by the robot")
    assert [episode.steps for episode in monitor.flush()] == [("drove to the kitchen",)]


def test_descriptions_that_all_belong_to_the_command_after_them_leave_no_run_behind() -> None:
    monitor = live()
    monitor.action("drove to the kitchen", now=0.0, stamp=103.0)
    assert monitor.command("go to the kitchen", now=0.1, stamp=102.0) == []
    assert [(episode.command, episode.steps) for episode in monitor.flush()] == [
        ("go to the kitchen", ("drove to the kitchen",))
    ]


def test_steps_are_in_the_order_of_their_stamps_and_those_without_stay_where_they_came() -> None:
    monitor = live()
    monitor.command("tidy up", now=0.0)
    for text, stamp in (("third", 3.0), ("first", 1.0), ("unstamped", None), ("fourth", 4.0), ("second", 2.0)):
        monitor.action(text, now=1.0, stamp=stamp)
    [episode] = monitor.flush()
    assert episode.steps == ("first", "third", "unstamped", "second", "fourth")


def test_the_same_text_of_the_same_stamp_is_a_duplicate_and_of_another_stamp_is_not() -> None:
    monitor = live()
    monitor.command("go around twice", now=0.0)
    for stamp in (1.0, 2.0, 1.0, None, None):
        monitor.action("went around", now=1.0, stamp=stamp)
    assert monitor.counters.repeated_descriptions == 1
    assert [len(episode.steps) for episode in monitor.flush()] == [4]


def test_a_duplicate_that_is_final_ends_the_run_all_the_same() -> None:
    monitor = live()
    monitor.command("go on", id="a", now=0.0)
    monitor.action("went on", command_id="a", now=1.0, stamp=1.0)
    [episode] = monitor.action("went on", command_id="a", now=1.0, stamp=1.0, final=True)
    assert episode.steps == ("went on",)


def test_stamps_are_never_compared_with_the_time_of_arrival() -> None:
    monitor = live()
    monitor.command("go to the dock", now=1e9)  # unstamped
    monitor.action("drove to the dock", now=1e9 + 1, stamp=5.0)  # of a clock that began anew
    assert [episode.steps for episode in monitor.flush()] == [("drove to the dock",)]


def test_a_description_older_than_every_command_is_of_a_clock_that_is_behind() -> None:
    monitor = live()
    monitor.command("go to the dock", now=0.0, stamp=100.0)
    monitor.action("drove to the dock", now=1.0, stamp=99.0)
    assert [episode.steps for episode in monitor.flush()] == [("drove to the dock",)]


def test_a_description_of_a_command_that_was_checked_is_late_by_its_stamp() -> None:
    monitor = live(settle_s=0.5)
    monitor.command("go to the dock", now=0.0, stamp=100.0)
    monitor.command("go to the kitchen", now=5.0, stamp=105.0)
    assert len(monitor.tick(6.0)) == 1
    assert monitor.action("drove to the dock", now=7.0, stamp=104.0) == []
    assert monitor.counters.late_descriptions == 1
    assert [episode.steps for episode in monitor.flush()] == [()]


def test_a_description_with_an_id_is_waited_for_after_the_next_command() -> None:
    monitor = live(settle_s=0.5)
    monitor.command("go to the dock", id="a", now=0.0)
    monitor.command("go to the kitchen", id="b", now=1.0)
    [episode] = monitor.action("drove to the dock", command_id="a", final=True, now=1.2)
    assert (episode.id, episode.steps) == ("a", ("drove to the dock",))
    assert monitor.tick(1.6) == []


def test_a_run_that_settles_is_checked_once_and_before_its_id_is_used_again() -> None:
    monitor = live(settle_s=0.5)
    monitor.command("go to the dock", id="a", now=0.0)
    monitor.command("go to the kitchen", id="b", now=1.0)
    [episode] = monitor.command("go home", id="a", now=1.1)
    assert (episode.id, episode.command) == ("a", "go to the dock")
    assert [episode.command for episode in monitor.tick(9.0)] == ["go to the kitchen"]
    assert [episode.command for episode in monitor.flush()] == ["go home"]


def test_simulated_time_that_jumps_back_does_not_keep_a_run_from_settling() -> None:
    monitor = live(settle_s=0.5)
    monitor.command("one", now=1000.0)
    monitor.command("two", now=1001.0)
    assert monitor.tick(3.0) == []
    assert [episode.command for episode in monitor.tick(3.5)] == ["one"]


def test_a_command_that_was_overtaken_gets_the_descriptions_from_its_stamp_on() -> None:
    monitor = live()
    monitor.command("one", now=0.0, stamp=100.0)
    monitor.action("did one", now=1.0, stamp=101.0)
    monitor.action("did two", now=2.0, stamp=103.0)
    [one] = monitor.command("three", now=3.0, stamp=104.0)
    assert one.steps == ("did one", "did two")  # it was checked before anybody could know
    monitor = live(settle_s=0.5)
    monitor.command("one", now=0.0, stamp=100.0)
    monitor.action("did one", now=1.0, stamp=101.0)
    monitor.action("did two", now=2.0, stamp=103.0)
    monitor.action("did three", now=2.0, stamp=105.0)
    monitor.command("three", now=3.0, stamp=104.0)
    monitor.command("two", now=3.1, stamp=102.0)
    assert monitor.counters.overtaken_commands == 1
    found = {episode.command: episode.steps for episode in monitor.tick(4.0)}
    assert found == {"one": ("did one",), "two": ("did two",)}
    assert [episode.steps for episode in monitor.flush()] == [("did three",)]


def test_a_command_that_is_delivered_again_after_its_run_begins_no_other() -> None:
    monitor = live()
    monitor.command("go", id="a", now=0.0, stamp=100.0)
    monitor.action("went", command_id="a", final=True, now=1.0)
    monitor.command("go", id="a", now=2.0, stamp=100.0)
    assert monitor.counters.repeated_commands == 1
    assert monitor.flush() == []
    monitor.command("go", id="a", now=3.0, stamp=101.0)  # said once more
    assert len(monitor.flush()) == 1


def test_a_cancelled_run_is_neither_a_match_nor_a_failure() -> None:
    monitor = live()
    monitor.command("go to the dock", id="a", now=0.0)
    monitor.action("drove off", now=1.0)
    assert monitor.cancel(id="b", now=2.0) == []
    [episode] = monitor.cancel(id="a", now=2.0)
    assert episode.problem() == "cancelled: the command was withdrawn before its run ended"
    assert monitor.cancel(id="a", now=2.0) == []
    monitor.action("braked", command_id="a", now=3.0)
    assert monitor.counters.late_descriptions == 1
    assert monitor.flush() == []


def test_a_cancel_without_an_id_is_of_the_active_command() -> None:
    monitor = live()
    assert monitor.cancel(now=0.0) == []
    monitor.command("one", now=0.0)
    monitor.command("two", now=1.0)
    assert [episode.command for episode in monitor.cancel(now=2.0)] == ["two"]


def test_overlapping_commands_leave_each_other_open_and_successive_ones_do_not() -> None:
    monitor = live(overlapping=True)
    monitor.command("go to the dock", id="base", now=0.0)
    assert monitor.command("lift the arm", id="arm", now=1.0) == []
    monitor.action("drove to the dock", command_id="base", now=2.0)
    monitor.action("lifted the arm", now=2.0)  # of the latest
    ended = monitor.action("stopped", command_id="base", final=True, now=3.0)
    assert [(episode.id, episode.steps) for episode in ended] == [("base", ("drove to the dock", "stopped"))]
    assert [episode.id for episode in monitor.flush()] == ["arm"]
    monitor = live()
    monitor.command("go to the dock", id="base", now=0.0)
    assert len(monitor.command("lift the arm", id="arm", now=1.0)) == 1


def test_a_command_without_an_id_ends_what_is_active_also_where_commands_may_overlap() -> None:
    monitor = live(overlapping=True)
    monitor.command("go to the dock", id="base", now=0.0)
    monitor.command("lift the arm", id="arm", now=1.0)
    assert [episode.id for episode in monitor.command("stop", now=2.0)] == ["arm"]


def test_a_run_ends_at_its_maximum_length_however_busy_it_is() -> None:
    monitor = live(max_run_s=10.0)
    monitor.command("patrol", id="a", now=0.0)
    for second in range(10):
        monitor.action(f"went to post {second}", now=second)
        assert monitor.tick(second + 0.5) == []
    [episode] = monitor.tick(10.0)
    assert len(episode.steps) == 10
    assert monitor.open_runs == 0


# --- what describers see


def test_what_a_describer_saw_belongs_to_the_active_command_and_to_nobody_without_one() -> None:
    monitor = live()
    monitor.saw("drove 2 m forward", now=0.0)
    assert (monitor.open_runs, monitor.counters.unclaimed_sightings) == (0, 1)
    monitor.command("go to the dock", now=1.0)
    monitor.saw("drove 3 m forward", now=2.0)
    assert [episode.steps for episode in monitor.flush()] == [("drove 3 m forward",)]


def test_what_is_under_way_when_a_run_ends_is_its_last_step() -> None:
    said: list[list[str]] = []
    monitor = live(witness=lambda: said.pop() if said else [])
    said.append(["drove 9 m forward"])
    monitor.command("go to the dock", now=0.0)  # what was under way before it is none of its own
    assert said == []
    monitor.action("left the kitchen", now=1.0)
    said.append(["drove 2 m forward"])
    [episode] = monitor.command("go to the kitchen", now=2.0)
    assert episode.steps == ("left the kitchen", "drove 2 m forward")


def test_a_robot_that_is_under_way_is_not_silent() -> None:
    monitor = live(idle_timeout_s=10)
    monitor.command("go to the dock", now=0.0)
    monitor.stir(now=9.0)
    assert monitor.tick(11.0) == []
    assert len(monitor.tick(19.0)) == 1


# --- looks on the way, and alerts that wait to be confirmed


def test_a_look_on_the_way_is_due_after_so_many_further_steps() -> None:
    monitor = live(drift_check_steps=2)
    monitor.command("go to the dock", id="a", now=0.0)
    due = []
    for number in range(5):
        monitor.action(f"step {number}", now=1.0)
        due.append(monitor.drift())
    looks = [episode for episode in due if episode]
    assert [len(episode.steps) for episode in looks] == [2, 4]
    assert not any(episode.finished for episode in looks)
    assert [episode.finished for episode in monitor.flush()] == [True]


def test_no_look_where_none_is_wanted_nor_at_what_nobody_commanded() -> None:
    for monitor in (live(), live(drift_check_steps=1)):
        monitor.action("drove off", now=0.0)
        assert monitor.drift() is None
    monitor = live()
    monitor.command("go", now=0.0)
    monitor.action("went", now=0.0)
    assert monitor.drift() is None


def test_a_drift_raises_the_alert_once_and_is_no_verdict_of_the_run() -> None:
    monitor = live()
    raised = monitor.conclude(replace(verdict(Outcome.MISMATCH, "a"), interim=True))
    assert raised
    assert raised.raised
    assert (monitor.counters.drifts, sum(monitor.counters.verdicts.values())) == (1, 0)
    assert monitor.conclude(verdict(Outcome.MISMATCH, "a")) is None
    cleared = monitor.conclude(verdict(Outcome.MATCH, "b"))
    assert cleared
    assert not cleared.raised


def test_an_alert_waits_until_as_many_runs_as_asked_for_were_mismatched_in_a_row() -> None:
    monitor = live(confirm_mismatches=3)
    assert monitor.conclude(verdict(Outcome.MISMATCH, "a")) is None
    assert monitor.conclude(verdict(Outcome.MISMATCH, "a")) is None  # the same run
    assert monitor.conclude(verdict(Outcome.UNKNOWN, "b")) is None
    assert monitor.conclude(verdict(Outcome.MISMATCH, "c")) is None
    assert monitor.conclude(verdict(Outcome.MATCH, "d")) is None  # nothing was raised
    assert monitor.conclude(verdict(Outcome.MISMATCH, "e")) is None
    assert monitor.conclude(verdict(Outcome.MISMATCH, "f")) is None
    raised = monitor.conclude(verdict(Outcome.MISMATCH, "g"))
    assert raised
    assert (raised.raised, raised.id, raised.consecutive) == (True, 1, 3)


def test_a_run_that_goes_wrong_after_it_was_right_raises_again() -> None:
    monitor = live()
    for outcome, raised in ((Outcome.MISMATCH, True), (Outcome.MATCH, False), (Outcome.MISMATCH, True)):
        change = monitor.conclude(verdict(outcome, "a"))
        assert change
        assert change.raised is raised


def test_a_monitor_goes_on_with_the_alert_of_another() -> None:
    first = live()
    first.conclude(verdict(Outcome.MISMATCH, "a"))
    second = live(alert=first.alert)
    cleared = second.conclude(verdict(Outcome.MATCH, "b"))
    assert cleared
    assert (cleared.raised, cleared.id) == (False, 1)
    raised = second.conclude(verdict(Outcome.MISMATCH, "c"))
    assert raised
    assert raised.id == 2


class Notes:
    def __init__(self) -> None:
        self.lines: list[tuple[str, ...]] = []
        self.commanded: set[str] = set()
        self.runs: dict[str, str] = {}  # by step

    def command(self, run: str, text: str, time: float) -> None:
        self.lines.append(("command", run, text))
        self.commanded.add(run)

    def step(self, run: str, text: str, time: float) -> None:
        self.lines.append(("step", run, text))
        self.runs[text] = run

    def moved(self, source: str, target: str, text: str, time: float) -> None:
        self.lines.append(("moved", source, target, text))
        assert self.runs[text] == source
        assert target in self.commanded, "steps are moved to a run that nobody has heard of"
        self.runs[text] = target


def test_all_that_counts_is_written_down_as_it_is_heard() -> None:
    notes = Notes()
    monitor = live(journal=notes, max_steps=2)
    monitor.action("early", command_id="b", now=0.0)
    monitor.command("one\n", now=1.0)
    monitor.command("one", now=1.0)
    for text in ("a", "b", "beyond the limit"):
        monitor.action(text, now=2.0)
    assert notes.lines == [("step", "b", "early"), ("command", "#1", "one"), ("step", "#1", "a"), ("step", "#1", "b")]


def test_a_step_that_turns_out_to_be_of_a_later_command_is_written_down_as_moved() -> None:
    notes = Notes()
    monitor = live(journal=notes)
    monitor.action("left the dock", now=0.0, stamp=99.0)
    monitor.action("drove to the dock", now=0.0, stamp=103.0)
    monitor.command("go to the dock", now=0.1, stamp=102.0)
    monitor.action("drove to the kitchen", now=0.2, stamp=105.0)
    monitor.action("named so by the robot", command_id="#1", now=0.3, stamp=105.0)
    monitor.command("go to the kitchen", id="k", now=0.4, stamp=104.0)
    assert notes.lines == [
        ("step", "", "left the dock"),
        ("step", "", "drove to the dock"),
        ("command", "#1", "go to the dock"),
        ("moved", "", "#1", "drove to the dock"),
        ("step", "#1", "drove to the kitchen"),
        ("step", "#1", "named so by the robot"),
        ("command", "k", "go to the kitchen"),
        ("moved", "#1", "k", "drove to the kitchen"),
    ]


def test_a_step_that_an_overtaken_command_cannot_claim_is_not_moved() -> None:
    notes = Notes()
    monitor = live(journal=notes, settle_s=1.0)
    monitor.command("one", now=0.0, stamp=100.0)
    monitor.command("three", now=1.0, stamp=104.0)
    for text, stamp in (("did two", 103.0), ("did one", 101.0)):
        monitor.action(text, now=1.1, stamp=stamp)  # of the first, as far as is known
    monitor.command("two", now=1.2, stamp=102.0)
    assert [line for line in notes.lines if line[0] == "moved"] == [("moved", "#1", "#3", "did two")]


STAMPED = st.lists(
    st.tuples(
        st.sampled_from(["command", "action", "action", "tick", "cancel", "saw"]),
        st.sampled_from(["", "", "a", "b"]),
        st.one_of(st.none(), st.integers(1, 12).map(float)),
        st.booleans(),
    ),
    max_size=40,
)


@settings(max_examples=400, deadline=None)
@given(STAMPED, st.sampled_from([0.0, 3.0]), st.booleans(), st.sampled_from([0.0, 8.0]))
def test_nothing_is_lost_or_told_twice_whatever_comes_in_whatever_order(
    events: list[tuple[str, str, float | None, bool]], settle_s: float, overlapping: bool, max_run_s: float
) -> None:
    notes = Notes()
    monitor = Monitor(
        idle_timeout_s=1e6,
        max_steps=50,
        settle_s=settle_s,
        overlapping=overlapping,
        max_run_s=max_run_s,
        journal=notes,
    )
    told: list[str] = []
    commands = 0
    episodes: list[Episode] = []
    for number, (kind, id, stamp, flag) in enumerate(events):
        now = float(number)
        if kind == "command":
            commands += 1
            episodes += monitor.command(f"command {number}", id=id, now=now, stamp=stamp)
        elif kind == "action":
            told.append(f"step {number}")
            episodes += monitor.action(f"step {number}", command_id=id, final=flag, now=now, stamp=stamp)
        elif kind == "cancel":
            episodes += monitor.cancel(id=id, now=now)
        elif kind == "saw":
            told.append(f"step {number}")
            monitor.saw(f"step {number}", now=now)
        episodes += monitor.tick(now)
    episodes += monitor.flush()
    assert monitor.open_runs == 0
    steps = [step for episode in episodes for step in episode.steps]
    assert len(set(steps)) == len(steps), "a step was in two runs"
    assert notes.runs == {step: episode.id for episode in episodes for step in episode.steps}
    counters = monitor.counters
    assert len(steps) + counters.late_descriptions + counters.unclaimed_sightings == len(told)
    commanded = Counter(episode.command for episode in episodes if episode.command)
    assert set(commanded.values()) <= {1}, "a run was checked twice without silence in between"
    assert len(commanded) == commands


def test_runs_are_checked_in_the_order_in_which_they_ended() -> None:
    monitor = live(settle_s=0.5)
    monitor.command("one", id="a", now=0.0)
    monitor.command("two", id="b", now=1.0)
    ended = monitor.action("did two", command_id="b", final=True, now=1.1)
    assert [episode.id for episode in ended] == ["a", "b"]
