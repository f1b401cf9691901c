# Needs Python 3.10+ with pip and venv, make and git; everything else is set up in $(VENV).
VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin
READY = $(VENV)/.ready

# uv does not read pip's configuration: where pip finds wheels locally, uv finds them too.
ifneq ($(strip $(PIP_FIND_LINKS)),)
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif

# Where experiments go; what is finished there is not made again.
RUNS ?= runs
PAPERS = acrobot lunarlander halfcheetah ant
STUDIES = noise quantisation forgetting
NEWCOMERS = cartpole hopper bipedalwalker

.PHONY: help quickstart quick results newcomers study studies test check docs format build clean

help:
	@echo "make quickstart  train an expert on Acrobot-v1, clone it, resize the clones, print the table"
	@echo "make quick       the same for the paper's four environments, at the scale of minutes"
	@echo "make results     the same with five seeds, hours of it, into results/"
	@echo "make newcomers   three more environments, given by their names alone, into results/newcomers/"
	@echo "make study       which ingredient of training does what, into results/study/"
	@echo "make studies     noise, quantisation, forgetting and the size of tasks, into results/"
	@echo "make test        run the tests"
	@echo "make check       check lint, format, types and the order of imports"
	@echo "make docs        build the site into build/site"
	@echo "make format      format the code"
	@echo "make build       build the wheel"
	@echo "make clean       remove the environment and what was built (runs/ is kept)"

quickstart: $(READY)
	$(BIN)/sb3-integral run zoo_configs/acrobot.yml --preset quick

quick: $(READY)
	$(BIN)/sb3-integral run zoo_configs/acrobot.yml zoo_configs/lunarlander.yml \
		zoo_configs/halfcheetah.yml zoo_configs/ant.yml --preset quick

results: $(READY)
	$(BIN)/sb3-integral run $(PAPERS:%=zoo_configs/%.yml) --preset standard --runs $(RUNS)
	$(BIN)/sb3-integral figure $(PAPERS:%=$(RUNS)/%-standard) -o results/fig3.png
	for name in $(PAPERS); do $(BIN)/python scripts/keep_results.py $(RUNS)/$$name-standard results/$$name; done

newcomers: $(READY)
	$(BIN)/sb3-integral run $(NEWCOMERS:%=zoo_configs/newcomer_%.yml) --preset quick --runs $(RUNS)
	for name in $(NEWCOMERS); do $(BIN)/python scripts/keep_results.py $(RUNS)/newcomer-$$name-quick results/newcomers/$$name; done

study: $(READY)
	$(BIN)/sb3-integral run zoo_configs/study.yml --preset halfcheetah --runs $(RUNS)
	$(BIN)/sb3-integral run zoo_configs/study.yml --preset ant --runs $(RUNS)
	for name in halfcheetah ant; do $(BIN)/python scripts/keep_results.py $(RUNS)/study-$$name results/study/$$name; done

studies: $(READY)
	$(BIN)/sb3-integral run $(STUDIES:%=zoo_configs/study_%.yml) zoo_configs/study_task_size.yml --runs $(RUNS)
	for name in $(STUDIES); do $(BIN)/python scripts/keep_study.py $(RUNS)/study_$$name-* -o results/study_$$name; done
	$(BIN)/python scripts/task_size.py $(RUNS)/study_task_size-* results/halfcheetah -o results/study_task_size

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadgroup

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

build: $(READY)
	$(BIN)/python -m build --installer uv --wheel

# Only what was made here goes: an environment of yours that VENV names stays, and so do your own wheels.
clean:
	if [ -f "$(VENV)/.made-by-make" ]; then rm -rf "$(VENV)"; fi
	rm -f dist/sb3_integral-*.whl dist/sb3_integral-*.tar.gz
	if [ -d dist ] && [ -z "$$(ls -A dist)" ]; then rmdir dist; fi

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Python 3.10 or newer is needed, $(PYTHON) is `$(PYTHON) -V`" >&2; exit 1; }
	@test -x $(BIN)/python || test ! -e "$(VENV)" || test -f "$(VENV)/.made-by-make" || \
		{ echo "$(VENV) exists and is no environment, expected a new folder" >&2; exit 1; }
	test -x $(BIN)/python || { $(PYTHON) -m venv $(VENV) && touch $(VENV)/.made-by-make; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[all]' --group dev
	@touch $@
