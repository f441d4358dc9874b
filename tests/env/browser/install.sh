#!/usr/bin/env bash
# Installs what drives a browser and judges pages into the cache folder, as package-lock.json pins it, and prints
# "export BROWSER=…", which is the system's Chromium, and "export BROWSER_MODULES=…".
# usage: install.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../lib.sh
. "$here/../lib.sh"
root=$CACHE/browser
want=$(cat "$here/package.json" "$here/package-lock.json" "$0" | sha256sum | cut -d' ' -f1)
installed() { [ "$(cat "$root/.installed" 2>/dev/null)" = "$want" ]; }
install() {
  mkdir -p "$root"
  exec 9>"$root/.lock"
  flock 9 # another run may be installing the same: wait for it
  installed && return
  say "browser tests: installing (seconds the first time)"
  cp "$here/package.json" "$here/package-lock.json" "$root/"
  # Without scripts: neither a browser nor anything else is fetched by what is installed.
  (cd "$root" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
  echo "$want" >"$root/.installed"
}
"$here/../require.sh" browser
installed || install
echo "export BROWSER=$(command -v chromium)"
echo "export BROWSER_MODULES=$root/node_modules"
