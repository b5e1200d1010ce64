# make demo   set up what it needs, then watch a simulated robot being checked
# make test   set up, then run every test
# make lint   ruff and mypy
# Another interpreter: make PYTHON=/path/to/python3 test

PYTHON ?= python3
VENV ?= .venv

bin := $(VENV)/bin
pip := $(bin)/python -m pip --disable-pip-version-check -q
stamps := $(VENV)/.stamps
ws := ros2_ws/src
msgs := $(shell find $(ws)/flip_edge_msgs -type f)

# Children of make must find this environment's ROS libraries, and not those of the shell that called.
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE
unexport LD_LIBRARY_PATH
unexport PYTHONPATH

.PHONY: demo test lint format setup model clean
.DELETE_ON_ERROR:

demo: $(stamps)/demo model
	$(bin)/flip-edge demo

test: $(stamps)/demo $(stamps)/test model
	$(bin)/python -m pytest

lint: $(stamps)/demo $(stamps)/lint
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(bin)/mypy

format: $(stamps)/lint
	$(bin)/ruff format .
	$(bin)/ruff check --fix .

setup: $(stamps)/demo model

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(stamps)/venv:
	@tools/check_host.sh $(PYTHON)
	$(PYTHON) -m venv $(VENV)
	@mkdir -p $(stamps)
	$(pip) install 'pip>=24'
	@touch $@

$(stamps)/core: pyproject.toml | $(stamps)/venv
	@echo "installing flip_edge; llama.cpp is built from source for this processor, which takes a few minutes"
	$(pip) install -e '.[ros]'
	@touch $@

$(stamps)/msgs: $(msgs) | $(stamps)/core
	@echo "building flip_edge_msgs, about a minute"
	$(pip) install ./$(ws)/flip_edge_msgs
	@touch $@

$(stamps)/demo: $(ws)/flip_edge_ros/setup.py $(ws)/flip_edge_demo/setup.py $(stamps)/msgs $(stamps)/core
	$(pip) install -e $(ws)/flip_edge_ros -e $(ws)/flip_edge_demo
	@touch $@

$(stamps)/test: pyproject.toml | $(stamps)/core
	$(pip) install -e '.[test]'
	@touch $@

$(stamps)/lint: pyproject.toml | $(stamps)/core
	$(pip) install -e '.[lint]'
	@touch $@

# Not a stamp: the model lies in the user's cache, which may be emptied; a model that is there is only verified.
model: | $(stamps)/core
	$(bin)/flip-edge models pull
