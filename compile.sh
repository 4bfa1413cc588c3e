#!/bin/sh
# Builds dist/solovs: one executable with everything in it, which needs nothing but glibc to run.
#
#   ./compile.sh                  install the build tools if they are missing, then build
#   ./compile.sh --install-only   only the first half
#
# The entry points are main.ts and the workers: Bun bundles what a `new Worker` names only when it is
# listed here. `--bytecode` spares the parsing at each start; nothing is read from the directory in
# which solovs is started (.env, bunfig.toml).
set -eu
cd "$(dirname "$0")"

case "${1:-}" in
"" | --install-only) ;;
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

mkdir -p dist
# Written under another name, then renamed: a running solovs keeps the file that it was started from.
# shellcheck disable=SC2086 # the list of workers is meant to be split
"$bun" build --compile --minify --keep-names --bytecode --format=esm --sourcemap=none \
  --no-compile-autoload-dotenv --no-compile-autoload-bunfig \
  --outfile "dist/.solovs.$$" main.ts $workers >"dist/.compile.$$" 2>&1 || {
  cat "dist/.compile.$$" >&2
  rm -f "dist/.solovs.$$" "dist/.compile.$$"
  die "the build failed"
}
rm -f "dist/.compile.$$"
mv "dist/.solovs.$$" dist/solovs
say "built dist/solovs ($(dist/solovs --version))"
