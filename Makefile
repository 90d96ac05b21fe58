# Needs make and Python 3.11 or newer; everything else goes into .venv.

PYTHON ?= python3 python3.13 python3.12 python3.11

PY := .venv/bin/python
UV := .venv/bin/uv
STAMP := .venv/.set-up
BENCH_STAMP := .venv/.bench
EMULATORS := .venv/.emulators
SAM := .venv/.sam

PROCESSES ?= 4
STACK ?= streamer

MANIFESTS := $(wildcard plugins/*/pyproject.toml clients/python/pyproject.toml examples/*/pyproject.toml)
MEMBERS := . $(MANIFESTS:%/pyproject.toml=./%)

SOURCES := streamer_core benchmarks lambdas/build.py $(wildcard plugins/*/src clients/python/src tests)
MEMBER_TESTS := $(sort $(dir $(wildcard plugins/*/tests/*.py clients/python/tests/*.py)))

# Tests start hundreds of processes, and each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast chaos bench growth soak performance cost lint types format \
	validate build deploy constraints clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## Make or refresh .venv; the other targets do it by themselves

demo: $(STAMP) ## Run the quickstart: gateway, worker and client in one go
	@$(PY) examples/quickstart/demo.py

# `coverage run` rather than pytest-cov: it starts before anything is imported that it measures.
# Child processes are measured too (`patch` in pyproject.toml). conftest.py says which tests stay
# together in one of the processes; what takes longest is collected first.
test: $(STAMP) $(EMULATORS) $(SAM) ## Run all tests; coverage of lines and branches must reach 90 %
	@$(PY) -m coverage erase
	@$(PY) -m coverage run -m pytest --numprocesses $(PROCESSES) --dist loadscope \
		--no-loadscope-reorder
	@$(PY) -m coverage combine --quiet
	@$(PY) -m coverage report --fail-under=90

test-fast: $(STAMP) $(EMULATORS) ## Run the tests but e2e, without coverage; stop at the first failure
	@$(PY) -m pytest --exitfirst --quiet --ignore=tests/e2e

chaos: $(STAMP) $(EMULATORS) $(SAM) ## Break it on purpose, at length: a hundred kills at random moments (STREAMER_SEED=n)
	@STREAMER_CHAOS=long $(PY) -m pytest tests/e2e tests/unit/engine/test_promises.py \
		plugins/streamer-plugin-dynamodb/tests/test_queues.py

bench: $(BENCH_STAMP) ## Measure it; needs a C compiler, and a quiet machine for figures to believe
	@$(PY) -m benchmarks

growth: $(BENCH_STAMP) ## Measure how its cost grows with its load, and draw docs/growth/*.svg; ten minutes
	@$(PY) -m benchmarks growth

soak: $(STAMP) ## Run it under load for 20 minutes, and fail if anything grows (SECONDS=n)
	@$(PY) -m benchmarks soak $(SECONDS:%=--seconds %)

performance: $(STAMP) ## Write what the benchmarks found into docs/performance.md
	@$(PY) -m benchmarks.page

cost: $(STAMP) $(EMULATORS) ## Count what each journey asks of AWS, and write docs/cost.md
	@$(PY) -m tests.e2e.aws.costs.page

lint: $(STAMP) ## Check style, format and types
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(MAKE) --no-print-directory types

# Members' tests have a run each: plugins' test modules share their names (test_contract.py).
types: $(STAMP) ## Check types only
	@$(PY) -m mypy $(SOURCES)
	@for tests in plugins/conftest.py $(MEMBER_TESTS); do $(PY) -m mypy $$tests || exit; done

format: $(STAMP) ## Mend what ruff can mend, and format
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

# Neither asks AWS, nor tells it anything.
validate: $(SAM) ## Check lambdas/template.yaml, and that of the metrics, as AWS would
	@.venv/bin/streamer cloudwatch template > .venv/cloudwatch.json
	@.venv/sam/bin/cfn-lint lambdas/template.yaml .venv/cloudwatch.json
	@SAM_CLI_TELEMETRY=0 .venv/sam/bin/sam validate --lint --template lambdas/template.yaml --region us-east-1

build: $(STAMP) ## Make the Lambda bundles of a project in build/lambdas (PROJECT=folder)
	@$(PY) lambdas/build.py $(or $(PROJECT),$(error name the project: make build PROJECT=folder))

deploy: $(SAM) build ## Deploy a project with your AWS credentials; docs/deploy.md (PROJECT=, STACK=, PARAMETERS=)
	@SAM_CLI_TELEMETRY=0 .venv/sam/bin/sam deploy --template-file lambdas/template.yaml --stack-name $(STACK) \
		--resolve-s3 --capabilities CAPABILITY_IAM --no-fail-on-empty-changeset \
		$(if $(PARAMETERS),--parameter-overrides $(PARAMETERS))

constraints: | $(UV) ## Pin the newest versions of all dependencies in constraints.txt
	@printf '%s\n' uv $(MEMBERS:%='-e %') | $(UV) pip compile --quiet - pyproject.toml --all-extras --group dev \
		--group bench --no-sources --universal --python-version 3.11 --no-annotate --no-header > .venv/compiled.txt
	@{ echo '# Made by `make constraints`.'; grep -v '^-e ' .venv/compiled.txt; } > constraints.txt
	@{ echo '# Made by `make constraints`.'; $(UV) pip compile --quiet tests/emulators/requirements.in \
		--universal --python-version 3.11 --no-annotate --no-header; } > tests/emulators/requirements.txt
	@{ echo '# Made by `make constraints`.'; $(UV) pip compile --quiet lambdas/requirements.in \
		--universal --python-version 3.11 --no-annotate --no-header; } > lambdas/requirements.txt

clean: ## Remove caches, coverage data and builds; keep .venv
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* build dist
	@find . -name .venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# One call installs all members, so that what they ask of each other is met by the checkout.
$(STAMP): pyproject.toml $(MANIFESTS) constraints.txt $(UV)
	@echo 'Setting up .venv'
	@$(UV) pip install --quiet --python .venv --no-sources --constraint constraints.txt \
		--build-constraint constraints.txt --requirement pyproject.toml --all-extras --group dev $(MEMBERS:%=-e %)
	@touch $@

# What only benchmarks need: apart, so that no test or demo waits for it.
$(BENCH_STAMP): $(STAMP)
	@$(UV) pip install --quiet --python .venv --constraint constraints.txt --group bench
	@touch $@

# Emulators of AWS, in an environment of their own: they ask for other versions than Streamer does.
$(EMULATORS): tests/emulators/requirements.txt | $(STAMP)
	@echo 'Setting up .venv/emulators'
	@$(UV) venv --quiet --clear --python $(PY) .venv/emulators
	@$(UV) pip install --quiet --python .venv/emulators --no-deps --requirement $<
	@touch $@

# AWS's tools, in an environment of their own for the same reason.
$(SAM): lambdas/requirements.txt | $(STAMP)
	@echo 'Setting up .venv/sam'
	@$(UV) venv --quiet --clear --python $(PY) .venv/sam
	@$(UV) pip install --quiet --python .venv/sam --no-deps --requirement $<
	@touch $@

$(UV): constraints.txt | $(PY)
	@$(PY) -m pip install -qq --disable-pip-version-check --constraint constraints.txt uv
	@touch $@

$(PY):
	@for python in $(PYTHON); do \
		if $$python -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			exec $$python -m venv .venv; \
		fi; \
	done; \
	echo 'No Python 3.11 or newer that can make a virtual environment was found (tried: $(PYTHON)).' >&2; \
	echo 'Install one (on Debian and Ubuntu python3-venv as well), or name it: make PYTHON=/path/to/python3' >&2; \
	exit 1
