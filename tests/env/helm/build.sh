#!/usr/bin/env bash
# Builds helm from the Go module proxy, once, and prints "export HELM=…". Cold: two minutes of CPU after Kubernetes, with which
# it shares most of what it is built of.
# usage: build.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"
bin=$CACHE/helm/bin

want=$(cat "$here/go.mod" "$here/go.sum" "$0" | sha256sum | cut -d' ' -f1)
built() { [ "$(cat "$bin/.built" 2>/dev/null)" = "$want" ] && [ -x "$bin/helm" ]; }
build() {
  "$here/../require.sh" go
  mkdir -p "$bin"
  exec 9>"$bin/.lock"
  flock 9 # another run may be building the same: wait for it
  built && return
  local version kubernetes minor flags package
  version=$(sed -n 's/^\thelm\.sh\/helm\/v3 \(v[^ ]*\).*$/\1/p' "$here/go.mod")
  # Helm takes the cluster for one of this version where it can't ask, as in `helm template`.
  kubernetes=$(sed -n 's/^\tk8s\.io\/client-go v0\.\([0-9]*\).*$/\1/p' "$here/go.mod")
  minor=${kubernetes%%.*}
  flags=("-X helm.sh/helm/v3/internal/version.version=$version")
  for package in pkg/lint/rules.k8sVersion pkg/chartutil.k8sVersion; do
    flags+=("-X helm.sh/helm/v3/${package}Major=1" "-X helm.sh/helm/v3/${package}Minor=$minor")
  done
  say "Helm $version: building into $bin (a few minutes the first time)"
  cd "$here"
  CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS="-mod=readonly -trimpath -buildvcs=false" GOGC=${GOGC:-400} \
    nice -n 5 go build -gcflags=all=-dwarf=false -ldflags "-s -w ${flags[*]}" -o "$bin/helm" helm.sh/helm/v3/cmd/helm
  echo "$want" >"$bin/.built"
  say "Helm $version: built in $SECONDS s"
}
built || build
echo "export HELM=$bin/helm"
