"""Builds with colcon (ament_python) and with plain pip."""

from setuptools import setup

NAME = "flip_edge_demo"

setup(
    name=NAME,
    version="0.1.0",
    description="A simulated household robot that really acts, and does not always do as it was told.",
    author="The flip_edge developers",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=[NAME],
    package_data={NAME: ["data/*.yaml", "data/*.jsonl"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
    ],
    install_requires=["flip_edge", "flip_edge_msgs", "flip_edge_ros", "pyrobosim==5.0.1", "pyyaml>=5.4", "rich>=13"],
    zip_safe=False,
)
