# The search for inputs that break the engine.

# Seconds for each target of the search, and the targets.
SECONDS ?= 60
TARGETS ?= $(notdir $(wildcard alert_core/fuzz/corpus/*))
fuzz_dir := $(CURDIR)/target/fuzz
fuzz_host = $(shell rustc -vV | sed -n 's/^host: //p')
# What libFuzzer is guided by; and what a release leaves out that would show a mistake.
fuzz_flags := -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	-Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Coverflow-checks

.PHONY: fuzz
fuzz: ## Look for inputs that break the engine, guided by coverage (libFuzzer): [SECONDS=60] for each of [TARGETS=]
	@[ -z "$(strip $(PACKAGES))" ] || docker/packages.sh g++
	@RUSTFLAGS="$(fuzz_flags)" CARGO_PROFILE_RELEASE_LTO=off CARGO_TARGET_DIR="$(fuzz_dir)" $(CARGO) build --release \
		--target "$(fuzz_host)" --package fuzz --features guided --bin guided
	@for target in $(TARGETS); do \
		echo "$$target, for $(SECONDS) seconds"; \
		mkdir -p "$(fuzz_dir)/found/$$target"; \
		FUZZ_TARGET="$$target" "$(fuzz_dir)/$(fuzz_host)/release/guided" "$(fuzz_dir)/found/$$target" \
			"alert_core/fuzz/corpus/$$target" -max_total_time=$(SECONDS) -timeout=20 -rss_limit_mb=2048 -verbosity=0 \
			-print_final_stats=1 -artifact_prefix="$(fuzz_dir)/$$target-" || { \
			echo "Keep the input (the file named above) in alert_core/fuzz/corpus/$$target/ and mend it." >&2; exit 1; }; \
	done
