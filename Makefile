# Everything works with Python 3.9+, make, Java 17 and Maven alone: each target makes the virtual environment it needs.
#
#   make demo    starts a real broker and runs the usage guide against it
#   make broker  starts a real broker at 127.0.0.1:9092 to play with, until Ctrl-C
#   make test    the whole test suite, with real brokers     (make test ARGS="tests/unit -k crc32c")
#   make test-matrix   the core of it against every version of Kafka that docs/compatibility.rst lists
#   make lint    ruff and mypy --strict
#   make bench   compares with kafka-python, aiokafka and confluent-kafka   (make bench ARGS=--original: with PyKafka 2.8)
#   make bench-quick   the same with fewer rounds and messages, in under three minutes
#   make cost    importing, memory, idling, very many partitions; make growth: with more partitions, brokers and producers
#   make micro   what encoding, decoding and so on take for each message   (make micro ARGS="--cases murmur2,crc32c")
#   make groups  groups in bad times on three brokers, every figure next to its bar   (make groups ARGS=--quick)
#   make fuzz    hostile bytes for everything that reads some, ten minutes of them   (make fuzz ARGS="--seconds 3600")
#   make soak    everything goes wrong at once, with other clients, for an hour   (make soak ARGS="--seconds 600 --story cut")
#   make docs    the pages in docs/ as HTML, in build/docs
#   make clean   removes the virtual environments and what was built

PYTHON ?= python3
VENVS ?= .venv
ARGS ?=
# tests mostly wait, for brokers that start and for faults to be noticed: more of them at once than there are processors
JOBS ?= 3
PIP = -m pip install --quiet --disable-pip-version-check

.PHONY: demo broker test collected test-matrix lint bench bench-quick cost growth micro groups fuzz soak docs clean

demo: $(VENVS)/demo/.ready
	$(VENVS)/demo/bin/python examples/usage_guide.py $(ARGS)

broker: $(VENVS)/demo/.ready
	$(VENVS)/demo/bin/python -m tests.brokers --port 9092 $(ARGS)

# a module's tests stay together, so that they share their brokers; each of the processes has one broker more for all
test: $(VENVS)/test/.ready
	$(VENVS)/test/bin/python -m pytest --numprocesses $(JOBS) --dist loadscope --no-loadscope-reorder $(ARGS)

# what pytest makes of each module is kept for the processes of make test, which would each make it anew; what is wrong
# with a module is told there
collected: $(VENVS)/test/.ready
	-$(VENVS)/test/bin/python -m pytest --collect-only --quiet > /dev/null

# one version after the other; the version is in the name of each test, and so of each failure
test-matrix: $(VENVS)/test/.ready
	$(VENVS)/test/bin/python -m pytest tests/real -m core --brokers all $(ARGS)

lint: $(VENVS)/lint/.ready
	$(VENVS)/lint/bin/ruff check
	$(VENVS)/lint/bin/mypy

bench: $(VENVS)/bench/.ready
	$(VENVS)/bench/bin/python -m benchmarks.compare $(ARGS)

bench-quick: $(VENVS)/bench/.ready
	$(VENVS)/bench/bin/python -m benchmarks.compare --quick $(ARGS)

cost: $(VENVS)/bench/.ready
	$(VENVS)/bench/bin/python -m benchmarks.cost $(ARGS)

growth: $(VENVS)/bench/.ready
	$(VENVS)/bench/bin/python -m benchmarks.growth $(ARGS)

micro: $(VENVS)/bench/.ready
	$(VENVS)/bench/bin/python -m benchmarks.micro --processes 3 --values 5 --quiet $(ARGS)

groups: $(VENVS)/test/.ready
	$(VENVS)/test/bin/python -m benchmarks.groups $(ARGS)

fuzz: $(VENVS)/test/.ready
	$(VENVS)/test/bin/python -m tests.hostile.fuzz $(ARGS)

soak: $(VENVS)/soak/.ready
	$(VENVS)/soak/bin/python -m tests.soak $(ARGS)

docs: $(VENVS)/docs/.ready
	$(VENVS)/docs/bin/python -m sphinx -W --keep-going -q docs build/docs

# editable: what runs is what is in the checkout
$(VENVS)/demo/.ready: WHAT = --editable ".[all]"
$(VENVS)/test/.ready: WHAT = --editable ".[test,all,interop]"
$(VENVS)/soak/.ready: WHAT = --editable ".[test,all,interop,fuzz]"
$(VENVS)/lint/.ready: WHAT = ".[lint,all]"
$(VENVS)/docs/.ready: WHAT = --editable ".[docs]"
$(VENVS)/bench/.ready: WHAT = --editable ".[bench,all]"

$(VENVS)/%/.ready: setup.py pyproject.toml
	$(PYTHON) -m venv --clear $(VENVS)/$*
	$(VENVS)/$*/bin/python $(PIP) $(WHAT)
	touch $@

clean:
	rm -rf $(VENVS) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
