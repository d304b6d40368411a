# make up      set everything up and start it (PORT=8000, SIGNOFF_HOME=var)
# make test    every test on SQLite, then those that touch the database's ways on PostgreSQL
# make test-fast    more than half of the tests in a minute and a half on two cores: without files whose tests take more than 0.08 s
#                   of processor time each (tests/times.tsv: browsers, real trainings, started services, most pages) and those marked `slow`
# make test-times   every test, and what each file took into tests/times.tsv, which the fast lane goes by
# make mutants      alters lines of the product, one at a time, and says which alterations no test notices (ARGS="--sample 20 --seed 2")
# make test EVERY_CASE=yes    also the cases of which a commit runs only some (a marker `one_in`)
# make test-faults, make test-escape    the long suites: killed processes and every idea trained, attempts to get out
# make test-cheats                      a corpus of cheats and the honest ideas beside it, from submission to verdict (20 minutes)
# make test-crash                       kill -9 all through a landing, 20 times around each commit, on both databases (an hour)
# make bench-policy                     the error rates of the decision policy, simulated, also where somebody tries to move sigma
# make bench-stacks                     how often the advice of an ablation is wrong, simulated
# make bench-curves                     how long the curves of 100 runs take, beside a page that sends everything
# make bench-pages                      what pages, pulses and calls of the API cost in histories of different sizes
# make bench-decisions                  A/A candidates and known improvements through the real loop (about an hour)
# make first-hour   a fresh clone and its first decision, with the seconds (ARGS="--pictures docs/tutorial/pictures": takes pictures)
# make walk    a whole Signoff on small projects: every page, again and again, at every stage, as every role (docs/how-to/walk.md);
#              into var/walk.json, with pictures of every page in var/walk/ (ARGS=--short: a minute of it)
# make screenshots   pictures of every page of the running server while it trains, in both themes and widths, into var/screenshots
# make docs    the documentation as a site with a search, in docs/_build/html; the product serves it at /docs/
# make words   where a word still stands that docs/reference/glossary.md replaced
# make check   lint, format, types, migrations, Django's checks, templates
# make doctor  what is there, what is wrong, and the fix
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := up
.PHONY: docs words screenshots first-hour walk up test test-fast test-times mutants test-postgresql test-faults test-crash test-escape test-cheats bench-policy bench-stacks bench-curves bench-pages bench-decisions check format doctor

VENV := .venv
RUN := $(VENV)/bin/python
CORES := $(shell nproc)
JOBS := $(shell expr $(CORES) + $(CORES) / 2)
# Test processes, each with a home of its own; more than cores, because tests also wait. Who has none left takes from the others.
SIDE_BY_SIDE := -n $(JOBS) --dist worksteal
PYTHONS := $(PYTHON) python3.11 python3.12 python3.13 python3

# A virtual environment from the first Python that is new enough.
define make_venv
python=; for name in $(PYTHONS); do \
    if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python="$$name"; break; fi; \
  done; \
  [ -n "$$python" ] || { \
    echo "Signoff needs Python 3.11 or newer; python3 here is: $$(python3 --version 2>&1 || true)." >&2; \
    echo "Install it (Debian: apt-get install python3 python3-venv) or name one: make PYTHON=/path/to/python3.11" >&2; \
    exit 1; }; \
  "$$python" -m venv --clear $(VENV) || { \
    rm -rf $(VENV); \
    echo "Python's venv module is incomplete. Install it (Debian: apt-get install python3-venv), then try again." >&2; \
    exit 1; }
endef

# Installs a requirements file, unless just this content was installed before.
define install
@sha256sum --check --status $(VENV)/$(1).sha256 2>/dev/null || { \
    $(RUN) -m pip --version >/dev/null 2>&1 || { $(make_venv); }; \
    echo "Installing $(1) into $(VENV) (once; PyTorch is large) …"; \
    $(RUN) -m pip install --quiet --disable-pip-version-check --requirement $(1) || { \
      echo "The installation failed, see above. When the network is back, the same command goes on." >&2; exit 1; }; \
    $(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .; \
    sha256sum requirements.txt pyproject.toml $(1) > $(VENV)/$(1).sha256; }
endef

# Chromium, where it is not there and can be installed.
define chromium
@command -v "$${CHROMIUM:-chromium}" >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
    echo "Installing Chromium …" && apt-get update -qq && \
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium >/dev/null; } || \
    echo "No Chromium: install one (Debian: apt-get install chromium) or set CHROMIUM=/path/to/it."
