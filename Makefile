# nginx-alert: `make` alone lists what can be done.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# The nginx to build for and to run. It may only be installed while make runs, so it is looked up when it is used.
NGINX ?= $(shell command -v nginx || command -v /usr/sbin/nginx || echo nginx)
# A configured source tree (with objs/) of that nginx; without it, the headers of the package nginx-dev are used.
NGINX_SOURCE_DIR ?=
POOL ?= blue
MODE ?= error
# The stack as processes of this machine (native) or as containers (docker).
RUNTIME ?= native

# What a build and a run take from the distribution. nginx-dev brings the libraries that nginx itself is built with.
# An nginx of one's own with its source needs no packaged one.
system_nginx := $(if $(NGINX_SOURCE_DIR),,nginx nginx-dev)
PACKAGES ?= $(system_nginx) libclang-dev gcc libc6-dev
# The second nginx of the tests is built from source; a browser opens the status page and Prometheus reads the metrics.
TEST_PACKAGES ?= curl libpcre2-dev libssl-dev zlib1g-dev chromium prometheus pkg-config valgrind libnginx-mod-http-lua \
	prometheus-alertmanager apache2-utils

# What the measurements take besides.
BENCH_PACKAGES ?= valgrind apache2-utils wrk strace python3 libnginx-mod-http-lua

CARGO ?= cargo
module := target/ngx_http_alert_module.so
# The one that the tests load, without optimisation at link time.
test_module := $(CURDIR)/target/quick/ngx_http_alert_module.so
sandbox = target/debug/sandbox --runtime "$(RUNTIME)" --nginx "$(NGINX)"
# What nginx of the stack loads, and the packages without which nothing of that is built here.
product = $(if $(filter docker,$(RUNTIME)),image,module)
stack_packages = $(if $(filter docker,$(RUNTIME)),$(if $(strip $(PACKAGES)),gcc libc6-dev),$(PACKAGES))

# More options of docker build, like --network=host.
BUILD_OPTIONS ?=
# This machine's own certificate authorities, which the builders trust too; a mirror of Debian's, as http://HOST/debian.
CA_CERTIFICATES ?= /usr/local/share/ca-certificates
DEBIAN_MIRROR ?=

nginx_version = $(shell "$(NGINX)" -v 2>&1 | sed -n 's|.*nginx/\([0-9.]*\).*|\1|p')
source_dir = $(or $(abspath $(NGINX_SOURCE_DIR)),$(CURDIR)/target/nginx/$(nginx_version))
# What the build scripts of the ngx crates read.
nginx_env = NGINX_SOURCE_DIR="$(source_dir)" NGINX_BUILD_DIR="$(source_dir)/objs"

test_dir := $(CURDIR)/target/nginx/1.28
test_nginx := $(test_dir)/objs/nginx
module_1_28 := $(test_dir)/ngx_http_alert_module.so
test_source = NGINX_SOURCE_DIR="$(test_dir)" NGINX_BUILD_DIR="$(test_dir)/objs"
test_env = $(test_source) CARGO_TARGET_DIR="$(test_dir)/cargo"

##@ See it work

.PHONY: demo
demo: image-or-module sandbox ## The whole story once: traffic, chaos, alert, recovery [RUNTIME=docker]
	@$(sandbox) demo

##@ The stack: nginx on 8080, blue on 8081, green on 8082, the local sink on 8090 [RUNTIME=native|docker]

.PHONY: up
up: image-or-module sandbox ## Start it
	@$(sandbox) up

.PHONY: down
down: sandbox ## Stop it
	@$(sandbox) down

.PHONY: restart
restart: image-or-module sandbox ## Stop it and start it again
	@$(sandbox) restart

.PHONY: status
status: sandbox ## Show what runs and what nginx reports
	@$(sandbox) status

.PHONY: logs
logs: sandbox ## Show the logs; in a terminal, follow them
	@$(sandbox) logs

.PHONY: chaos
chaos: sandbox ## Break a pool: [POOL=blue|green] [MODE=error|timeout|kill]
	@$(sandbox) chaos "$(POOL)" "$(MODE)"

.PHONY: recover
recover: sandbox ## Mend both pools
	@$(sandbox) recover

.PHONY: switch
switch: sandbox ## Let a pool serve from now on, as a planned change: POOL=blue|green
	@$(sandbox) switch "$(POOL)"

.PHONY: validate
validate: sandbox ## The acceptance run against the running stack, with a table of what passed and failed
	@$(sandbox) validate

.PHONY: clean
clean: sandbox ## Stop the stack and remove what it wrote
	@$(sandbox) clean

