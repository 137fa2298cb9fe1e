# The everyday commands. `make` alone checks and tests; python3 start.py does the same without make.

PYTHON := $(or $(SLICEWISE_VENV),.venv)/bin/python

.PHONY: all run test check format bench docs setup lock bom audit release

all: check test

run: # open the app on the demo project
	python3 start.py

test: # all tests, those in a real browser too
	python3 start.py test

check: # ruff, mypy, and prettier and eslint over the page's scripts
	python3 start.py check

format: setup # lay out Python, scripts and styles anew
	$(PYTHON) -m ruff check --fix --select I .
	$(PYTHON) -m ruff format .
	npm ci --no-audit --no-fund
	npm run --silent format

bench: setup # speed of the page; docs/measured names every other benchmark
	$(PYTHON) -m benchmarks.latency

docs: setup # links, commands and sentence lengths of the documents
	$(PYTHON) -m pytest tests/project/test_docs.py tests/project/test_prose.py

lock: # the hashes in locks/ anew, after a pin has changed; needs uv
	.ci/lock

bom: .venv-audit # bom.json: every package of the environment with version and licence (CycloneDX)
	.venv-audit/bin/cyclonedx-py environment $(PYTHON) --output-format JSON --output-file bom.json

release: VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
release: bom # build/slicewise-VERSION.zip: what is committed, with bom.json
	mkdir -p build
	git archive --prefix slicewise-$(VERSION)/ --add-file bom.json --output build/slicewise-$(VERSION).zip HEAD

audit: .venv-audit # known weaknesses of what is locked; asks PyPI
	.venv-audit/bin/pip-audit --requirement locks/requirements.txt --require-hashes --disable-pip

.venv-audit: requirements-audit.txt
	python3 -m venv .venv-audit
	.venv-audit/bin/pip install --quiet -r requirements-audit.txt
	touch .venv-audit

setup:
	python3 start.py setup --dev
