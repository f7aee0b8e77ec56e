# Every target sets up .venv by itself on a fresh clone (once; again when the dependencies change).
#
#     make tour     train, look inside, dream; says where its page is
#     make test     the tests
#     make check    formatting, lint, types
#     make bench    the benchmarks; some of them:  make bench NAMES="training patterns"
#     make believe  which pictures to believe: docs/believe.md;  fewer of all:  make believe ARGS="--classes 10 --units 10"
#     make fuzz     mutated files through every reader, five minutes;  make kill  commands ended at fifty moments each
#     make trust    load and faults, measured: the table in docs/trust.md;  make trust ARGS="kills --only train --count 50"
#     make wheel-test  the wheel, alone in an environment of its own: the tour;  make audit  known holes of what we use
#     make zoo      200 architectures of six libraries: is a unit what it is said to be;  make zoo ARGS="--only timm"
#     make names    logits of 37 of them, opened by a library's name, beside the library's own pipeline; docs/recipes.md
#     make load     fifty windows at one studio: what they see, what it costs, what is left
#     make docs     write the generated pages of docs/, run the notebooks, build build/site and follow its links
#     make pictures  draw the README's pictures again
#
# Another interpreter for a new .venv:  make PYTHON=python3.12 test

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEV := $(VENV)/.dev
OUT ?= tour
NAMES ?=
ARGS ?=

# MNIST that lies beside the clone is used where the environment names no other place.
ifeq ($(origin PELLUCID_DATA), undefined)
ifneq ($(wildcard ../shared/data),)
export PELLUCID_DATA := $(abspath ../shared/data)
endif
endif

.PHONY: tour test check format bench load docs pictures believe clean fuzz kill trust wheel-test audit zoo names

tour: $(READY)
	$(BIN)/pellucid tour --out "$(OUT)" $(ARGS)

# A file's tests stay together, for their fixtures, in one of as many processes as there are cores, up to four.
# In one process:  make test WORKERS=0. Those of Ray come last, alone: it starts processes of its own, and ends the one
# that it is in when these starve. Where a process ends all the same, all end: this way of sharing would wait for ever.
WORKERS ?= auto --maxprocesses 4 --dist loadfile --max-worker-restart 0

test: $(DEV)
	$(BIN)/python -m pytest -n $(WORKERS) $(if $(ARGS),$(ARGS),--ignore tests/spread)
	$(if $(ARGS),,$(BIN)/python -m pytest tests/spread)

check: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(DEV)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(DEV)
	$(BIN)/python -m benchmarks $(NAMES)

believe: $(DEV)
	$(BIN)/python -m benchmarks.believe $(ARGS)

trust: $(DEV)
	$(BIN)/python -m benchmarks.trust $(ARGS)

load: $(DEV)
	$(BIN)/python -m benchmarks.load_studio $(ARGS)

# In an environment of its own, for torchvision needs a PyTorch of its own version.
ZOO := .zoo

zoo: $(ZOO)/.ready
	$(ZOO)/bin/python -m benchmarks.zoo $(ARGS)

names: $(ZOO)/.ready
	$(ZOO)/bin/python -m benchmarks.names $(ARGS)
	$(ZOO)/bin/python -m pytest -q tests/see/models/test_names.py
	$(ZOO)/bin/python -m pytest -q tests/test_docs_run.py -k recipe

docs: $(DEV)
	$(BIN)/python docs/generate.py
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --doctree-dir build/doctrees docs build/site
	$(BIN)/python docs/links.py build/site
	@echo "Open build/site/index.html"

pictures: $(DEV)
	$(BIN)/python docs/pictures.py

SECONDS ?= 300
MOMENTS ?= 50

fuzz: $(DEV)
	cd tests && PYTHONPATH=. $(abspath $(BIN))/python -m trust.fuzz --seconds $(SECONDS) $(ARGS)

kill: $(DEV)
	cd tests && PYTHONPATH=. $(abspath $(BIN))/python -m trust.kills --moments $(MOMENTS) $(ARGS)

wheel-test: $(DEV)
	$(BIN)/python tests/trust/wheel.py $(ARGS)

audit: $(DEV)
	$(BIN)/python tests/trust/audit.py

clean:
	rm -rf $(VENV) $(ZOO) tests/fuzz-found .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist

.PHONY: venv
venv: $(DEV)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else \
	  f"Pellucid needs Python 3.11 or newer, but $(PYTHON) is {v[0]}.{v[1]}; name another: make PYTHON=python3.12 ...")'
	@echo "Setting up $(VENV) (minutes the first time: PyTorch is large)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --constraint constraints.txt hatchling editables
	@$(BIN)/python -m pip install -qq --constraint constraints.txt --no-build-isolation --editable .
	@touch $@

$(ZOO)/.ready: pyproject.toml benchmarks/zoo-requirements.txt
	@echo "Setting up $(ZOO) (minutes the first time, and gigabytes: six libraries of networks)"
	@test -x $(ZOO)/bin/python || $(PYTHON) -m venv $(ZOO)
	@$(ZOO)/bin/python -m pip install -qq --requirement benchmarks/zoo-requirements.txt
	@$(ZOO)/bin/python -m pip install -qq --no-build-isolation --editable .
	@touch $@

$(DEV): $(READY)
	@echo "Adding what the tests, the checks and every extra need"
	@$(BIN)/python -m pip install -qq --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	@touch $@
