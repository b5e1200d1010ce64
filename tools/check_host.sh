#!/bin/sh
# Says what a fresh machine lacks before anything is built. Usage: check_host.sh PYTHON
python=$1
missing=""

need() { missing="$missing\n  - $1"; }

if ! command -v "$python" >/dev/null 2>&1; then
    need "Python 3.10 or newer ($python is not there; another one: make PYTHON=/path/to/python3)"
else
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        need "Python 3.10 or newer ($python is $("$python" -V 2>&1); another one: make PYTHON=/path/to/python3)"
    "$python" -c 'import ensurepip, venv' 2>/dev/null || need "Python's venv module (apt package python3-venv)"
    "$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' \
        2>/dev/null || need "Python's headers (apt package python3-dev)"
fi
command -v c++ >/dev/null 2>&1 || command -v g++ >/dev/null 2>&1 || need "a C++ compiler (apt package g++)"
command -v cmake >/dev/null 2>&1 || need "cmake (apt package cmake)"
if [ "$(uname -s)-$(uname -m)" != Linux-x86_64 ]; then
    need "an x86-64 Linux: the ROS 2 wheels that this set-up uses exist for no other machine. On a Jetson or a Pi,
    take ROS 2 from apt and build ros2_ws with colcon; README.md, \"On a Jetson or a Pi\", says how"
fi

if [ -n "$missing" ]; then
    printf 'This machine lacks:%b\nOn Debian or Ubuntu: sudo apt-get install python3-venv python3-dev g++ cmake make\n' "$missing" >&2
    exit 1
fi
