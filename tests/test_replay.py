"""Recorded bags: what a monitor would have said, without ROS."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_score import ScriptedEngine

from flip_edge import Config, Outcome, SelfCheck, cli, replay
from flip_edge.errors import InputError
from flip_edge.interfaces import ACTION, COMMAND, INPUTS, STRING, definitions, verdict_fields

pytest.importorskip("rosbags", reason="pip install 'flip_edge[replay]'")

from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from flip_edge.bags import BagReader, typestore

MISMATCH, BAD = 1, 2
Message = tuple[float, str, Any]
START = 1_700_000_000.0


def command(seconds: float, text: str, id: str | None = None, topic: str = "/command") -> Message:
    """A command at a time; with an id, a stamped one."""
    return (seconds, topic, text) if id is None else (seconds, f"{topic}_stamped", (COMMAND, id, text))


def action(
    seconds: float, text: str, id: str | None = None, *, final: bool = False, topic: str = "/action_description"
) -> Message:
    return (seconds, topic, text) if id is None else (seconds, f"{topic}_stamped", (ACTION, id, text, final))


def record(path: Path, messages: Iterable[Message], *, storage: StoragePlugin = StoragePlugin.MCAP) -> Path:
    """Write a bag as a robot's recorder would, with a topic that is not the monitor's."""
    types = typestore()
    kinds = types.types
    header = kinds["std_msgs/msg/Header"](kinds["builtin_interfaces/msg/Time"](0, 0), "")
    with Writer(path, version=8, storage_plugin=storage) as writer:
        other = writer.add_connection("/rosout_texts", STRING, typestore=types)
        opened = {}
        for seconds, topic, content in messages:
            kind, *values = content if isinstance(content, tuple) else (STRING, content)
            if topic not in opened:
                opened[topic] = writer.add_connection(topic, kind, typestore=types)
            time = int((START + seconds) * 1e9)
            if kind == STRING:
                message = kinds[STRING](values[0])
            elif kind == COMMAND:
                message = kinds[COMMAND](
                    header=header, command_id=values[0], text=values[1], cancel=values[2:] == ["cancel"]
                )
            else:
                message = kinds[ACTION](header=header, command_id=values[0], text=values[1], final=values[2])
            writer.write(opened[topic], time, types.serialize_cdr(message, kind))
            writer.write(other, time, types.serialize_cdr(kinds[STRING]("noise"), STRING))
    return path


TWO_RUNS = [
    command(0, "go there"),
    action(1, "went there"),
    command(10, "go there"),
    action(11, "went wrong"),
]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> ScriptedEngine:
    """A scripted engine in place of the model."""
    made = ScriptedEngine()
    monkeypatch.setattr(replay, "SelfCheck", lambda config: SelfCheck(config, engine=made))
    return made


def said(bag: Path, **settings: Any) -> list[replay.Said]:
    with SelfCheck(Config(rule="f1", **settings), engine=ScriptedEngine()) as check, BagReader(bag) as reader:
        found = []
        played = replay.Replay(check)
        for heard, _ in reader.heard():
            found += played.hear(heard)
        return found + list(played.end(reader.end_ns))


def outcomes(found: Iterable[replay.Said]) -> list[tuple[float, str, str]]:
    return [(round(one.time_ns / 1e9 - START, 1), one.verdict.command_id, one.verdict.outcome.value) for one in found]


@pytest.mark.parametrize("storage", list(StoragePlugin))
def test_every_run_of_a_recording_gets_its_verdict(tmp_path: Path, storage: StoragePlugin) -> None:
    bag = record(tmp_path / "bag", TWO_RUNS, storage=storage)
    found = said(bag)
    # The first run ends with the next command, once it has settled; the last one with the recording.
    assert outcomes(found) == [(10.2, "#1", "MATCH"), (11.0, "#2", "MISMATCH")]
    assert [one.verdict.steps for one in found] == [("went there",), ("went wrong",)]
    assert [bool(one.alert and one.alert.raised) for one in found] == [False, True]


def test_silence_is_of_recorded_time(tmp_path: Path) -> None:
    bag = record(tmp_path / "bag", [*TWO_RUNS[:2], action(100, "went wrong")])
    found = said(bag, idle_timeout_s=5.0)
    # Checked when it fell silent, and again as a whole after it went on.
    assert outcomes(found) == [(6.0, "#1", "MATCH"), (100.0, "#1", "MISMATCH")]
    assert found[1].verdict.steps == ("went there", "went wrong")


def test_ids_and_final_descriptions_of_stamped_topics(tmp_path: Path) -> None:
    messages = [
        command(0, "go there", "a"),
        action(1, "went there", "a"),
        action(2, "", "a", final=True),
        action(3, "went wrong", "a"),  # late
    ]
    assert outcomes(said(record(tmp_path / "bag", messages))) == [(2.0, "a", "MATCH")]


def test_a_single_file_of_a_recording_that_was_cut_off(tmp_path: Path) -> None:
    bag = record(tmp_path / "bag", TWO_RUNS)
    (bag / "metadata.yaml").unlink()
    with pytest.raises(InputError, match="reindex"):
        BagReader(bag)
    (file,) = bag.glob("*.mcap")
    assert [one.verdict.outcome for one in said(file)] == [Outcome.MATCH, Outcome.MISMATCH]


def test_the_only_robot_is_found_and_of_several_one_is_chosen(tmp_path: Path) -> None:
    one = [(time, f"/spot{topic}", text) for time, topic, text in TWO_RUNS]
    with BagReader(record(tmp_path / "one", one)) as reader:
        assert reader.topics == {"command": "/spot/command", "action_description": "/spot/action_description"}
    bag = record(tmp_path / "two", sorted([*one, *TWO_RUNS], key=lambda message: message[0]))
    with pytest.raises(InputError, match=r"--namespace, of /, /spot"):
        BagReader(bag)
    with BagReader(bag, namespace="spot") as reader:
        assert reader.topics["command"] == "/spot/command"
        assert [heard.text for heard, _ in reader.heard()] == [text for *_, text in TWO_RUNS]


def test_topics_by_other_names(tmp_path: Path) -> None:
    bag = record(tmp_path / "bag", [(time, topic.replace("/command", "/told"), text) for time, topic, text in TWO_RUNS])
    with BagReader(bag, remap={"command": "/told"}) as reader:
        assert reader.topics["command"] == "/told"
        assert len(list(reader.heard())) == reader.messages == 4
    for remap, message in [({"command": "/tld"}, "there are: .*/told"), ({"comand": "/told"}, "cannot remap 'comand'")]:
        with pytest.raises(InputError, match=message):
            BagReader(bag, remap=remap)


def test_a_recording_without_the_monitors_topics_says_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"/rosout_texts.*--remap command:="):
        BagReader(record(tmp_path / "bag", []))


def test_a_topic_of_another_type_is_refused(tmp_path: Path) -> None:
    bag = record(tmp_path / "bag", [(0, "/command", (COMMAND, "a", "go there"))])
    with pytest.raises(InputError, match="is of type flip_edge_msgs/msg/Command; command is std_msgs/msg/String"):
        BagReader(bag, namespace="")


def test_a_message_that_cannot_be_read_is_counted_and_the_rest_is_heard(
    tmp_path: Path, engine: ScriptedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = record(tmp_path / "bag", TWO_RUNS, storage=StoragePlugin.SQLITE3)
    with sqlite3.connect(next(bag.glob("*.db3"))) as database:
        database.execute("UPDATE messages SET data = x'00010000ff000000' WHERE id = 3")
    assert cli.main(["replay", str(bag), "--rule", "f1"]) == BAD
    captured = capsys.readouterr()
    assert "1 messages could not be read" in captured.err
    assert "2 runs: 0 MATCH, 1 MISMATCH, 1 UNKNOWN" in captured.err  # nobody knows what else was done in the first


@pytest.mark.parametrize("storage", list(StoragePlugin))
@pytest.mark.parametrize("place", [0.001, 0.2, 0.5, 0.8, 0.99])
@pytest.mark.parametrize("kind", ["cut", "zeros", "noise"])
def test_a_damaged_recording_is_an_error_and_no_traceback(
    tmp_path: Path,
    engine: ScriptedEngine,
    capsys: pytest.CaptureFixture[str],
    storage: StoragePlugin,
    place: float,
    kind: str,
) -> None:
    many = [message for n in range(50) for message in (command(20 * n, "go there"), action(20 * n + 1, "went there"))]
    bag = record(tmp_path / "bag", many, storage=storage)
    (file,) = [*bag.glob("*.mcap"), *bag.glob("*.db3")]
    data = bytearray(file.read_bytes())
    start = int(len(data) * place)
    length = min(4000, len(data) - start)
    if kind == "cut":
        data = data[:start]
    else:
        data[start : start + length] = bytes(length) if kind == "zeros" else bytes(range(1, 256)) * 20
    file.write_bytes(data)
    code = cli.main(["replay", str(bag), "--rule", "f1"])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert "internal" not in captured.err
    if code != BAD:  # not where it would be read: all the runs are there all the same
        assert "50 runs: 50 MATCH" in captured.err
    else:
        assert f"{bag}" in captured.err or "could not be read" in captured.err
        # A damaged part is never made up for: what was found to match was heard whole.
        assert all(line.split()[1] in ("MATCH", "UNKNOWN") for line in captured.out.splitlines())


# --- the command and what it writes


def test_the_command_prints_saves_and_writes_a_bag(
    tmp_path: Path, engine: ScriptedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = record(tmp_path / "bag", [*TWO_RUNS, command(20, "go there"), action(21, "went there")])
    lines, target = tmp_path / "verdicts.jsonl", tmp_path / "checked"
    words = ["replay", str(bag), "--rule", "f1", "-o", str(lines), "--bag", str(target)]
    assert cli.main(words) == MISMATCH
    captured = capsys.readouterr()
    assert "3 runs: 2 MATCH, 1 MISMATCH, 0 UNKNOWN; 1 alerts raised" in captured.err
    assert [line.split()[1] for line in captured.out.splitlines()] == ["MATCH", "MISMATCH", "MATCH"]
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [(row["verdict"], row["alert"]) for row in rows] == [
        ("MATCH", None),
        ("MISMATCH", "raised"),
        ("MATCH", "cleared"),
    ]
    assert rows[0]["time"] == pytest.approx(START + 10.2)
    # What it wrote is a recording too: the same runs, the same verdicts.
    with BagReader(target) as reader:
        assert reader.topics == {"command": "/command", "action_description": "/action_description"}
        assert len(list(reader.heard())) == 6
    assert cli.main([*words[:4], "--bag", str(target)]) == BAD
    assert f"cannot write the bag {target}" in capsys.readouterr().err


def test_a_reader_that_is_not_ours_opens_the_bag(tmp_path: Path, engine: ScriptedEngine) -> None:
    reader = pytest.importorskip("mcap_ros2.reader")
    target = tmp_path / "checked"
    cli.main(["replay", str(record(tmp_path / "bag", TWO_RUNS)), "--rule", "f1", "--bag", str(target)])
    (file,) = target.glob("*.mcap")
    found = [(one.channel.topic, one.ros_msg) for one in reader.read_ros2_messages(str(file))]
    verdicts = [message for topic, message in found if topic == "/verdict"]
    assert [(one.verdict, one.command, one.steps) for one in verdicts] == [
        (1, "go there", ["went there"]),
        (2, "go there", ["went wrong"]),
    ]
    assert math.isnan(verdicts[0].score)  # not known here
    assert verdicts[0].header.stamp.sec == START + 10
    (alert,) = [message for topic, message in found if topic == "/mismatch_alert"]
    assert (alert.state, alert.alert_id, alert.verdict.command) == (1, 1, "go there")
    assert [message.data for topic, message in found if topic == "/command"] == ["go there", "go there"]


def test_an_interrupted_replay_keeps_what_was_said(
    tmp_path: Path, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = record(tmp_path / "bag", [*TWO_RUNS, action(12, "went on")])
    heard = BagReader.heard

    def interrupted(self: BagReader) -> Iterable[Any]:
        for number, one in enumerate(heard(self)):
            if number == 4:
                raise KeyboardInterrupt
            yield one

    monkeypatch.setattr(BagReader, "heard", interrupted)
    target = tmp_path / "checked"
    assert cli.main(["replay", str(bag), "--rule", "f1", "--bag", str(target)]) == replay.INTERRUPTED
    assert "1 runs: 1 MATCH" in capsys.readouterr().err
    with BagReader(target) as reader:  # whole, and can be read
        assert len(list(heard(reader))) == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no-such-bag"], "no bag at no-such-bag|does not exist"),
        (["{bag}", "--remap", "command"], "--remap command: expected NAME:=TOPIC"),
        (["{bag}", "-o", "{bag}/none/out.jsonl"], "cannot write"),
        (["{bag}", "--namespace", "spot"], "nothing in"),
    ],
)
def test_wrong_arguments_are_named(
    tmp_path: Path, engine: ScriptedEngine, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    bag = record(tmp_path / "bag", TWO_RUNS)
    assert cli.main(["replay", *(word.format(bag=bag) for word in words)]) == BAD
    err = capsys.readouterr().err
    assert any(part in err for part in message.split("|")), err


# --- messages


def test_the_fields_are_those_of_the_messages(tmp_path: Path) -> None:
    found = said(record(tmp_path / "bag", TWO_RUNS))
    kinds = typestore().types
    for one in found:
        kinds["flip_edge_msgs/msg/Verdict"](header=None, **verdict_fields(one.verdict))  # neither too many nor too few
    assert set(INPUTS.values()) <= set(kinds)
    names = ("Command", "ActionDescription", "Verdict", "MismatchAlert", "Candidate", "RankedCandidate")
    assert set(definitions()) == {f"flip_edge_msgs/msg/{name}" for name in names}


@pytest.mark.model
def test_the_real_model_on_a_recording(tmp_path: Path, model_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    messages = [
        command(0, "bring the mug to the sink"),
        action(1, "picked up the mug"),
        action(2, "put the mug in the sink"),
        command(9, "go to the kitchen"),
        action(10, "drove to the charging dock"),
    ]
    assert cli.main(["replay", str(record(tmp_path / "bag", messages)), "--threads", "1"]) == MISMATCH
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["MATCH", "MISMATCH"]


def test_a_command_that_was_withdrawn_is_unknown(tmp_path: Path) -> None:
    messages = [
        command(0, "go there", "a"),
        action(1, "went off", "a"),
        (2, "/command_stamped", (COMMAND, "a", "", "cancel")),
    ]
    (one,) = said(record(tmp_path / "bag", messages))
    assert outcomes([one]) == [(2.0, "a", "UNKNOWN")]
    assert one.verdict.reason.startswith("cancelled: ")


def test_a_recording_from_before_a_field_was_added_can_be_read(tmp_path: Path, engine: ScriptedEngine) -> None:
    """What was recorded is read by the definitions that were recorded with it."""
    old = get_typestore(Stores.ROS2_HUMBLE)
    for name, text in definitions().items():
        old.register(get_types_from_msg(text.replace("bool cancel", "") if name == COMMAND else text, name))
    kinds = old.types
    header = kinds["std_msgs/msg/Header"](kinds["builtin_interfaces/msg/Time"](0, 0), "")
    bag = tmp_path / "bag"
    with Writer(bag, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        told = writer.add_connection("/command_stamped", COMMAND, typestore=old)
        done = writer.add_connection("/action_description_stamped", ACTION, typestore=old)
        order = kinds[COMMAND](header=header, command_id="a", text="go there")
        writer.write(told, int(START) * 10**9, old.serialize_cdr(order, COMMAND))
        step = kinds[ACTION](header=header, command_id="a", text="went there", final=True)
        writer.write(done, int(START + 1) * 10**9, old.serialize_cdr(step, ACTION))
    copy = tmp_path / "copy"
    assert cli.main(["replay", str(bag), "--rule", "f1", "--bag", str(copy)]) == 0
    assert cli.main(["replay", str(copy), "--rule", "f1"]) == 0


ODOMETRY = "nav_msgs/msg/Odometry"


def drive(path: Path, *, metres: float, topic: str = "/odom") -> Path:
    """A run of which nobody speaks: the robot drives straight on for ten seconds and stands for three."""
    types = typestore()
    kinds = types.types
    with Writer(path, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        told = writer.add_connection("/command", STRING, typestore=types)
        odometry = writer.add_connection(topic, ODOMETRY, typestore=types)
        writer.write(told, int(START) * 10**9, types.serialize_cdr(kinds[STRING]("drive 2 m forward"), STRING))
        for tick in range(131):
            stamp = kinds["builtin_interfaces/msg/Time"](int(START) + tick // 10, tick % 10 * 100_000_000)
            vector, point = kinds["geometry_msgs/msg/Vector3"], kinds["geometry_msgs/msg/Point"]
            pose = kinds["geometry_msgs/msg/Pose"](
                point(metres * min(tick, 100) / 100, 0.0, 0.0),
                kinds["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0),
            )
            twist = kinds["geometry_msgs/msg/Twist"](vector(0.0, 0.0, 0.0), vector(0.0, 0.0, 0.0))
            still = np.zeros(36)
            message = kinds[ODOMETRY](
                kinds["std_msgs/msg/Header"](stamp, "odom"),
                "base_link",
                kinds["geometry_msgs/msg/PoseWithCovariance"](pose, still),
                kinds["geometry_msgs/msg/TwistWithCovariance"](twist, still),
            )
            writer.write(odometry, int(START) * 10**9 + tick * 10**8, types.serialize_cdr(message, ODOMETRY))
    return path


def test_a_robot_that_does_not_speak_is_described_from_its_telemetry(
    tmp_path: Path, engine: ScriptedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = tmp_path / "describe.yaml"
    sources.write_text("sources:\n  - odometry: /odom\n", encoding="utf-8")
    bag = drive(tmp_path / "bag", metres=2.0)
    rows = tmp_path / "rows.jsonl"
    # Shorter than the drive: a robot that is under way is not silent.
    words = ["replay", str(bag), "--rule", "f1", "--sources", str(sources), "-o", str(rows)]
    settings = tmp_path / "settings.yaml"
    settings.write_text("idle_timeout_s: 4.0", encoding="utf-8")
    cli.main([*words, "--config", str(settings)])
    (row,) = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    assert row["steps"] == ["drove 2.0 m forward", "stopped"]
    sources.write_text("sources:\n  - odometry: /odom\n  - odometry: /wheels\n", encoding="utf-8")
    cli.main(words)
    assert "the bag has no topic /wheels" in capsys.readouterr().err


def test_a_source_of_another_type_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources = tmp_path / "describe.yaml"
    sources.write_text("sources:\n  - odometry: /command\n", encoding="utf-8")
    assert cli.main(["replay", str(record(tmp_path / "bag", TWO_RUNS)), "--sources", str(sources)]) == BAD
    assert f"topic /command of {tmp_path / 'bag'} is of type {STRING}" in (said_of := capsys.readouterr().err), said_of
