"""The demo robot, in the real simulator: what it does, what is said of it, and what was true."""

from __future__ import annotations

import doctest
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("pyrobosim", reason="the demo robot needs pyrobosim==5.0.1")
pytest.importorskip("flip_edge_demo", reason="pip install ./ros2_ws/src/flip_edge_demo")

from flip_edge_demo import reasons, terms
from flip_edge_demo.episodes import DemoEpisode, EpisodeKind, PlannedAction, load_episodes
from flip_edge_demo.goals import Goal
from flip_edge_demo.robot import DemoRobot, RobotError
from flip_edge_demo.terms import EpisodeError

EPISODES = load_episodes()


def plan(*actions: str) -> list[PlannedAction]:
    return [PlannedAction.parse(action) for action in actions]


def reaches(robot: DemoRobot, *conditions: str) -> bool:
    return robot.reached(Goal.parse(list(conditions)))


@pytest.fixture(scope="module")
def shared_robot() -> DemoRobot:
    return DemoRobot()


@pytest.fixture
def robot(shared_robot: DemoRobot) -> DemoRobot:
    shared_robot.reset()
    return shared_robot


def test_the_episodes_show_every_kind_and_enough_commands() -> None:
    kinds = [episode.kind for episode in EPISODES]
    assert kinds.count(EpisodeKind.SUCCESS) >= 4
    assert set(kinds) == set(EpisodeKind)
    assert len({episode.command for episode in EPISODES}) >= 8


@pytest.mark.timeout(60)
@pytest.mark.parametrize("episode", EPISODES, ids=lambda episode: episode.id)
def test_the_goal_is_reached_exactly_in_the_successes(robot: DemoRobot, episode: DemoEpisode) -> None:
    assert not robot.reached(episode.goal), "the command is carried out before the robot moves"
    run = robot.play(episode)
    assert run.reached == (episode.kind is EpisodeKind.SUCCESS)
    failures = [report for report in run.reports if not report.succeeded]
    if episode.kind is EpisodeKind.ACTION_FAILED:
        assert failures == [run.reports[-1]]
        assert failures[0].sentence.startswith("failed to ")
        assert ": " in failures[0].sentence
    else:
        assert not failures
        assert len(run.reports) == len(episode.plan)


@pytest.mark.timeout(120)
def test_the_order_of_the_episodes_does_not_matter(robot: DemoRobot) -> None:
    def sentences(episodes: tuple[DemoEpisode, ...]) -> dict[str, tuple[list[str], bool]]:
        runs = [robot.play(episode) for episode in episodes]
        return {run.episode.id: ([report.sentence for report in run.reports], run.reached) for run in runs}

    some = EPISODES[::3]
    assert sentences(some) == sentences(some[::-1])


def test_it_says_what_was_done_and_not_what_was_planned(robot: DemoRobot) -> None:
    reports = list(robot.run(plan("navigate(kitchen_table)", "pick(apple)", "place(apple, desk)")))
    assert [report.sentence for report in reports] == [
        "drove to the kitchen table",
        "picked up the apple from the kitchen table",
        "put the apple on the kitchen table",
    ]
    assert not reaches(robot, "object_at(apple, desk)")


@pytest.mark.parametrize(
    ("actions", "sentence"),
    [
        (("navigate(fridge)", "pick(milk)"), "failed to pick up the milk from the fridge: it is closed"),
        (("navigate(desk)", "pick(apple)"), "failed to pick up the apple from the desk: it is not there"),
        (("pick(apple)",), "failed to pick up the apple: it is not there"),
        (("open(fridge)",), "failed to open the fridge: the robot is not there"),
        (
            ("navigate(desk)", "place(apple, desk)"),
            "failed to put the apple on the desk: the gripper is empty",
        ),
        (
            ("navigate(desk)", "pick(phone)", "navigate(bedroom_door)", "close(bedroom_door)"),
            "failed to close the bedroom door: the gripper is full",
        ),
        (("navigate(bedroom_door)", "open(bedroom_door)"), "found the bedroom door already open"),
        (("navigate(desk)", "detect(phone)"), "found the phone on the desk"),
        (("navigate(bathroom)",), "failed to drive to the bathroom: no path was found"),
    ],
)
def test_the_last_sentence(robot: DemoRobot, actions: tuple[str, ...], sentence: str) -> None:
    reports = list(robot.run(plan(*actions)))
    assert len(reports) == len(actions)
    assert reports[-1].sentence == sentence


