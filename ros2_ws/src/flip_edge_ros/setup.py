"""Builds with colcon (ament_python) and with plain pip."""

from setuptools import setup

NAME = "flip_edge_ros"

setup(
    name=NAME,
    version="0.1.0",
    description="The ROS 2 node of flip_edge: verdicts and mismatch alerts from commands and action descriptions.",
    author="The flip_edge developers",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=[NAME],
    package_data={NAME: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", ["launch/self_check.launch.py"]),
        (f"share/{NAME}/config", ["config/self_check.yaml"]),
    ],
    install_requires=["flip_edge", "flip_edge_msgs"],
    entry_points={"console_scripts": ["self_check_node = flip_edge_ros.main:main"]},
    zip_safe=False,
)
