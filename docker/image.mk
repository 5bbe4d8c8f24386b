# The images, and the one they stand on.

# More options of docker build, like --network=host.
BUILD_OPTIONS ?=
# This machine's own certificate authorities, which the builders trust too; a mirror of Debian's, as http://HOST/debian.
CA_CERTIFICATES ?= /usr/local/share/ca-certificates
DEBIAN_MIRROR ?=

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
base-image: ## Make the image it stands on, where no registry of images can be reached; [SUITE=trixie]
	@DEBIAN_MIRROR="$(DEBIAN_MIRROR)" docker/base-image.sh $(SUITE)

image := nginx-alert
SUITE ?= trixie
base_image := debian:trixie-slim
revision = $(shell git rev-parse HEAD 2>/dev/null)
# A proxy of the environment is one for the build too: these arguments need no ARG and leave no trace in the image.
proxies = $(foreach name,HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy,\
	$(if $($(name)),--build-arg $(name)))
# The first build takes minutes and shows what it does.
quiet = $(shell docker image inspect $(image) > /dev/null 2>&1 && echo --quiet)
build = docker build --file docker/Dockerfile $(quiet) $(BUILD_OPTIONS) $(proxies) \
	$(if $(DEBIAN_MIRROR),--build-arg DEBIAN_MIRROR="$(DEBIAN_MIRROR)") --build-arg VERSION="$(version)" \
	--build-arg REVISION="$(revision)"
