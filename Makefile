# The two commands a newcomer needs are `make demo` and `make test`; CONTRIBUTING.md says the rest.

CARGO ?= cargo
PYTHON ?= python3
PINAKO := target/release/pinako
VENV := .venv

.PHONY: all demo test lint build python servers clean

all: build

build:
	$(CARGO) build --release --bin pinako

# Compares the embedded stores on images that Pinako makes itself, up to 10,000 of them: about a minute after the build.
demo: build
	$(PINAKO) bench stores --counts 1,10,100,1000,10000 --out demo

test: servers
	PYTHON=$(VENV)/bin/python scripts/test.sh

lint:
	$(CARGO) fmt --all --check
	$(CARGO) fmt --check --manifest-path examples/mean-colour-datafusion/Cargo.toml
	$(CARGO) clippy --workspace --all-targets -- -D warnings

# The other programs' own packages, which the tests compare with.
python: $(VENV)/installed

$(VENV)/installed: tests/interop/requirements.txt
	$(PYTHON) -m venv $(VENV) || $(PYTHON) -m virtualenv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

# The servers that the tests start for themselves.
servers: python
	scripts/install-servers.sh

clean:
	$(CARGO) clean
	rm -rf $(VENV) .servers demo