endef

up:
	$(call install,requirements.txt)
	@$(RUN) manage.py docs --if-changed || true
	@exec $(RUN) manage.py up </dev/null

docs:
	$(call install,requirements.txt)
	@exec $(RUN) manage.py docs $(ARGS)

test:
	$(call install,requirements-dev.txt)
	$(chromium)
	env -u DATABASE_URL -u REDIS_URL -u SIGNOFF_HOME $(RUN) -m pytest $(SIDE_BY_SIDE) $(ARGS)
	@$(MAKE) --no-print-directory test-postgresql

test-fast:
	$(call install,requirements-dev.txt)
	env -u DATABASE_URL -u REDIS_URL -u SIGNOFF_HOME $(RUN) -m pytest -n $(CORES) --dist worksteal --fast $(ARGS)

test-times:
	$(call install,requirements-dev.txt)
	$(chromium)
	env -u DATABASE_URL -u REDIS_URL -u SIGNOFF_HOME EVERY_CASE=yes $(RUN) -m pytest $(SIDE_BY_SIDE) --record-times $(ARGS)

mutants:
	$(call install,requirements-dev.txt)
	env -u DATABASE_URL -u REDIS_URL -u SIGNOFF_HOME $(RUN) -m tests.mutants $(ARGS)

test-postgresql:
	$(call install,requirements-dev.txt)
	env -u REDIS_URL -u SIGNOFF_HOME $(RUN) -m tests.postgresql $(SIDE_BY_SIDE) $(ARGS)

test-faults:
	$(call install,requirements-dev.txt)
	env -u DATABASE_URL -u REDIS_URL -u SIGNOFF_HOME EVERY_CASE=yes FAULT_SEEDS=$${FAULT_SEEDS:-10} EVERY_IDEA=yes EVERY_LOOK=yes APPROVALS=50 \
	    $(RUN) -m pytest tests/faults tests/agent/test_playbook.py tests/loop/test_landing_queue.py tests/browser/test_accessibility.py $(ARGS)

test-crash:
	$(call install,requirements-dev.txt)
	env -u DATABASE_URL -u REDIS_URL -u SIGNOFF_HOME $(RUN) -m tests.faults.landing_crashes $(ARGS)
	env -u REDIS_URL -u SIGNOFF_HOME $(RUN) -m tests.postgresql --run tests.faults.landing_crashes $(ARGS)

test-escape:
	$(call install,requirements-dev.txt)
	$(RUN) -m tests.escape $(ARGS)

test-cheats:
	$(call install,requirements-dev.txt)
	env -u DATABASE_URL -u REDIS_URL -u SIGNOFF_HOME $(RUN) -m tests.cheats $(ARGS)

bench-decisions:
	$(call install,requirements-dev.txt)
	$(RUN) -m benchmarks.decisions $(ARGS)

bench-policy:
	$(call install,requirements-dev.txt)
	$(RUN) -m benchmarks.policy $(ARGS)
	$(RUN) -m benchmarks.noise $(ARGS)

bench-stacks:
	$(call install,requirements-dev.txt)
	$(RUN) -m benchmarks.stack_advice $(ARGS)

bench-pages:
	$(call install,requirements-dev.txt)
	env -u DATABASE_URL -u REDIS_URL -u SIGNOFF_HOME $(RUN) -m benchmarks.pages $(ARGS)

bench-curves:
	$(call install,requirements-dev.txt)
	$(RUN) -m benchmarks.curves $(ARGS)

first-hour:
	$(call install,requirements-dev.txt)
	@exec $(RUN) -m benchmarks.first_hour $(ARGS)

walk:
	$(call install,requirements-dev.txt)
	$(chromium)
	@exec $(RUN) -m tests.walk $(ARGS)

screenshots:
	$(call install,requirements-dev.txt)
	@exec $(RUN) manage.py screenshots $(ARGS)

words:
	$(call install,requirements-dev.txt)
	@exec $(RUN) -m tests.house.words $(ARGS)

check:
	$(call install,requirements-dev.txt)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-cache
	$(RUN) manage.py makemigrations --check --dry-run
	$(RUN) manage.py check --fail-level WARNING
	$(VENV)/bin/djlint templates --lint --quiet

format:
	$(call install,requirements-dev.txt)
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

doctor:
	@exec $(RUN) manage.py doctor
