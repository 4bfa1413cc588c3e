#!/bin/sh
# npm test: installs what is missing, then checks, builds and tests everything.
#
#   tests/run.sh [PART...]      all parts, or some of: fmt lint types compile unit fuzz integration
#
# As root on Debian it installs the packages of the stock clients (nothing is started). Without root,
# tests that need it are reported as skipped, with the reason. Last line: N passed, N failed, N skipped.
set -eu
cd "$(dirname "$0")/.."
exec </dev/null

say() { printf '%s\n' "tests/run.sh: $*"; }

# Stock clients and tools that the integration tests drive, and what each is for:
# the clients, a controller in C and one in Python, a traffic generator, tools that set up hosts,
# one that counts system calls, a browser for the console, and what makes a container image.
packages="openvswitch-switch openvswitch-common openvswitch-testcontroller python3-openvswitch
  python3-os-ken ovn-common ovn-central ovn-host openvswitch-vtep iperf3 iputils-ping iproute2 tcpdump ethtool procps strace chromium
  buildah debootstrap"

install_packages() {
  missing=
  for package in $packages; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
      missing="$missing $package"
  done
  if [ -z "$missing" ]; then return 0; fi
  say "installing:$missing"
  # Debian starts a service when it installs one. Open vSwitch's own switch must not run here, so a
  # policy forbids it for the time of the installation; a policy that was there already stays.
  policy=
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    policy=/usr/sbin/policy-rc.d
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
  fi
  export DEBIAN_FRONTEND=noninteractive
  log=$(mktemp)
  # shellcheck disable=SC2086 # the list is meant to be split
  if ! apt-get install -y --no-install-recommends $missing >"$log" 2>&1; then
    # Perhaps the package lists are missing or old.
    apt-get update >>"$log" 2>&1 || true
    # shellcheck disable=SC2086
    apt-get install -y --no-install-recommends $missing >>"$log" 2>&1 || {
      tail -n 30 "$log"
      say "apt-get could not install them; tests that need them will be reported as skipped"
    }
  fi
  rm -f "$log"
  if [ -n "$policy" ]; then
    rm -f "$policy"
    trap - EXIT INT TERM
  fi
}

if [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ] && command -v apt-get >/dev/null 2>&1; then
  install_packages
fi

./compile.sh --install-only
exec node_modules/.bin/bun tests/runner/main.ts "$@"
