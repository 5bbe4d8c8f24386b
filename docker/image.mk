# The images, and the one they stand on.

# The Debian that the images stand on: trixie (13) or bookworm (12).
SUITE ?= trixie
# More options of docker build, like --network=host.
BUILD_OPTIONS ?=
# This machine's own certificate authorities, which the builders trust too; a mirror of Debian's, as http://HOST/debian.
CA_CERTIFICATES ?= /usr/local/share/ca-certificates
DEBIAN_MIRROR ?=

##@ Containers

# Two targets of one file.
.PHONY: image
image: image-inputs ## The Docker image, and the one of the demo app; [SUITE=] [NGINX=1.28 or a source tree]
	@$(build) --target sandbox --tag $(image)-sandbox . | sed /^sha256:/d
	@$(build) --tag $(image) . | sed /^sha256:/d
	@$(call say_size,$(image))
	@$(if $(image_source),$(image_from_source))

say_size = docker image inspect --format '{{.Size}}' $(1) | awk -v image=$(1) '{ printf "%s has %.0f MB\n", image, $$1 / 1e6 }'

# NGINX of `make image`, where it is given and no binary: a source tree, or the version that the crate nginx-src has.
image_source = $(if $(filter command environment,$(firstword $(origin NGINX))),\
	$(if $(wildcard $(NGINX)/src/core/nginx.h),$(NGINX),$(filter 1.%,$(NGINX))))
# Debian's image with that nginx instead.
image_from_source = source="$(strip $(image_source))"; [ -d "$$source" ] || source=$(vendored_nginx); \
	version=$$(sed -n 's/.*NGINX_VERSION *"\(.*\)".*/\1/p' "$$source/src/core/nginx.h"); \
	[ -d "$(NGINX)" ] || [ "$(NGINX)" = "$$version" ] || [ "$(NGINX)" = "$${version%.*}" ] || { \
		echo "there is the source of nginx $$version only: set NGINX to it, or to a directory with the source of $(NGINX)" >&2; \
		exit 1; }; \
	rm -rf docker/nginx-source; mkdir docker/nginx-source; \
	tar -C "$$source" -c --exclude=./objs --exclude=./.git . | tar -C docker/nginx-source -x; \
	$(build) --target package --tag $(image)-package:$(SUITE) . | sed /^sha256:/d; \
	docker build --file docker/source.Dockerfile --build-arg SUITE=$(SUITE) $(quiet) $(BUILD_OPTIONS) $(proxies) \
		--tag "$(image):$$version" . | sed /^sha256:/d; \
	rm -rf docker/nginx-source; \
	$(call say_size,$(image):$$version)

# The folder of certificates is made anew, so that it never holds what is no longer trusted.
.PHONY: image-inputs
image-inputs:
	@docker image inspect $(base_image) > /dev/null 2>&1 || docker pull $(base_image) || { \
		echo "The base image $(base_image) is not here and cannot be pulled:" >&2; \
		echo "\"make base-image SUITE=$(SUITE)\" makes it from Debian's packages" >&2; exit 1; }
	@rm -f docker/ca-certificates/*.crt
	@for certificate in "$(CA_CERTIFICATES)"/*.crt; do \
		[ ! -r "$$certificate" ] || cp "$$certificate" docker/ca-certificates/; \
	done

.PHONY: base-image
base-image: ## Make the image it stands on, where no registry of images can be reached; [SUITE=trixie]
	@DEBIAN_MIRROR="$(DEBIAN_MIRROR)" docker/base-image.sh $(SUITE)

image := nginx-alert
base_image := debian:$(SUITE)-slim
revision = $(shell git rev-parse HEAD 2>/dev/null)
# A proxy of the environment is one for the build too: these arguments need no ARG and leave no trace in the image.
proxies = $(foreach name,HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy,\
	$(if $($(name)),--build-arg $(name)))
# The first build takes minutes and shows what it does.
quiet = $(shell docker image inspect $(image) > /dev/null 2>&1 && echo --quiet)
build = docker build --file docker/Dockerfile --build-arg SUITE=$(SUITE) $(quiet) $(BUILD_OPTIONS) $(proxies) \
	$(if $(DEBIAN_MIRROR),--build-arg DEBIAN_MIRROR="$(DEBIAN_MIRROR)") --build-arg VERSION="$(version)" \
	--build-arg REVISION="$(revision)"
