# Freight's commands. On a fresh machine nothing is needed but Python ≥ 3.11; `make run` and `make test` do the rest.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The newest Python that the lock file was made for, whatever it is called here.
PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3; do \
	$$name -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)

# Kept by `make test`: production as docs/settings.md shows it.
PRODUCTION := DEMO=0 DEBUG=0 DATABASE_URL=postgresql://freight@db/freight REDIS_URL=redis://cache:6379/0 \
	SECRET_KEY=an-example-of-fifty-characters-or-more-for-the-check-0123456789 \
	ALLOWED_HOSTS=freight.example CSRF_TRUSTED_ORIGINS=https://freight.example WS_CORS_ORIGINS=https://freight.example EXPECTED_PROCESSES=api=1

CHECKS := check-lint check-format check-types check-imports check-dead-code check-migrations check-deploy check-tests

# Dozens of processes start here: each would compile what it imports anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test bench lint format lock screenshots system-packages system-packages-present $(CHECKS)

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

run: $(STAMP) ## everything on one port: PORT, FREIGHT_HOME, API_PROCESSES, WS_PROCESSES, SIMULATE
	@exec $(BIN)/python -m freight.supervisor

test: $(STAMP) system-packages-present ## every check and every test; each runs even after another failed
	@failed=; for check in $(CHECKS); do \
		echo "== $$check"; \
		$(MAKE) --no-print-directory $$check || failed="$$failed $$check"; \
	done; \
	if [ -n "$$failed" ]; then echo "FAILED:$$failed"; exit 1; fi; \
	echo "All passed: $(CHECKS)"

check-lint:
	@$(BIN)/ruff check
check-format:
	@$(BIN)/ruff format --check
check-types:
	@$(BIN)/mypy
check-imports:
	@$(BIN)/lint-imports
check-dead-code:
	@$(BIN)/vulture
check-migrations:
	@$(PRODUCTION) LOG_LEVEL=ERROR $(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
check-deploy:
	@$(PRODUCTION) $(BIN)/python manage.py check --deploy --fail-level WARNING
# Three at a time: most tests wait for servers. What shares servers or a browser stays together (tests/scheduling.py).
# No reruns: a test that fails once is broken. A run of all tests is traced (a tenth more processor time, and most
# tests wait) and holds the floor of `fail_under` in pyproject.toml; servers are processes of their own and are not.
check-tests:
	@$(BIN)/python -m pytest -n 3 --no-loadscope-reorder -r a $(if $(PYTEST),$(PYTEST),--cov --cov-report=)

lint: $(STAMP) ## the quick checks, no tests
	@$(MAKE) --no-print-directory -k check-lint check-format check-types check-imports check-dead-code

format: $(STAMP) ## write every file as the formatter wants it
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: $(STAMP) ## side-by-side benchmarks, prints ratios
	@$(BIN)/python -m tests.bench

screenshots: $(STAMP) ## pictures of the pages, by a real browser
	@$(BIN)/python -m tests.browser.screenshots

lock: $(STAMP) ## resolve pyproject.toml into requirements.lock again, with hashes and without addresses
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header -o requirements.lock

# pip comes with Python and installs uv, uv installs the rest at ten times the speed, all by hash. uv does not
# read pip's configuration: where a machine gets its packages only through that, pip finishes the work.
$(STAMP): requirements.lock
	@if [ -z "$(PYTHON)" ]; then \
		echo "Freight needs Python 3.11 or newer with venv and ensurepip (on Debian: apt-get install python3-venv)."; \
		exit 1; fi
	@echo "Building $(VENV) with $(PYTHON)"
	@rm -f $(STAMP)
	@[ -x $(BIN)/python ] && $(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@sed -n '/^uv==/,/^    # via/p' requirements.lock > $(VENV)/uv.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock \
		|| $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $(STAMP)

# WeasyPrint draws with pango, names in Arabic, Hebrew, Hindi, Thai, Chinese, Japanese, Korean and emoji need their fonts;
# browser tests drive chromium; rules and dashboard are tried on a real Prometheus.
system-packages: ## install what the tests need from the distribution (as root, by apt)
	apt-get update -q
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
		libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 \
		fontconfig fonts-dejavu-core fonts-wqy-microhei fonts-lohit-deva fonts-tlwg-loma-ttf fonts-noto-color-emoji \
		chromium prometheus

system-packages-present:
	@if ! ( $(BIN)/python -c 'import ctypes; [ctypes.CDLL(name) for name in ("libpango-1.0.so.0", "libpangoft2-1.0.so.0", "libharfbuzz-subset.so.0")]' 2>/dev/null \
		&& for glyph in 0627 05d0 0905 0e01 967d d55c 1f69a; do fc-list ":charset=$$glyph" 2>/dev/null | grep -q . || exit 1; done \
		&& { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null \
		&& command -v prometheus >/dev/null && command -v promtool >/dev/null ); then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then $(MAKE) system-packages; \
		else echo "The tests need pango, fonts for every script, chromium and prometheus: sudo make system-packages"; exit 1; fi; fi