##@ The module

.PHONY: module
module: headers ## Build it for [NGINX=/path/to/nginx] [NGINX_SOURCE_DIR=configured source]
	@$(call build_module,release)
	@$(call ship,target/release/libngx_http_alert_module.so,$(module))

# build_module PROFILE
build_module = $(nginx_env) $(CARGO) build --profile $(1) --package ngx_module || { \
	$(has_libclang) || echo "the build reads nginx's headers by libclang, which is not found: install it (Debian's" \
		"package is libclang-dev), or set LIBCLANG_PATH to its directory" >&2; exit 1; }

# ship FROM,TO: stripped. Debuggers and backtraces find what was stripped in a file beside it.
ship = mkdir -p "$(dir $(2))"; cp "$(1)" "$(2).all"; objcopy --only-keep-debug "$(2).all" "$(2).debug"; \
	objcopy --strip-all --add-gnu-debuglink="$(2).debug" "$(2).all"; $(call put,$(2).all,$(2)); rm "$(2).all"

# Root by sudo often has no cargo: then what `make module` built before is installed.
.PHONY: install
install: $(if $(shell command -v $(CARGO) || :),module) ## Install it where nginx looks for modules; [DESTDIR=] is honoured
	@[ -r $(module) ] || { echo "there is no $(module): run \"make module\" first" >&2; exit 1; }; \
	path=$$("$(NGINX)" -V 2>&1 | sed -n 's/.*--modules-path=\([^ ]*\).*/\1/p'); \
	prefix=$$("$(NGINX)" -V 2>&1 | sed -n 's/.*--prefix=\([^ ]*\).*/\1/p'); \
	path=$${path:-$${prefix:-/usr/local/nginx}/modules}; \
	install -D -m 644 $(module) "$(DESTDIR)$$path/ngx_http_alert_module.so"; \
	echo "Installed. At the top of nginx.conf:"; \
	echo "    load_module $$path/ngx_http_alert_module.so;"

##@ The engine as a C library

# Where it is installed, as in other makefiles.
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
# The profile of cargo that it is built with.
LIB_PROFILE ?= release
lib_out = target/$(if $(filter dev,$(LIB_PROFILE)),debug,$(LIB_PROFILE))
lib_version = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)

.PHONY: lib
lib: ## Build libalert_core, shared and static
	@$(CARGO) rustc --package alert_core_c --lib --profile $(LIB_PROFILE) --crate-type cdylib,staticlib

.PHONY: install-lib
install-lib: $(if $(shell command -v $(CARGO) || :),lib) ## Install it with header and pkg-config file; [PREFIX=] [DESTDIR=]
	@lib="$(DESTDIR)$(LIBDIR)"; \
	[ -r $(lib_out)/libalert_core_c.so ] || { echo "there is no library: run \"make lib\" first" >&2; exit 1; }; \
	install -D -m 755 $(lib_out)/libalert_core_c.so "$$lib/libalert_core.so.$(lib_version)"; \
	ln -sf libalert_core.so.$(lib_version) "$$lib/libalert_core.so.0"; \
	ln -sf libalert_core.so.0 "$$lib/libalert_core.so"; \
	install -D -m 644 $(lib_out)/libalert_core_c.a "$$lib/libalert_core.a"; \
	install -D -m 644 alert_core/include/alert_core.h "$(DESTDIR)$(PREFIX)/include/alert_core.h"; \
	mkdir -p "$$lib/pkgconfig"; \
	sed -e 's|@prefix@|$(PREFIX)|' -e 's|@libdir@|$(LIBDIR)|' -e 's|@version@|$(lib_version)|' \
		alert_core/c/alert_core.pc.in > "$$lib/pkgconfig/alert_core.pc"

.PHONY: header
header: ## Write its header anew after a change of its source
	@UPDATE_HEADER=1 $(CARGO) test --quiet --package alert_core_c --test abi the_checked_in_header

##@ Containers