def test_an_opened_door_lets_the_robot_through(robot: DemoRobot) -> None:
    list(robot.run(plan("navigate(bathroom_door)", "open(bathroom_door)", "navigate(laundry_basket)")))
    assert reaches(robot, "is_open(bathroom_door)", "robot_at(bathroom)", "robot_at(laundry_basket)")


def test_goals_are_about_the_world(robot: DemoRobot) -> None:
    assert reaches(robot, "object_at(apple, kitchen_table)", "object_at(apple, kitchen)", "is_closed(fridge)")
    list(robot.run(plan("navigate(kitchen_table)", "pick(apple)")))
    assert reaches(robot, "holding(apple)", "robot_at(kitchen)")
    assert not reaches(robot, "object_at(apple, kitchen)"), "what is held is not in the room yet"
    goal = Goal.parse(["holding(apple)", "robot_at(bedroom)"])
    assert [str(term) for term in goal.unmet(robot.world)] == ["robot_at(bedroom)"]


@pytest.mark.timeout(60)
def test_it_drives_several_times_faster_than_real_time(robot: DemoRobot) -> None:
    report = robot.execute(PlannedAction("navigate", target="desk"))
    simulated_s = float(robot.world.robots[0].path_executor.traj.t_pts[-1])
    assert simulated_s > 5
    assert report.duration_s < simulated_s / 5


@pytest.mark.timeout(60)
def test_a_drive_can_be_canceled_and_the_plan_ends_there() -> None:
    robot = DemoRobot(speed=1.0)
    threading.Timer(0.5, robot.cancel).start()
    started = time.monotonic()
    reports = list(robot.run(plan("navigate(desk)", "pick(phone)")))
    assert time.monotonic() - started < 4
    assert [report.sentence for report in reports] == ["was stopped before it could drive to the desk"]
    assert robot.execute(PlannedAction("navigate", target="sofa")).result.status == "CANCELED"
    robot.reset()
    robot.speed = 0.0
    assert robot.execute(PlannedAction("navigate", target="sofa")).succeeded


@pytest.mark.timeout(60)
def test_an_action_that_takes_too_long_is_stopped_and_has_failed() -> None:
    robot = DemoRobot(speed=1.0, action_timeout_s=0.5)
    report = robot.execute(PlannedAction("navigate", target="desk"))
    assert report.sentence == "failed to drive to the desk: it took too long"
    assert report.duration_s < 4
    assert not reaches(robot, "robot_at(desk)")


@pytest.mark.timeout(60)
def test_one_action_at_a_time() -> None:
    robot = DemoRobot(speed=1.0)
    driving = threading.Thread(target=lambda: list(robot.run(plan("navigate(desk)"))))
    driving.start()
    time.sleep(0.3)
    with pytest.raises(RobotError, match="already"):
        robot.execute(PlannedAction("navigate", target="sofa"))
    robot.cancel()
    driving.join(timeout=10)
    assert not driving.is_alive()


