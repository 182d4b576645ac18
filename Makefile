# Two commands on a fresh Debian 12 with Node 20+, as root: make demo, make test.
.PHONY: demo test ok bench install packages down

PATH := $(CURDIR)/node_modules/.bin:$(PATH)
export PATH

# What the tests need from Debian; the program itself needs none of them.
PACKAGES := nftables iproute2 conntrack iputils-ping netcat-openbsd chromium \
  openssl e2fsprogs curl \
  etcd-server etcd-client prometheus tshark clickhouse-server clickhouse-client zookeeper iperf3 \
  qemu-system-x86 busybox-static kmod

demo: install
	@./bin/tortie lab demo

test: install packages
	npm run --silent types
	npm run --silent lint
	npm run --silent format
	npm run --silent tidy
	node scripts/test.ts

ok: install
	npm run --silent ok

bench: install
	@for file in bench/*.bench.ts; do echo "== $$file"; node "$$file" || exit 1; done

down: install
	@./bin/tortie lab down --all

install: node_modules/.installed

node_modules/.installed: package.json package-lock.json .npmrc
	@echo "installing npm packages (about 20 s the first time)"
	@npm install --loglevel=error
	@touch $@

packages:
	@missing=""; for name in $(PACKAGES); do dpkg -s $$name >/dev/null 2>&1 || missing="$$missing $$name"; done; \
	command -v kubectl >/dev/null || missing="$$missing kubernetes-client"; \
	[ -z "$$missing" ] || scripts/install-packages.sh $$missing
