# Needs Python 3.10+ with pip and venv, make and git; everything else is set up in $(VENV).
VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin
READY = $(VENV)/.ready

# uv does not read pip's configuration: where pip finds wheels locally, uv shall find them too.
ifneq ($(strip $(PIP_FIND_LINKS)),)
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif

.PHONY: help quickstart quick test check format build clean

help:
	@echo "make quickstart  train an expert on Acrobot-v1, clone it, resize the clones, print the table"
	@echo "make quick       the same for the paper's four environments, at the scale of minutes"
	@echo "make test        run the tests"
	@echo "make check       check lint, format and types"
	@echo "make format      format the code"
	@echo "make build       build the wheel"
	@echo "make clean       remove the environment and what was built (runs/ is kept)"

quickstart: $(READY)
	$(BIN)/sb3-integral run zoo_configs/acrobot.yml --preset quick

quick: $(READY)
	$(BIN)/sb3-integral run zoo_configs/acrobot.yml zoo_configs/lunarlander.yml \
		zoo_configs/halfcheetah.yml zoo_configs/ant.yml --preset quick

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadgroup

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

build: $(READY)
	$(BIN)/python -m build --installer uv --wheel

clean:
	rm -rf $(VENV) build dist

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Python 3.10 or newer is needed, $(PYTHON) is `$(PYTHON) -V`" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[all]' --group dev
	@touch $@
