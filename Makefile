# `make` lists what there is. Servers come from tests/env; what they need is built once into the user's cache folder.
CARGO ?= cargo
export CARGO

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1 \2/p' $(MAKEFILE_LIST) | awk '{name = $$1; $$1 = ""; printf "  make %-12s%s\n", name, $$0}'

demo: ## the exporter at work on a real cluster and OpenSearch (KEEP=1: leave it running; KUBECONFIG=, OPENSEARCH_URL=: use these)
	@tests/env/demo.sh

demo-stop: ## end a demo that was left running
	@tests/env/demo.sh stop

image: ## the container image, by docker, podman or buildah (IMAGE=name, PLATFORM=linux/arm64, ARCHIVE=file: write it there too, for nodes to load)
	@tests/env/image.sh

env: ## build and install the servers that the tests and the demo use (a quarter of an hour the first time)
	@tests/env/install.sh

test: env ## every test, against real servers
	@tests/env/test.sh

test-unit: ## the tests that need no server
	@$(CARGO) test --locked --lib

image-test: env ## the images as they are shipped, for amd64 and arm64, which take ten minutes each to build; `make test` builds it without optimisations
	@IMAGE_PROFILE=release tests/env/test.sh --test it -- --include-ignored image::

soak: env ## ten minutes of events while exporters are killed and OpenSearch goes away (SOAK_SECONDS=600), an outage of a quarter of an hour (OUTAGE_SECONDS=900), a minute of reloads (RELOAD_SECONDS=60), and a million live events at the first start (minutes, and gigabytes of disk)
	@$(CARGO) build --release --locked
	@EXPORTER=target/release/kubernetes-event-exporter tests/env/test.sh --profile load --test it -- --ignored --nocapture --test-threads 1 soak::

sizing: env ## how large indices of OpenSearch become, and what it costs to fill them
	@$(CARGO) build --release --locked
	@EXPORTER=target/release/kubernetes-event-exporter tests/env/test.sh --test it -- --ignored --nocapture --test-threads 1 sizing::

bench: ## the benchmarks: each step, the whole from watch to acknowledgement, and the start
	@$(CARGO) bench --locked

fmt: ## format the code
	@$(CARGO) fmt

lint: ## check the format, and clippy; the scripts too where shellcheck is installed
	@$(CARGO) fmt --check
	@$(CARGO) clippy --all-targets --locked -- -D warnings
	@if command -v shellcheck >/dev/null; then shellcheck -x -P SCRIPTDIR .ci/run tests/env/*.sh tests/env/*/*.sh; fi

doc: ## build the code's documentation
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --locked

deny: ## check the dependencies' licences and sources
	@tests/env/cargo-deny.sh --locked check bans licenses sources

.PHONY: help demo demo-stop image env test test-unit image-test soak sizing bench fmt lint doc deny
