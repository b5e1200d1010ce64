"""The configuration of flip_edge as ROS parameters: one for every key, with its description, range and check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from flip_edge.config import LIVE, Config, Setting, settings
from flip_edge.errors import ConfigError

AUTOSTART = "autostart"


class NodeParameters:
    """Declares the parameters of a node and keeps the configuration that they make.

    Args:
        node: whose parameters they are.
        loaded: tells whether a model is loaded; then only some settings may change.
        apply: given the new configuration after a change was accepted; may refuse with a ConfigError.
    """

    def __init__(self, node: Node, loaded: Callable[[], bool], apply: Callable[[Config], None]) -> None:
        self._loaded = loaded
        self._apply = apply
        values = {setting.name: self._declare(node, setting) for setting in settings()}
        autostart = ParameterDescriptor(
            description="Configure and activate at start; false leaves that to a lifecycle manager.", read_only=True
        )
        self.autostart = bool(node.declare_parameter(AUTOSTART, True, autostart).value)
        self.config = Config().replace(**values)
        node.add_on_set_parameters_callback(self._on_set)

    @staticmethod
    def _declare(node: Node, setting: Setting) -> str | int | float:
        descriptor = ParameterDescriptor(description=setting.description)
        if setting.choices:
            descriptor.additional_constraints = f"one of: {', '.join(setting.choices)}"
        if setting.low is not None and setting.high is not None:
            if isinstance(setting.default, int):
                whole = IntegerRange(from_value=int(setting.low), to_value=int(setting.high), step=1)
                descriptor.integer_range = [whole]
            else:
                real = FloatingPointRange(from_value=float(setting.low), to_value=float(setting.high), step=0.0)
                descriptor.floating_point_range = [real]
        value: str | int | float = node.declare_parameter(setting.name, setting.default, descriptor).value
        return value

    def _on_set(self, parameters: Sequence[Parameter[Any]]) -> SetParametersResult:
        known = Config.__struct_fields__
        changes = {parameter.name: parameter.value for parameter in parameters if parameter.name in known}
        changes = {name: value for name, value in changes.items() if value != getattr(self.config, name)}
        if not changes:
            return SetParametersResult(successful=True)
        try:
            config = self.config.replace(**changes)
            if self._loaded() and (fixed := sorted(set(changes) - LIVE)):
                raise ConfigError(f"{', '.join(fixed)}: cannot change while a model is loaded; clean up the node first")
            self._apply(config)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self.config = config
        return SetParametersResult(successful=True)
