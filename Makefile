# `make help` lists the targets.

CARGO := cargo
CARGO_HOME ?= $(HOME)/.cargo
KWCTL ?= target/debug/gateway-lint
BATS_VERSION := 1.13.0
BATS = $(or $(shell command -v bats 2>/dev/null),target/tools/node_modules/bats/bin/bats)
SOURCES := Cargo.toml Cargo.lock rust-toolchain.toml $(shell find src crates/certificate-shim/src crates/gateway-rules/src -name '*.rs')

.DEFAULT_GOAL := help

.PHONY: help
help: ## This list
	@awk -F':.*## ' '/^[a-z0-9.-]+:.*## / {printf "  %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: toolchain ## Judge examples/demo: who is accepted, who is refused and why, what is added
	$(CARGO) build --quiet -p gateway-lint
	@target/debug/gateway-lint check --strict --settings examples/settings/demo.yaml examples/demo || test $$? -eq 1

policy.wasm: $(SOURCES) | toolchain ## The module, as gateway-lint embeds it
	RUSTFLAGS="--remap-path-prefix=$(CARGO_HOME)/registry/src=registry" \
		$(CARGO) build -p gateway-issuer-policy --profile policy --target wasm32-wasip1 --target-dir target/policy-module
	cp target/policy-module/wasm32-wasip1/policy/gateway_issuer_policy.wasm $@

annotated-policy.wasm: policy.wasm metadata.yml ## The module with its metadata, to publish (needs kwctl)
	@command -v kwctl >/dev/null || { echo "kwctl is missing: get it from https://github.com/kubewarden/kubewarden-controller/releases" >&2; exit 1; }
	kwctl annotate -m metadata.yml -u README.md -o $@ policy.wasm

.PHONY: fmt
fmt: toolchain ## Check the format
	$(CARGO) fmt --all -- --check

.PHONY: lint
lint: toolchain ## clippy, warnings are errors
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy -p gateway-issuer-policy --target wasm32-wasip1 -- -D warnings

.PHONY: unit-tests
unit-tests: toolchain ## Unit tests, and the built module on the bundled host
	$(CARGO) test --workspace

.PHONY: e2e-tests
e2e-tests: bats jq ## The module on the command line (KWCTL=kwctl for the real one)
ifeq ($(notdir $(KWCTL)),kwctl)
	$(MAKE) annotated-policy.wasm
	KWCTL=$(KWCTL) POLICY=annotated-policy.wasm $(BATS) e2e.bats
else
	$(MAKE) policy.wasm
	$(CARGO) build --quiet -p gateway-lint
	KWCTL=$(KWCTL) $(BATS) e2e.bats
endif

.PHONY: test
test: fmt lint unit-tests e2e-tests ## Everything that is quick enough for every commit

# One scenario: make test-cluster SCENARIO=placement::labels_of_tenants_steer_nothing
.PHONY: test-cluster
test-cluster: toolchain control-plane ## The controller on a real control plane (CLUSTER=existing: on yours, named by KUBECONFIG)
	$(CARGO) test -p gateway-certificates --test cluster -- --test-threads=1 $(SCENARIO)

.PHONY: bench-cluster
bench-cluster: toolchain control-plane ## What 5,000 Gateways cost the controller (GATEWAYS=1000 for fewer)
	$(CARGO) test --release -p gateway-certificates --test cluster -- --test-threads=1 --ignored --nocapture bench::

# etcd and Kubernetes, built once into the user's cache. A cluster that is there already needs none.
.PHONY: control-plane
control-plane:
ifneq ($(CLUSTER),existing)
	@tests/controlplane/build >/dev/null
endif

.PHONY: clean
clean: ## Remove what was built
	$(CARGO) clean
	rm -f policy.wasm annotated-policy.wasm

# rust-toolchain.toml names the compiler and the wasm target; rustup brings both where they are missing.
.PHONY: toolchain
toolchain:
	@command -v cargo >/dev/null || { echo "Rust is missing: install rustup from https://rustup.rs" >&2; exit 1; }
	@test -d "$$(rustc --print target-libdir --target wasm32-wasip1 2>/dev/null)" || rustup toolchain install

.PHONY: bats
bats:
	@test -x "$$(command -v $(BATS))" || { echo "bats is missing, installing bats $(BATS_VERSION) below target/tools" >&2; \
		npm install --silent --no-audit --no-fund --prefix target/tools bats@$(BATS_VERSION); } \
		|| { echo "bats is missing: install it (Debian: apt-get install bats, npm: npm install -g bats)" >&2; exit 1; }

.PHONY: jq
jq:
	@command -v jq >/dev/null || { echo "jq is missing: install it (Debian: apt-get install jq)" >&2; exit 1; }
