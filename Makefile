# Understudy. `make help` lists what there is.

GO      ?= $(or $(shell command -v go),/usr/local/go/bin/go)
BIN     := bin/understudy
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -X main.version=$(VERSION)

# Packages whose tests need the kernel: network namespaces, so root.
KERNEL  := ./vrrp/vrrpnet/... ./vrrp/election/... ./garp/garpnet/... ./garp/ranet/... ./nat/nft/... ./nat/conntrack/... \
           ./appliance/kernel/... ./appliance/replica/... ./appliance/lab/... ./appliance/demo/... ./appliance/bench/... \
           ./appliance/e2e ./appliance/e2e/bonds ./appliance/daemon/... ./health/probe/... ./lacp/lacpnet/... ./nat/entry/entrynet/...
# The election beside other people's routers. They mostly wait: several at a time.
INTEROP := ./appliance/interop/...
# What needs Debian's kernel: in a machine of its own (appliance/lab/guest).
GUEST   := ./appliance/lab/guest ./nat/nft ./lacp/lacpnet ./appliance/dog ./appliance/e2e/bonds ./appliance/interop
# The pages, in a real browser.
WEB     := ./appliance/e2e/browser
# The packages, on a machine with systemd.
PACKAGES := ./appliance/e2e/installed
SHOTS   ?= $(CURDIR)/dist/web
GUESTDIR := $(or $(UNDERSTUDY_GUEST_DIR),/var/cache/understudy-guest)
TOTAL   := $(or $(TEST_TOTAL),/tmp/understudy-test-total.$(shell id -u))
SUM     := $(GO) run ./.ci/testsum -total $(TOTAL)

.PHONY: help build demo test test-unit test-sim test-kernel test-interop test-web test-packages packages test-guest mutations verify bench bench-vrrp bench-sessions bench-checks bench-nat bench-transport fuzz soak soak-sim soak-sessions soak-moves clean tools

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

build: ## build bin/understudy
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/understudy

demo: build ## two gateways in namespaces, one crash, flows survive (root)
	$(BIN) demo

tools: ## install what the tests need (Debian, root)
	@.ci/tools

test: tools ## everything: unit, then kernel, interoperation, the pages, the packages, then the guest (root)
	@rm -f $(TOTAL)
	@ok=0; $(MAKE) --no-print-directory test-unit || ok=1; \
	$(MAKE) --no-print-directory test-sim || ok=1; \
	$(MAKE) --no-print-directory test-kernel || ok=1; \
	$(MAKE) --no-print-directory test-interop || ok=1; \
	$(MAKE) --no-print-directory test-web || ok=1; \
	$(MAKE) --no-print-directory test-packages || ok=1; \
	$(MAKE) --no-print-directory test-guest || ok=1; \
	awk '{p+=$$1; f+=$$2; s+=$$3} END {printf "%d passed, %d failed, %d skipped\n", p, f, s; exit p==0}' $(TOTAL) || ok=1; \
	rm -f $(TOTAL); exit $$ok

test-unit: ## pure packages and the ones that need no root, with the race detector
	@$(GO) list ./... | grep -vFx "$$($(GO) list $(KERNEL) $(INTEROP) $(WEB) $(PACKAGES))" | xargs $(GO) test -race -shuffle=on -json | $(SUM) -part unit

# 1e9 once in a while: make soak.
SIM_STEPS  ?= 3e7
SIM_REPORT ?= /tmp/understudy-sim.$(shell id -u)
SIM        := UNDERSTUDY_SIM_REPORT=$(SIM_REPORT) $(GO) test -count=1 -timeout 0 ./appliance/sim -run TestSchedules
test-sim: ## a cluster on a virtual clock: SIM_STEPS machine steps, generated faults
	@rm -f $(SIM_REPORT)
	@ok=0; UNDERSTUDY_SIM_STEPS=$(SIM_STEPS) $(SIM) -json | $(SUM) -part simulator || ok=1; \
	cat $(SIM_REPORT) 2>/dev/null; rm -f $(SIM_REPORT); exit $$ok

soak: soak-sim soak-sessions soak-moves ## for hours: what nobody has tried yet

soak-sim: ## the simulator for 1e9 steps, seeds that nobody has tried
	UNDERSTUDY_SIM_STEPS=1e9 $(SIM) -v -args -from $$(date +%s)000 -failures 10

SOAK ?= 1h
soak-sessions: ## two session planes for SOAK: flows, hand-overs, cuts and restarts; equal after each (root)
	UNDERSTUDY_REQUIRE_NETNS=1 UNDERSTUDY_SOAK=$(SOAK) $(GO) test -count=1 -timeout 0 ./appliance/replica -run TestCase64Soak -v

