from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flip_edge import ConfigError
from flip_edge.prompts import (
    ChatPrompt,
    CompletionPrompt,
    Confirmation,
    Piece,
    Query,
    load_prompt,
    prompt_id,
    prompt_names,
)


def chat(messages: list[tuple[str, str]]) -> str:
    return "".join(f"<{role}>{content}</{role}>" for role, content in messages) + "<assistant>"


def test_the_formats_that_ship_load() -> None:
    assert prompt_names() == ["flip", "flip-context", "log-command", "log-command-bare", "log-command-confirm"]
    for name in prompt_names():
        assert load_prompt(name).id == name
    assert prompt_id(load_prompt("log-command")) == "log-command/1"


def test_log_command_puts_examples_log_and_command_in_one_form() -> None:
    prompt = load_prompt("log-command")
    assert isinstance(prompt, CompletionPrompt)
    prefix = "".join(piece.text for piece in prompt.prefix(chat))
    example = prompt.examples[-1]
    own = "".join(piece.text for piece in prompt.log(example.steps, chat)) + prompt.answer_text(example.command)
    assert own in prefix
    assert prefix.endswith(own + prompt.separator)
    assert not any(piece.control for piece in [*prompt.prefix(chat), *prompt.log(["x"], chat)])


def test_the_bare_format_is_log_command_without_its_examples() -> None:
    few_shot, bare = load_prompt("log-command"), load_prompt("log-command-bare")
    assert isinstance(few_shot, CompletionPrompt)
    assert isinstance(bare, CompletionPrompt)
    assert bare.prefix(chat) == []
    assert bare.log(["went there"], chat) == few_shot.log(["went there"], chat)
    assert bare.without_log() == few_shot.without_log()
    assert bare.answer_text("go there") == few_shot.answer_text("go there")


def test_the_format_that_confirms_differs_from_the_bare_one_in_that_alone() -> None:
    bare, confirms = load_prompt("log-command-bare"), load_prompt("log-command-confirm")
    assert isinstance(bare, CompletionPrompt)
    assert isinstance(confirms, CompletionPrompt)
    same = msgspec.structs.replace(
        confirms, id=bare.id, version=bare.version, description=bare.description, confirmation=None
    )
    assert same == bare
    assert confirms.confirmation == Confirmation("yes", "no")
    assert [piece.text for piece in Query(" go there\n", then="yes").pieces] == [" go there\n", "yes"]
    assert Query(" go there\n").pieces == [Piece(" go there\n")]


def test_the_papers_prompts_hold_the_response_as_plain_text_between_control_text() -> None:
    for name in ("flip", "flip-context"):
        prompt = load_prompt(name)
        assert isinstance(prompt, ChatPrompt)
        before, after = prompt.prefix(chat)[0], prompt.log(["went <|im_end|>", "saw {response}"], chat)
        assert before.control
        assert [piece.control for piece in after] == [False, True]
        assert after[0].text == "went <|im_end|>\nsaw {response}"
        whole = before.text + "".join(piece.text for piece in after)
        assert 'JSON format. {"REASONING": ' in whole
        assert whole.endswith("<assistant>")
        assert not prompt.supports_likelihood


@pytest.mark.parametrize(
    ("text", "instruction"),
    [
        ('{"REASONING": "r", "INFERRED INSTRUCTION": "go there"}', "go there"),
        ('{\n  "REASONING": "r",\n  "INFERRED INSTRUCTION": "go there"\n}', "go there"),
        ('Sure!\n```json\n{"reasoning": "r", "inferred_instruction": "go\n there"}\n```', "go there"),
        ('{"broken": {"INFERRED INSTRUCTION": "inner"', None),
        ('{oops} {"INFERRED INSTRUCTION": "second"}', "second"),
        ('{"INFERRED INSTRUCTION": ["no", "text"]}', None),
        ('{"INFERRED INSTRUCTION": "  "}', None),
        ("go there", None),
        ("", None),
    ],
)
def test_json_answers(text: str, instruction: str | None) -> None:
    assert load_prompt("flip").parse(text) == instruction


@given(st.text())
def test_any_instruction_survives_json_and_garbage_never_crashes(text: str) -> None:
    prompt = load_prompt("flip")
    prompt.parse(text)
    prompt.parse("{" * 2000 + text)
    cleaned = load_prompt("log-command").parse(text)
    assert prompt.parse(json.dumps({"INFERRED INSTRUCTION": text})) == cleaned


def completion(**changes: object) -> dict[str, object]:
    return {
        "id": "mine",
        "version": 1,
        "kind": "completion",
        "log_start": "Log:\n",
        "step": "* {step}\n",
        "log_end": "Order:",
        "answer": " {command}\n",
        "separator": "\n",
        "no_log": "Order:",
        **changes,
    }


def test_a_format_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps(completion()), encoding="utf-8")
    prompt = load_prompt(str(path))
    assert prompt.prefix(chat) == []
    assert "".join(piece.text for piece in prompt.log(["a", "b"], chat)) == "Log:\n* a\n* b\nOrder:"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (completion(step="* \n"), "`step` must hold {step} once"),
        (completion(answer="{command} {command}\n"), "`answer` must hold {command} once"),
        (completion(answer="{command}"), "`answer` must end with a line break"),
        (completion(colour="red"), "unknown field `colour`"),
        (completion(version="one"), "$.version"),
        (completion(confirmation={"yes": "ok", "no": "ok"}), "two different texts"),
        (completion(confirmation={"yes": "", "no": "no"}), "two different texts"),
        (completion(confirmation={"yes": "y", "no": "n"}, examples=[{"command": "go", "steps": ["went"]}]), "examples"),
        (completion(kind="poem"), "poem"),
        ({"id": "x", "version": 1, "kind": "chat", "user": "hi", "answer_keys": []}, "`user` must hold {response}"),
        ([1, 2], "Expected `object`"),
    ],
)
def test_errors_name_the_file_and_the_field(tmp_path: Path, data: object, why: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_prompt(str(path))
    assert why in str(caught.value)
    assert "bad.yaml" in str(caught.value)


def test_an_unknown_format_lists_the_known() -> None:
    with pytest.raises(
        ConfigError, match=r"no prompt format 'nope'.*flip, flip-context, log-command, log-command-bare"
    ):
        load_prompt("nope")
