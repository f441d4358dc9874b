#!/usr/bin/env bash
# Runs cargo-deny, which is built into the cache folder the first time (some minutes).
# usage: cargo-deny.sh ARGUMENT…
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
root=$CACHE/cargo-deny-$CARGO_DENY
if [ ! -x "$root/bin/cargo-deny" ]; then
  say "cargo-deny $CARGO_DENY: building (some minutes the first time)"
  ${CARGO:-cargo} install --quiet --locked --root "$root" --version "$CARGO_DENY" cargo-deny
fi
exec "$root/bin/cargo-deny" "$@"
