# The tests under sanitizers.

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