# Two targets of one file. The folder of certificates is made anew, so that it never holds what is no longer trusted.
.PHONY: image
image: ## The Docker image, and the one of the demo app and the sink
	@docker image inspect $(base_image) > /dev/null 2>&1 || docker pull $(base_image) || { \
		echo "The base image $(base_image) is not here and cannot be pulled:" >&2; \
		echo "make base-image makes it from Debian's packages" >&2; exit 1; }
	@rm -f docker/ca-certificates/*.crt
	@for certificate in "$(CA_CERTIFICATES)"/*.crt; do \
		[ ! -r "$$certificate" ] || cp "$$certificate" docker/ca-certificates/; \
	done
	@$(build) --target sandbox --tag $(image)-sandbox . | sed /^sha256:/d
	@$(build) --tag $(image) . | sed /^sha256:/d
	@docker image inspect --format '{{.Size}}' $(image) | awk '{ printf "$(image) has %.0f MB\n", $$1 / 1e6 }'

.PHONY: base-image
base-image: ## Make the image it stands on, where no registry of images can be reached
	@DEBIAN_MIRROR="$(DEBIAN_MIRROR)" docker/base-image.sh $(base_image)

image := nginx-alert
base_image := debian:trixie-slim
revision = $(shell git rev-parse HEAD 2>/dev/null)
# A proxy of the environment is one for the build too: these arguments need no ARG and leave no trace in the image.
proxies = $(foreach name,HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy,\
	$(if $($(name)),--build-arg $(name)))
# The first build takes minutes and shows what it does.
quiet = $(shell docker image inspect $(image) > /dev/null 2>&1 && echo --quiet)
build = docker build --file docker/Dockerfile $(quiet) $(BUILD_OPTIONS) $(proxies) \
	$(if $(DEBIAN_MIRROR),--build-arg DEBIAN_MIRROR="$(DEBIAN_MIRROR)") --build-arg VERSION="$(lib_version)" \
	--build-arg REVISION="$(revision)"

##@ Development

.PHONY: test
test: test-module module-1.28 ## Unit tests, then the end-to-end tests with the system's nginx and with 1.28
	@$(CARGO) test --workspace --exclude ngx_module --exclude tests
	@$(call end_to_end,$(NGINX),$(test_module),$(test_nginx),$(module_1_28))
	@$(call end_to_end,$(test_nginx),$(module_1_28),$(NGINX),$(test_module))
	@echo "Endurance: a million requests, a thousand alerts, a hundred reloads"; \
	TEST_NGINX="$(NGINX)" TEST_NGINX_MODULE="$(test_module)" \
		$(CARGO) test --package tests --test soak -- --test-threads 1

.PHONY: test-module
test-module: headers ## Build the module for the tests alone, in half the time: target/quick/ngx_http_alert_module.so
	@$(call build_module,quick)
	@$(call put,target/quick/libngx_http_alert_module.so,$(test_module))

.PHONY: sanitize
sanitize: sanitized-nginx module-1.28 ## Engine and module under AddressSanitizer, ThreadSanitizer and memcheck
	@echo "The engine under AddressSanitizer"
	@$(address) $(CARGO) test --package alert_core --lib --test properties
	@echo "The engine under ThreadSanitizer"
	@$(thread) $(CARGO) test --package alert_core --test properties workers_at_once
	@echo "The module in nginx under AddressSanitizer"
	@$(address) $(test_source) $(CARGO) build --package ngx_module
	@$(call story_under,address,story:: names:: sinks:: control:: protocols:: subrequests::)
	@echo "The module in nginx under ThreadSanitizer"
	@$(thread) $(test_source) $(CARGO) build --package ngx_module
	@$(call story_under,thread,story:: sinks:: control::)
	@echo "The module in nginx under memcheck"
	@TEST_NGINX="$(sanitize_dir)/nginx-pools" TEST_NGINX_MODULE="$(module_1_28)" \
		$(CARGO) test --package tests --test e2e memcheck::

.PHONY: lint
lint: headers ## Format, clippy, and whether the documentation builds
	@$(CARGO) fmt --all --check
	@$(nginx_env) $(CARGO) clippy --workspace --all-targets --test soak -- -D warnings
	@$(nginx_env) RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

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

.PHONY: bench
bench: module bench-packages ## What it costs and how fast it tells: writes tests/bench/RESULTS.md; [ONLY="idle ..."]
	@$(CARGO) bench --quiet --package alert_core --no-run
	@$(bench_env) $(CARGO) run --quiet --release --package bench -- $(ONLY)

.PHONY: instructions
instructions: module bench-packages ## Whether a request costs more instructions than recorded; [RECORD=1] records them
	@$(bench_env) $(CARGO) run --quiet --package bench -- $(if $(RECORD),record,check)-instructions

bench_env = TEST_NGINX="$(NGINX)" TEST_NGINX_MODULE="$(CURDIR)/$(module)"

.PHONY: bench-packages
bench-packages: packages
	@[ -z "$(strip $(BENCH_PACKAGES))" ] || docker/packages.sh $(BENCH_PACKAGES)

.PHONY: nginx-1.28
nginx-1.28: test-packages ## Build the second nginx of the tests
	@tree=$$($(CARGO) metadata --format-version 1 --features ngx_module/vendored | tr ',' '\n' \
		| sed -n 's|^"manifest_path":"\(.*/nginx-src-[^/]*\)/Cargo.toml".*|\1/nginx|p'); \
	[ -n "$$tree" ] || { echo "the crate nginx-src is not among the dependencies of ngx_module" >&2; exit 1; }; \
	if [ "$$(cat "$(test_dir)/.built" 2>/dev/null)" != "$$tree" ]; then \
		echo "Building nginx 1.28 from $$tree"; \
		rm -rf "$(test_dir)"; mkdir -p "$(test_dir)"; cp -R "$$tree/." "$(test_dir)"; \
		cd "$(test_dir)"; \
		{ auto/configure $(test_configure) && make -j2; } > build.log 2>&1 || { tail -n 20 build.log >&2; exit 1; }; \
		echo "$$tree" > .built; \
	fi