def test_a_simulator_that_breaks_is_a_failed_action(robot: DemoRobot, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("no such number")

    monkeypatch.setattr(robot.world.robots[0], "execute_action", broken)
    report = robot.execute(PlannedAction("navigate", target="desk"))
    assert not report.succeeded
    assert "no such number" in report.sentence


@pytest.mark.timeout(60)
def test_a_simulator_that_never_returns_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    robot = DemoRobot(action_timeout_s=0.2)
    release = threading.Event()

    def stuck(*_: object, **__: object) -> None:
        release.wait(30)
        raise RuntimeError("released")

    monkeypatch.setattr("flip_edge_demo.robot._STOP_GRACE_S", 0.2)
    monkeypatch.setattr(robot.world.robots[0], "execute_action", stuck)
    with pytest.raises(RobotError, match="did not stop"):
        robot.execute(PlannedAction("navigate", target="desk"))
    robot.reset()
    robot.action_timeout_s = 60.0
    assert robot.execute(PlannedAction("navigate", target="desk")).succeeded
    release.set()


@pytest.mark.parametrize(
    "settings",
    [{"speed": -1.0}, {"speed": 0.01}, {"speed": float("nan")}, {"action_timeout_s": 0.0}],
)
def test_bad_settings_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(RobotError):
        DemoRobot(**settings)


def test_names_that_the_world_does_not_have_are_refused_with_those_it_has(robot: DemoRobot) -> None:
    good = EPISODES[0]
    for actions, goal in (
        (plan("navigate(atlantis)"), good.goal),
        (plan("pick(desk)"), good.goal),
        (plan("open(kitchen)"), good.goal),
        (good.plan, Goal.parse(["holding(unicorn)"])),
    ):
        episode = DemoEpisode("bad", "do", EpisodeKind.SUCCESS, tuple(actions), goal)
        with pytest.raises(EpisodeError, match="there are: "):
            robot.play(episode)


ENTRY = "episodes:\n- {id: a, command: go, kind: success, plan: ['navigate(desk)'], goal: ['robot_at(desk)']}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no list of `episodes`"),
        ("episodes: []", "no list of `episodes`"),
        ("episodes: [", "cannot be read"),
        ("episodes: [3]", "episode 1: it needs exactly the fields"),
        (ENTRY.replace("goal", "gaol"), "episode a: it needs exactly the fields"),
        (ENTRY.replace("command: go", "command: ' '"), "`command` must be text"),
        (ENTRY.replace("success", "triumph"), "unknown kind 'triumph'"),
        (ENTRY.replace("plan: ['navigate(desk)']", "plan: []"), "`plan` must be a list"),
        (ENTRY.replace("navigate(desk)", "navigate"), "is not a term"),
        (ENTRY.replace("navigate(desk)", "navigate(desk, sofa)"), r"write navigate\(target\)"),
        (ENTRY.replace("navigate(desk)", "fly(desk)"), r"unknown action fly\(desk\)"),
        (ENTRY.replace("robot_at(desk)", "robot_on(desk)"), "unknown condition"),
        (ENTRY.replace("robot_at(desk)", "robot_at(desk, sofa)"), "takes 1 argument"),
        (ENTRY.replace("['robot_at(desk)']", "[]"), "a goal is a list of conditions"),
        (ENTRY + ENTRY.removeprefix("episodes:\n"), "two episodes have the id 'a'"),
    ],
)
def test_a_bad_episode_file_says_what_is_wrong_and_where(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "episodes.yaml"
    path.write_text(text)
    with pytest.raises(EpisodeError, match=message) as error:
        load_episodes(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match="cannot be read"):
        load_episodes(tmp_path / "none.yaml")
    with pytest.raises(RobotError, match="cannot be read"):
        DemoRobot(tmp_path / "none.yaml")


@pytest.mark.timeout(60)
def test_the_robot_prints_nothing_and_loads_neither_ros_nor_a_gui(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from flip_edge_demo.robot import DemoRobot\n"
        "from flip_edge_demo.episodes import load_episodes\n"
        "DemoRobot().play(load_episodes()[0])\n"
        "assert not {'rclpy', 'PySide6', 'dash', 'tkinter'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("module", [terms, reasons])
def test_the_examples_in_the_documentation_are_true(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
