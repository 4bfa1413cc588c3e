#!/bin/sh
# npm run bench: measures solovs beside Open vSwitch's userspace datapath and the Linux bridge.
# npm run bench -- db: its database server beside ovsdb-server.
# npm run bench -- openflow: flows, packet-ins and lookups beside ovs-vswitchd and ovs-ofctl.
# npm run bench -- http: what requests and event streams cost forwarding.
# npm run bench -- curves: what many ports, flows and masks cost.
# npm run bench -- ebpf-program: what a packet costs in the in-kernel datapath's programs.
# Needs root and the packages that npm test installs. Options: see tests/bench/main.ts, db/, openflow/ and http/main.ts.
set -eu
cd "$(dirname "$0")/../.."
if [ "${1:-}" = db ]; then
  shift
  if [ -z "${SOLOVS_BIN:-}" ]; then
    ./compile.sh
  fi
  exec node_modules/.bin/bun tests/bench/db/main.ts "$@"
fi
[ "$(id -u)" = 0 ] || { echo "bench: needs root (network namespaces, raw sockets)" >&2; exit 1; }
if [ "${1:-}" = ebpf-program ]; then
  exec node_modules/.bin/bun tests/bench/ebpf-program.ts
fi
if [ -z "${SOLOVS_BIN:-}" ]; then
  ./compile.sh
fi
if [ "${1:-}" = openflow ]; then
  shift
  exec node_modules/.bin/bun tests/bench/openflow/main.ts "$@"
fi
if [ "${1:-}" = http ]; then
  shift
  exec node_modules/.bin/bun tests/bench/http/main.ts "$@"
fi
if [ "${1:-}" = curves ]; then
  shift
  exec node_modules/.bin/bun tests/bench/curves/main.ts "$@"
fi
exec node_modules/.bin/bun tests/bench/main.ts "$@"