.PHONY: module-1.28
module-1.28: nginx-1.28 packages ## Build the module for it
	@$(test_env) $(CARGO) build --profile quick --package ngx_module
	@$(call put,$(test_dir)/cargo/quick/libngx_http_alert_module.so,$(module_1_28))

# As distributions build it, which makes for the same layout of structures.
test_configure := --with-compat --with-debug --with-threads --with-http_ssl_module --with-http_v2_module \
	--with-http_realip_module --with-http_auth_request_module --with-http_stub_status_module \
	--with-http_slice_module --with-pcre

# rustc brings the runtimes of sanitizers along and keeps the option that uses them for nightly: RUSTC_BOOTSTRAP opens
# it for these builds alone. The standard library is the usual one, since its source is not at hand to instrument it.
# AddressSanitizer sees each allocation all the same. ThreadSanitizer does not see all that synchronizes inside of std:
# tests/thread.supp names these places, and of the engine's tests it gets the one whose threads are joined one by one
# and whose memory nobody frees. MemorySanitizer would take every byte that std writes for uninitialised: that is left
# to memcheck.
sanitize_dir := $(CURDIR)/target/sanitize
host = $(shell rustc -vV | sed -n 's/^host: //p')
sanitizer = RUSTC_BOOTSTRAP=1 CARGO_BUILD_TARGET="$(host)" CARGO_TARGET_DIR="$(sanitize_dir)/$(1)"
address_options = LSAN_OPTIONS=print_suppressions=0:suppressions="$(CURDIR)/tests/leak.supp"
thread_options = TSAN_OPTIONS=suppressions="$(CURDIR)/tests/thread.supp"
address = $(address_options) RUSTFLAGS="-Zsanitizer=address" $(call sanitizer,address)
thread = $(thread_options) RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer" $(call sanitizer,thread)

# story_under SANITIZER,TESTS: nginx has no frame pointers, by which stacks are found otherwise.
story_under = $($(1)_options) ASAN_OPTIONS=fast_unwind_on_malloc=0 TEST_NGINX="$(sanitize_dir)/nginx-$(1)" \
	TEST_NGINX_MODULE="$(sanitize_dir)/$(1)/$(host)/debug/libngx_http_alert_module.so" \
	$(CARGO) test --package tests --test e2e -- --test-threads 2 $(2)

# The second nginx once more, with the runtime of each sanitizer in it and with none. Each allocation from a pool is one
# of its own, so that its bounds are seen.
.PHONY: sanitized-nginx
sanitized-nginx: nginx-1.28
	@mkdir -p $(sanitize_dir)/nginx; cp -a "$(test_dir)/src" "$(test_dir)/objs" $(sanitize_dir)/nginx/; \
	cd $(sanitize_dir)/nginx; rm objs/src/core/ngx_palloc.o; \
	link() { \
		rm -f objs/nginx; \
		make -f objs/Makefile CC="cc -DNGX_DEBUG_PALLOC=1" LINK="cc $$2" objs/nginx > build.log 2>&1 \
			|| { tail -n 20 build.log >&2; exit 1; }; \
		mv objs/nginx "../nginx-$$1"; \
	}; \
	runtime() { \
		set -- "$$(rustc --print sysroot)"/lib/rustlib/$(host)/lib/librustc*_rt.$$1.a; \
		[ -r "$$1" ] || { echo "this Rust toolchain has no sanitizers: there is no $$1" >&2; exit 1; }; \
		echo "-Wl,--whole-archive $$1 -Wl,--no-whole-archive -lm -ldl -lrt"; \
	}; \
	link pools ""; link address "$$(runtime asan)"; link thread "$$(runtime tsan)"

