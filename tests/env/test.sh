#!/usr/bin/env bash
# Runs cargo test, stops whatever servers its tests left (their instances are called test-…), and ends with one line that adds
# up all results.
# usage: test.sh ARGUMENT…      (cargo test's)
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"
mkdir -p "$CACHE"
log=$(mktemp "$CACHE/test-XXXXXX")
trap '"$here/down.sh" "test-*"; rm -f "$log"' EXIT
trap 'exit 130' INT TERM HUP
${CARGO:-cargo} test --locked --no-fail-fast "$@" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}
awk '/^test result: / {passed += $4; failed += $6; skipped += $8}
  END {printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped}' "$log"
exit "$status"
