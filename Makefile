# make demo   set up what it needs, then watch a simulated robot being checked
# make test   set up, then run every test
# make prepare   look anew for the form of the default model that is fastest on this processor, as the set-up did
# make lint   ruff and mypy
# make train-smoke   the whole of training on a few rows, to an adapter that loads and checks a run
# make grpo-smoke   a policy trained by FLIP's reward for two steps, and what came of it
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

.PHONY: demo test lint format setup model prepare clean train-smoke grpo-smoke
.DELETE_ON_ERROR:

demo: setup
	$(bin)/flip-edge demo

# Tests of nodes go one after the other: they start processes of their own, and some are about time.
test: $(stamps)/demo $(stamps)/test model
	$(bin)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --ignore tests/ros
	$(bin)/python -m pytest tests/ros

# Both stages, and one row checked under llama.cpp; it shows that all fits together.
smoke := build/train-smoke
train := $(bin)/python -m training.train $(smoke)/rows.jsonl --batch-tokens 400 --limit 16
train-smoke: $(stamps)/train model
	rm -rf $(smoke)
	mkdir -p $(smoke)
	$(bin)/python -m training.prepare --data tests/training/data --only-source synthetic --limit 24 -o $(smoke)/rows.jsonl
	$(train) --steps 3 -o $(smoke)/likelihood
	$(train) --steps 3 -o $(smoke)/contrast --objective contrast --start $(smoke)/likelihood
	$(bin)/python -m training.export $(smoke)/contrast -o $(smoke)/adapter.gguf
	$(bin)/python -m training.measure $(smoke)/rows.jsonl --adapter $(smoke)/adapter.gguf --limit 1

# A policy from four rows, so it writes nonsense; it shows that TRL, the reward and llama.cpp fit together.
grpo := build/grpo-smoke
plans := tests/training/data/plans.jsonl
grpo-smoke: $(stamps)/train model
	rm -rf $(grpo)
	mkdir -p $(grpo)
	$(bin)/python -m training.policy $(plans) -o $(grpo)/policy
	$(bin)/python -m training.grpo $(plans) --policy $(grpo)/policy --steps 2 --prompts 1 --generations 4 -o $(grpo)/run
	$(bin)/python -m benchmarks.grpo $(plans) --run flip=$(grpo)/run --limit 1 --draws 2 -o $(grpo)/measured

lint: $(stamps)/demo $(stamps)/lint
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(bin)/mypy

format: $(stamps)/lint
	$(bin)/ruff format .
	$(bin)/ruff check --fix .

setup: $(stamps)/demo model $(stamps)/prepared

prepare: $(stamps)/prepare model
	$(bin)/flip-edge models prepare --force

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

$(stamps)/prepare: pyproject.toml | $(stamps)/core
	$(pip) install -e '.[prepare]'
	@touch $@

# Once for a model. Where it does not work out, say for want of room, the model is used as it is.
$(stamps)/prepared: $(wildcard models/*.yaml models/adapters/*.gguf) | $(stamps)/prepare model
	@echo "looking for the form of the model that is fastest on this processor, a minute or two"
	@if $(bin)/flip-edge models prepare; then touch $@; else echo "going on with the model as it is"; fi

$(stamps)/test: pyproject.toml | $(stamps)/core
	$(pip) install -e '.[test]'
	@touch $@

# The build of torch for processors alone, where there is one: the registry's own brings gigabytes of CUDA.
TORCH ?= torch==2.13.0
$(stamps)/train: pyproject.toml | $(stamps)/core
	$(pip) install '$(TORCH)'
	$(pip) install -e '.[train]'
	@touch $@

$(stamps)/lint: pyproject.toml | $(stamps)/core
	$(pip) install -e '.[lint]'
	@touch $@

# Not a stamp: the model lies in the user's cache, which may be emptied; a model that is there is only verified.
model: | $(stamps)/core
	$(bin)/flip-edge models pull