# put FROM,TO: nginx may have TO mapped, so it is replaced and never overwritten; and only when it changed.
put = cmp -s "$(1)" "$(2)" || { cp "$(1)" "$(2).new" && mv -f "$(2).new" "$(2)"; }

# end_to_end NGINX,MODULE,OTHER_NGINX,OTHER_MODULE: most of these tests wait most of the time, so more of them run at once
# than there are processors.
end_to_end = echo "End-to-end tests: $$("$(1)" -v 2>&1)"; \
	TEST_NGINX="$(1)" TEST_NGINX_MODULE="$(2)" TEST_OTHER_NGINX="$(3)" TEST_OTHER_NGINX_MODULE="$(4)" \
		$(CARGO) test --package tests -- --test-threads 4

# The steps before, which say nothing when there is nothing to do.

.PHONY: packages
packages:
	@[ -z "$(strip $(PACKAGES))" ] || docker/packages.sh $(PACKAGES)

.PHONY: stack-packages
stack-packages:
	@[ -z "$(strip $(stack_packages))" ] || docker/packages.sh $(stack_packages)

.PHONY: image-or-module
image-or-module: $(product)

.PHONY: test-packages
test-packages:
	@[ -z "$(strip $(TEST_PACKAGES))" ] || docker/packages.sh $(TEST_PACKAGES)

# The first build takes a while and shows it; after that nobody wants to read about it.
.PHONY: sandbox
sandbox: stack-packages
	@$(CARGO) build $(if $(wildcard target/debug/sandbox),--quiet) --package sandbox

# A module loads only into the version it was built for, so headers of another one are an error and not a surprise later.
.PHONY: headers
headers: packages
	@command -v "$(firstword $(CARGO))" > /dev/null || { \
		echo "there is no \"$(firstword $(CARGO))\": install Rust 1.85 or later, or set CARGO to its cargo" >&2; exit 1; }
	@version="$(nginx_version)"; origin="$(or $(NGINX_SOURCE_DIR),$(packaged_source))"; \
	[ -n "$$version" ] || { echo "\"$(NGINX)\" is no nginx that runs here: set NGINX to the nginx to build for" >&2; exit 1; }; \
	[ -n "$(NGINX_SOURCE_DIR)" ] || [ -d "$$origin" ] || { \
		echo "there are no headers in \"$$origin\": install nginx-dev of nginx $$version, or set NGINX_SOURCE_DIR to a" \
			"configured source of it" >&2; exit 1; }; \
	[ -r "$$origin/src/core/nginx.h" ] || { \
		echo "\"$$origin\" is no source of nginx: set NGINX_SOURCE_DIR to a configured source of nginx $$version" >&2; exit 1; }; \
	found=$$(sed -n 's/.*NGINX_VERSION *"\(.*\)".*/\1/p' "$$origin/src/core/nginx.h"); \
	[ "$$found" = "$$version" ] || { \
		echo "$(NGINX) is nginx $$version, but \"$$origin\" is the source of nginx $$found:" >&2; \
		echo "set NGINX_SOURCE_DIR to a configured source of $$version, or NGINX to a binary of $$found" >&2; exit 1; }; \
	if [ "$$origin" = $(packaged_source) ]; then $(configure_packaged_source); fi; \
	[ -r "$(source_dir)/objs/ngx_auto_config.h" ] || { \
		echo "\"$$origin\" is not configured: run ./configure there with the arguments that $(NGINX) -V shows" >&2; exit 1; }

libclang_dirs ?= $(LIBCLANG_PATH) /usr/lib/llvm-*/lib /usr/lib/*-linux-gnu /usr/lib64 /usr/lib /usr/local/lib
has_libclang = ls $(addsuffix /libclang*.so*,$(libclang_dirs)) 2>/dev/null | grep -q .

# Where nginx-dev puts the source, which is configured in a copy. That holds until the package changes.
packaged_source := /usr/share/nginx/src
configure_packaged_source = \
	package=$$(dpkg-query -W -f='$${Version}' nginx-dev 2>/dev/null || echo unknown); \
	if [ "$$(cat "$(source_dir)/.prepared" 2>/dev/null)" != "$$package" ]; then \
		echo "Preparing the headers of nginx $$version"; \
		rm -rf "$(source_dir)"; mkdir -p "$(source_dir)"; cp -RL $(packaged_source)/. "$(source_dir)"; \
		cd "$(source_dir)"; \
		bash -c '. ./conf_flags; ./configure "$${NGX_CONF_FLAGS[@]}"' > configure.log 2>&1 \
			|| { tail -n 20 configure.log >&2; exit 1; }; \
		echo "$$package" > .prepared; \
	fi

.PHONY: help
help:
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9.-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