MOVES ?= 1000
soak-moves: ## connections that outlive their server: MOVES moves by replay, and as many of warm ones (root)
	UNDERSTUDY_REQUIRE_NETNS=1 UNDERSTUDY_MOVES=$(MOVES) $(GO) test -count=1 -timeout 0 ./nat/entry/entrynet/splicenet -run 'TestMany|TestThousand' -v

mutations: ## mistakes made on purpose: how soon the simulator notices each
	$(GO) test -count=1 -timeout 30m -tags mutations -run TestMutations -v ./appliance/sim

# One package at a time: these tests share two cores with the gateways they run.
test-kernel: build ## real kernel, in network namespaces (root)
	@UNDERSTUDY_REQUIRE_NETNS=$(if $(CI),1,$(UNDERSTUDY_REQUIRE_NETNS)) UNDERSTUDY_BINARY=$(CURDIR)/$(BIN) \
		$(GO) test -p 1 -timeout 45m -json $(KERNEL) | $(SUM) -part namespaces $(if $(CI),-no-skip)

test-interop: build ## beside keepalived and FRR, in network namespaces (root)
	@UNDERSTUDY_REQUIRE_NETNS=$(if $(CI),1,$(UNDERSTUDY_REQUIRE_NETNS)) UNDERSTUDY_BINARY=$(CURDIR)/$(BIN) \
		$(GO) test -p 1 -parallel 6 -timeout 20m -json $(INTEROP) | $(SUM) -part interop $(if $(CI),-no-skip)

test-web: build ## the pages in Chromium, a pair behind them; pictures into dist/web (root)
	@.ci/chromium
	@UNDERSTUDY_REQUIRE_NETNS=$(if $(CI),1,$(UNDERSTUDY_REQUIRE_NETNS)) UNDERSTUDY_BINARY=$(CURDIR)/$(BIN) UNDERSTUDY_SHOTS=$(SHOTS) \
		$(GO) test -count=1 -timeout 10m -json $(WEB) | $(SUM) -part pages $(if $(CI),-no-skip)
	@echo "pictures of the pages: $(SHOTS)"

packages: ## deb and rpm, with their bill of materials, into dist/packages; ARCHES="amd64 arm64"
	@.ci/packages $(VERSION) dist/packages

test-packages: ## the packages, installed, upgraded and removed on a machine with systemd (root)
	@UNDERSTUDY_REQUIRE_NETNS=$(if $(CI),1,$(UNDERSTUDY_REQUIRE_NETNS)) \
		$(GO) test -count=1 -timeout 15m -json $(PACKAGES) | $(SUM) -part packages $(if $(CI),-no-skip)

test-guest: build ## under Debian's kernel, in an emulated machine: bonds, teams, watchdog, IPVS
	@$(GO) run ./.ci/guest -kernel $(GUESTDIR)/kernel -busybox $(GUESTDIR)/busybox/bin/busybox -program $(BIN) \
		-package $(GUESTDIR)/keepalived $(if $(CI),-require) $(if $(GUEST_RUN),-run '$(GUEST_RUN)') $(GUEST) | $(SUM) -part guest $(if $(CI),-no-skip)

verify: ## gofmt, vet, staticcheck, tidy, import rules, docs in step
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt would change:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet -tags guest ./...
	$(GO) tool staticcheck -tags guest ./...
	$(GO) mod tidy -diff
	$(GO) test -count=1 -run 'TestImports|TestDocs|TestReference' . ./appliance/config ./cmd/understudy

bench: build ## micro-benchmarks, crashes, takeovers, cost of sessions; also into dist/bench.txt (root)
	@mkdir -p dist
	@.ci/bench $(BIN) dist/bench.txt

bench-vrrp: build tools ## VRRP beside keepalived, the same networks in turn; also into dist/bench-vrrp.txt (root)
	@mkdir -p dist
	@.ci/bench-vrrp $(BIN) dist/bench-vrrp.txt

bench-sessions: build tools ## replication beside conntrackd, every mode, crashes; also into dist/bench-sessions.txt (root)
	@mkdir -p dist
	@.ci/bench-sessions $(BIN) dist/bench-sessions.txt

bench-checks: build tools ## thousands of TCP checks, beside keepalived's checker; also into dist/bench-checks.txt (root)
	@mkdir -p dist
	@$(BIN) bench checks 2>&1 | tee dist/bench-checks.txt

bench-nat: build tools ## translation beside a rule a mapping, entry points, checks beside keepalived's; also into dist/bench-nat.txt (root)
	@mkdir -p dist
	@.ci/bench-nat $(BIN) dist/bench-nat.txt

bench-transport: build ## connections that outlive their server: stall, cost of a packet, memory; also into dist/bench-transport.txt (root)
	@mkdir -p dist
	@$(BIN) bench transport 2>&1 | tee dist/bench-transport.txt

FUZZTIME ?= 20s
fuzz: ## every fuzz target for FUZZTIME each
	@.ci/fuzz $(FUZZTIME)

clean: ## remove what was built
	rm -rf bin dist
