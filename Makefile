# A front for those who type `make`; the build is CMake's (see CMakePresets.json).
all:        ; @cmake --preset release >/dev/null && cmake --build --preset release
test: all   ; @ctest --preset release
check demo: ; @./$@
SEEDS = 100000
sim: all    ; @build/tests/sim/sim --jobs 2 --seeds $(SEEDS)
power: all  ; @build/test_store_power $(SEEDS)
fuzz:       ; @cmake --preset dev && cmake --build --preset dev --target fuzzers && \
              ctest --preset dev -L fuzz
reference: all ; @build/flowrun lua docs/make_stubs.lua && build/flowrun lua docs/make_reference.lua
bench: all  ; @build/flowrun lua bench/run.lua $(ARGS)
clean:      ; @cmake -E rm -rf build build-dev build-tsan
.PHONY: all test check demo sim power fuzz reference bench clean
