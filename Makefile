# `make help` lists the targets.

CARGO := cargo
CARGO_HOME ?= $(HOME)/.cargo
KWCTL ?= target/debug/gateway-lint
BATS_VERSION := 1.13.0
BINARYEN_VERSION := 132.0.0
WASM_OPT := target/tools/node_modules/binaryen/bin/wasm-opt
# The features of rustc's target.
WASM_FEATURES := --enable-bulk-memory --enable-mutable-globals --enable-sign-ext \
	--enable-nontrapping-float-to-int --enable-reference-types --enable-multivalue
BATS = $(or $(shell command -v bats 2>/dev/null),target/tools/node_modules/bats/bin/bats)
SOURCES := Cargo.toml Cargo.lock rust-toolchain.toml \
	$(shell find src crates/certificate-shim/src crates/gateway-rules/src crates/json-prune/src -name '*.rs')

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F':.*## ' '/^[a-z0-9.-]+:.*## / {printf "  %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: toolchain ## Check examples/demo: accepted and rejected Gateways, with the reasons
	$(CARGO) build --quiet -p gateway-lint
	@target/debug/gateway-lint check --strict --settings examples/settings/demo.yaml examples/demo || test $$? -eq 1

# The maximum size of the module, in bytes.
MODULE_BYTES := 460800

policy.wasm: $(SOURCES) | toolchain wasm-opt ## The module, to publish
	RUSTFLAGS="--remap-path-prefix=$(CARGO_HOME)/registry/src=registry" \
		$(CARGO) build -p gateway-issuer-policy --profile policy --target wasm32-wasip1 --target-dir target/policy-module
	$(WASM_OPT) -Os $(WASM_FEATURES) target/policy-module/wasm32-wasip1/policy/gateway_issuer_policy.wasm -o $@
	@bytes=$$(wc -c <$@); echo "$@: $$bytes bytes" >&2; \
		test $$bytes -le $(MODULE_BYTES) || { echo "$@ has more than $(MODULE_BYTES) bytes" >&2; rm $@; exit 1; }

annotated-policy.wasm: policy.wasm metadata.yml ## Build the module with its metadata, to publish (needs kwctl)
	@command -v kwctl >/dev/null || { echo "kwctl is missing: get it from https://github.com/kubewarden/kubewarden-controller/releases" >&2; exit 1; }
	kwctl annotate -m metadata.yml -u README.md -o $@ policy.wasm

.PHONY: fmt
fmt: toolchain ## Check the formatting
	$(CARGO) fmt --all -- --check

.PHONY: lint
lint: toolchain ## Run clippy; warnings are errors
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy -p gateway-certificates --test cluster -- -D warnings
	$(CARGO) clippy -p gateway-issuer-policy --target wasm32-wasip1 -- -D warnings

.PHONY: unit-tests
unit-tests: toolchain ## Run the unit tests, and the tests of the built module on the bundled host
	$(CARGO) test --workspace

.PHONY: e2e-tests
e2e-tests: bats jq ## Run the module with gateway-lint (KWCTL=kwctl: with kwctl)
ifeq ($(notdir $(KWCTL)),kwctl)
	$(MAKE) annotated-policy.wasm
	KWCTL=$(KWCTL) POLICY=annotated-policy.wasm $(BATS) e2e.bats
else
	$(MAKE) policy.wasm
	$(CARGO) build --quiet -p gateway-lint
	KWCTL=$(KWCTL) $(BATS) e2e.bats
endif

.PHONY: test
test: fmt lint unit-tests e2e-tests ## Run all checks that are fast enough for every commit

# One scenario: make test-cluster SCENARIO=placement::labels_of_tenants_have_no_effect
.PHONY: test-cluster
test-cluster: toolchain control-plane ## Test the controller on a real control plane (CLUSTER=existing: on the cluster in KUBECONFIG)
	$(CARGO) test -p gateway-certificates --test cluster -- --test-threads=1 $(SCENARIO)

.PHONY: bench-cluster
bench-cluster: toolchain control-plane ## Benchmark the controller with 5,000 Gateways (GATEWAYS=1000 for fewer)
	$(CARGO) test --release -p gateway-certificates --test cluster -- --test-threads=1 --ignored --nocapture bench::

# etcd and Kubernetes, built once into the user's cache. An existing cluster does not need them.
.PHONY: control-plane
control-plane:
ifneq ($(CLUSTER),existing)
	@tests/controlplane/build >/dev/null
endif

.PHONY: update
update: toolchain ## Regenerate docs, messages, budget and artifacthub-pkg.yml
	UPDATE_DOCS=1 UPDATE_MESSAGES=1 $(CARGO) test --quiet -p gateway-rules
	$(CARGO) run --quiet -p certificate-shim --example annotations >docs/annotations.md
	UPDATE_DOCS=1 UPDATE_BUDGET=1 $(CARGO) test --quiet -p gateway-issuer-policy --test policy -- metadata budget

.PHONY: new-rule
new-rule: ## Create the files of a new rule (ID=host-misspelt)
	@scripts/new-rule "$(ID)"

# A twentieth of the mutants of the rules, selected by SEED (0 to 19).
SEED ?= 0
MUTANTS_VERSION := 27.1.0
.PHONY: mutants
mutants: toolchain ## Check that tests fail when the rules are changed at random (SEED=0)
	@cargo mutants --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-mutants@$(MUTANTS_VERSION)
	$(CARGO) mutants --package gateway-rules --shard $(SEED)/20 --sharding round-robin --timeout 60 --output target/mutants \
		--file 'crates/gateway-rules/src/rules/*.rs' --file 'crates/gateway-rules/src/ratchet.rs' \
		--file 'crates/gateway-rules/src/tenancy.rs' --file 'crates/gateway-rules/src/ownership.rs' -- --lib

.PHONY: clean
clean: ## Remove build results
	$(CARGO) clean
	rm -f policy.wasm annotated-policy.wasm

# rust-toolchain.toml names the compiler and the wasm target. rustup installs them if they are missing.
.PHONY: toolchain
toolchain:
	@command -v cargo >/dev/null || { echo "Rust is missing: install rustup from https://rustup.rs" >&2; exit 1; }
	@test -d "$$(rustc --print target-libdir --target wasm32-wasip1 2>/dev/null)" || rustup toolchain install

.PHONY: bats
bats:
	@test -x "$$(command -v $(BATS))" || { echo "bats is missing, installing bats $(BATS_VERSION) below target/tools" >&2; \
		npm install --silent --no-audit --no-fund --prefix target/tools bats@$(BATS_VERSION); } \
		|| { echo "bats is missing: install it (Debian: apt-get install bats, npm: npm install -g bats)" >&2; exit 1; }

# It makes the module 11 % smaller. The npm package contains the program.
.PHONY: wasm-opt
wasm-opt:
	@test -x $(WASM_OPT) || { echo "wasm-opt is missing, installing binaryen $(BINARYEN_VERSION) below target/tools" >&2; \
		npm install --silent --no-audit --no-fund --prefix target/tools binaryen@$(BINARYEN_VERSION); } \
		|| { echo "wasm-opt is missing, and npm cannot install it: install Node.js with npm" >&2; exit 1; }

.PHONY: jq
jq:
	@command -v jq >/dev/null || { echo "jq is missing: install it (Debian: apt-get install jq)" >&2; exit 1; }
