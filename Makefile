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
# What a build and a run take from the distribution. nginx-dev brings the libraries that nginx itself is built with.
# An nginx of one's own with its source needs no packaged one.
system_nginx := $(if $(NGINX_SOURCE_DIR),,nginx nginx-dev)
PACKAGES ?= $(system_nginx) libclang-dev gcc libc6-dev
CARGO ?= cargo
# Where cargo builds; what make puts together lies in target/ all the same.
build_dir := $(or $(CARGO_TARGET_DIR),target)
version = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)

# One file a subject, in the order of the help.
include $(addprefix $(dir $(lastword $(MAKEFILE_LIST))),\
	tests/sandbox/stack.mk ngx_module/module.mk alert_core/c/library.mk docker/image.mk docker/packaging/packages.mk \
	tests/tests.mk tests/sanitize.mk alert_core/fuzz/fuzz.mk tests/bench/bench.mk tests/fleet/fleet.mk)

# A step before others, which says nothing when there is nothing to do.
.PHONY: packages
packages:
	@[ -z "$(strip $(PACKAGES))" ] || docker/packages.sh $(PACKAGES)

.PHONY: help
help:
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9.-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
