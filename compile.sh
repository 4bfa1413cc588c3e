#!/bin/sh
# Builds dist/solovs: one executable with everything in it, which needs nothing but glibc to run.
#
#   ./compile.sh                  install the build tools if they are missing, then build
#   ./compile.sh --install-only   only the first half
#   ./compile.sh --deb            also dist/solovs_VERSION_ARCH.deb: with a service and a manual page
#
# SOLOVS_OUT=FILE writes the executable there, and leaves dist/solovs alone.
#
# The entry points are main.ts and the workers: Bun bundles what a `new Worker` names only when it is
# listed here. `--bytecode` spares the parsing at each start; nothing is read from the directory in
# which solovs is started (.env, bunfig.toml).
set -eu
cd "$(dirname "$0")"

case "${1:-}" in
"" | --install-only | --deb) ;;
*)
  sed -n 's/^#   //p' "$0" >&2
  exit 2
  ;;
esac

say() { printf '%s\n' "compile.sh: $*" >&2; }
die() {
  say "$*"
  exit 1
}

command -v npm >/dev/null 2>&1 ||
  die "npm was not found. Install Node.js 18 or newer with npm (Debian: apt-get install npm)."

# One build at a time in this tree: two would install into the same node_modules.
if command -v flock >/dev/null 2>&1; then
  mkdir -p dist
  exec 9>dist/.compile.lock
  flock -n 9 || {
    say "waiting for another build in this directory"
    flock 9
  }
fi

# Are the packages of package-lock.json there, in its versions? Contents are compared, not times, for
# a checkout touches times. Packages for other platforms are optional and may be absent.
installed() {
  [ -f node_modules/.package-lock.json ] && [ -e node_modules/.bin/bun ] && node -e '
    const { readFileSync } = require("fs");
    const read = (file) => JSON.parse(readFileSync(file, "utf8")).packages;
    const found = read("node_modules/.package-lock.json");
    for (const [path, { version, optional }] of Object.entries(read("package-lock.json"))) {
      if (path !== "" && (found[path] ? found[path].version !== version : !optional)) process.exit(1);
    }'
}

if ! installed; then
  say "installing the build tools with npm ci (about 310 MB in node_modules)"
  npm ci --no-audit --no-fund 9>&-
fi
bun=node_modules/.bin/bun
# npm may be told to skip install scripts; Bun's and Deno's are what puts their executables in place.
"$bun" --version >/dev/null 2>&1 || npm rebuild bun deno --ignore-scripts=false 9>&-
"$bun" --version >/dev/null 2>&1 || die "Bun does not start: $bun"
if [ "${1:-}" = --install-only ]; then exit 0; fi

workers=
for file in src/*/worker.ts src/*/*/worker.ts; do
  if [ -f "$file" ]; then workers="$workers $file"; fi
done

# Built beside, then renamed: a running solovs keeps the file that it was started from. The source map
# is inside the executable, so that the log shows where an error came from.
build=dist/.build.$$
mkdir -p "$build"
trap 'rm -rf "$build"' EXIT
# shellcheck disable=SC2086 # the list of workers is meant to be split
"$bun" build --compile --bytecode --format=esm --sourcemap=inline \
  --no-compile-autoload-dotenv --no-compile-autoload-bunfig \
  --outfile "$build/solovs" main.ts $workers >"$build/log" 2>&1 || {
  cat "$build/log" >&2
  die "the build failed"
}
out=${SOLOVS_OUT:-dist/solovs}
mv "$build/solovs" "$out"
say "built $out ($("$(realpath "$out")" --version))"

if [ "${1:-}" != --deb ]; then exit 0; fi
command -v dpkg-deb >/dev/null 2>&1 || die "dpkg-deb was not found: packages are made on Debian and its kin."
version=$(node -p 'require("./package.json").version')
arch=$(dpkg --print-architecture)
root=$build/deb
install -D -m 755 "$out" "$root/usr/bin/solovs"
install -D -m 644 packaging/solovs.service "$root/lib/systemd/system/solovs.service"
install -D -m 644 packaging/default "$root/etc/default/solovs"
install -D -m 644 packaging/copyright "$root/usr/share/doc/solovs/copyright"
install -D -m 644 packaging/lintian-overrides "$root/usr/share/lintian/overrides/solovs"
mkdir -p "$root/usr/share/man/man8" "$root/DEBIAN"
gzip -9n >"$root/usr/share/doc/solovs/changelog.gz" <<EOF
solovs ($version) unstable; urgency=medium

  * See README.md and the history of the source.

 -- solovs <solovs@localhost>  $(date -R -u -d "@${SOURCE_DATE_EPOCH:-$(stat -c %Y package.json)}")
EOF
"$(realpath "$out")" manual | gzip -9n >"$root/usr/share/man/man8/solovs.8.gz"
echo /etc/default/solovs >"$root/DEBIAN/conffiles"
cat >"$root/DEBIAN/control" <<EOF
Package: solovs
Version: $version
Architecture: $arch
Maintainer: solovs <solovs@localhost>
Depends: libc6
Recommends: libpcap0.8
Conflicts: openvswitch-switch
Section: net
Priority: optional
Installed-Size: $(du -sk "$root" | cut -f1)
Description: Open vSwitch in one executable
 Configuration database, OpenFlow switch, packet fast path, HTTP API and web
 console in one process. Behaves as Open vSwitch 3.1 and speaks its protocols.
EOF
deb=dist/solovs_${version}_$arch.deb
# xz would take minutes over it.
dpkg-deb -Zgzip --root-owner-group --build "$root" "$deb" >/dev/null
say "built $deb"
