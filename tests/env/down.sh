#!/usr/bin/env bash
# Stops every instance whose name matches the pattern, and removes what it wrote.
# usage: down.sh [PATTERN]      (default: all of them)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"
shopt -s nullglob
# shellcheck disable=SC2231
for state in "$RUN"/*/${1:-*}; do
  kind=$(basename "$(dirname "$state")")
  name=$(basename "$state")
  say "stopping $kind $name"
  case $kind in
    kubernetes | opensearch | elasticsearch) "$here/$kind/down.sh" "$name" ;;
    demo) "$here/demo.sh" stop ;;
  esac
done
