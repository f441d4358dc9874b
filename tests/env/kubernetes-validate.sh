#!/usr/bin/env bash
# Runs kubernetes-validate, which brings the schemas of each version of Kubernetes; installed into the cache folder the first
# time.
# usage: kubernetes-validate.sh ARGUMENT…
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"
root=$CACHE/kubernetes-validate-$KUBERNETES_VALIDATE
installed() { [ -e "$root/.installed" ] && [ -x "$root/bin/python3" ]; } # not if the system's Python is another by now
install() {
  "$here/require.sh" schemas
  mkdir -p "$CACHE"
  exec 9>"$CACHE/.lock-kubernetes-validate"
  flock 9 # another run may be installing the same: wait for it
  installed && return
  say "kubernetes-validate $KUBERNETES_VALIDATE: installing (half a minute the first time)"
  python3 -m venv --clear "$root"
  "$root/bin/pip" install --quiet --disable-pip-version-check "kubernetes-validate==$KUBERNETES_VALIDATE" >&2
  touch "$root/.installed"
}
installed || install
exec "$root/bin/kubernetes-validate" "$@" 9>&-
