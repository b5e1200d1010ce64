"""Starts the self-check node; `ros2 launch flip_edge_ros self_check.launch.py --show-args` lists the arguments."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare


def generate_launch_description() -> LaunchDescription:
    """The arguments and the node, which configures and activates itself: launch on Humble cannot do that for it."""
    params_file = PathJoinSubstitution([FindPackageShare("flip_edge_ros"), "config", "self_check.yaml"])
    arguments = [
        DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node and its topics."),
        DeclareLaunchArgument("params_file", default_value=params_file, description="Parameters, as a YAML file."),
        DeclareLaunchArgument(
            "autostart",
            default_value="true",
            description="Configure and activate at start; false leaves that to a lifecycle manager.",
        ),
        DeclareLaunchArgument("use_sim_time", default_value="false", description="Follow /clock."),
        DeclareLaunchArgument("log_level", default_value="info", description="debug, info, warn, error or fatal."),
    ]
    switches = {
        name: ParameterValue(LaunchConfiguration(name), value_type=bool) for name in ("autostart", "use_sim_time")
    }
    node = LifecycleNode(
        package="flip_edge_ros",
        executable="self_check_node",
        name="self_check",
        namespace=LaunchConfiguration("namespace"),
        parameters=[LaunchConfiguration("params_file"), switches],
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
        output="screen",
    )
    return LaunchDescription([*arguments, node])
