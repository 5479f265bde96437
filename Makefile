# SPDX-License-Identifier: Apache-2.0
# A short name for each thing to do; meson and ninja do the work. Needs GNU make.
#
#   make            build build/vial              make check      all tests and lints
#   make demo       vial builds itself            make format     apply the house format
#   make install    PREFIX=/usr/local DESTDIR=    make bench      benchmarks, as ratios
#   make sanitize   tests under ASan and UBSan    make tsan       unit tests under TSan
#   make valgrind   unit tests under valgrind     make fuzz       SECONDS=60 for each target
#
# `make check` and `make demo` install what they need by apt first (tools/setup).

BUILD ?= build
PREFIX ?= /usr/local
SECONDS ?= 60
CHECK = tools/check --build
# Warnings are errors on a machine whose compiler we chose, not on a stranger's.
WERROR = $(if $(filter-out 0 false,$(CI)),true,false)

.DEFAULT_GOAL := build
.PHONY: build check demo install format bench fuzz sanitize tsan valgrind

build: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet

%/build.ninja:
	@log=$$(meson setup $* $(SETUP_$(notdir $*)) -Dwerror=$(WERROR) 2>&1) || { echo "$$log"; exit 1; }

SETUP_build-asan = --native-file dev.ini
# Static, GLib could not be told apart from the functions that test/unit/tsan-glib.c puts before it.
SETUP_build-tsan = -Db_sanitize=thread -Dprefer_static=false

check:
	@tools/setup check && $(MAKE) --no-print-directory build || { echo '0 passed, 1 failed'; exit 1; }
	@$(CHECK) $(BUILD) $(SUITE)

demo:
	@tools/setup build
	@$(MAKE) --no-print-directory build
	@examples/self/demo '$(abspath $(BUILD)/vial)'

install: build
	@meson configure $(BUILD) --prefix="$$(realpath -m -- '$(PREFIX)')" >/dev/null
	@ninja -C $(BUILD) --quiet >/dev/null
	@DESTDIR='$(DESTDIR)' meson install -C $(BUILD) --no-rebuild --quiet

format:
	@clang-format -i $$(find src test bench fuzz -name '*.[ch]')

bench: build
	@bench/run '$(abspath $(BUILD)/vial)'

fuzz:
	@tools/setup fuzz
	@tools/fuzz $(SECONDS)

sanitize: build-asan/build.ninja
	@ninja -C build-asan --quiet
	@$(CHECK) build-asan --patience 3 unit e2e

# TSan needs its shadow at fixed addresses, which more than 28 bits of randomness get in the way of.
tsan: build-tsan/build.ninja
	@ninja -C build-tsan --quiet
	@$(CHECK) build-tsan --patience 5 --wrapper 'setarch -R' unit

VALGRIND = valgrind --quiet --error-exitcode=99 --leak-check=full \
    --show-leak-kinds=definite --errors-for-leak-kinds=definite
# valgrind cannot make namespaces, which is what the tests of the sandbox are about.
valgrind: build
	@$(CHECK) $(BUILD) --patience 10 --without 'sandbox-' --wrapper '$(VALGRIND)' unit
