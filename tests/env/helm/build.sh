#!/usr/bin/env bash
# Builds helm from the Go module proxy, once, and prints "export HELM=…". Cold: two minutes of CPU after Kubernetes, with which
# it shares most of what it is built of.
# usage: build.sh [3|4]         (default: 3)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../lib.sh
. "$here/../lib.sh"
major=${1:-3}
module=$here/v$major
case $major in # where Helm has the version of the cluster that it takes for granted if it can't ask, as in `helm template`
  3) packages="pkg/chartutil pkg/lint/rules" ;;
  4) packages="pkg/chart/common pkg/chart/v2/lint/rules" ;;
  *) die "no Helm $major here" ;;
esac
bin=$CACHE/helm/v$major

want=$(cat "$module/go.mod" "$module/go.sum" "$0" | sha256sum | cut -d' ' -f1)
built() { [ "$(cat "$bin/.built" 2>/dev/null)" = "$want" ] && [ -x "$bin/helm" ]; }
build() {
  "$here/../require.sh" go
  mkdir -p "$bin"
  exec 9>"$bin/.lock"
  flock 9 # another run may be building the same: wait for it
  built && return
  local version kubernetes flags package
  version=$(sed -n "s/^\thelm\.sh\/helm\/v$major \(v[^ ]*\).*$/\1/p" "$module/go.mod")
  kubernetes=$(sed -n 's/^\tk8s\.io\/client-go v0\.\([0-9]*\).*$/\1/p' "$module/go.mod")
  flags=("-X helm.sh/helm/v$major/internal/version.version=$version")
  for package in $packages; do
    package=helm.sh/helm/v$major/$package
    flags+=("-X $package.k8sVersionMajor=1" "-X $package.k8sVersionMinor=$kubernetes")
  done
  say "Helm $version: building into $bin (a few minutes the first time)"
  cd "$module"
  CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS="-mod=readonly -trimpath -buildvcs=false" GOGC=${GOGC:-400} \
    nice -n 5 go build -gcflags=all=-dwarf=false -ldflags "-s -w ${flags[*]}" -o "$bin/helm" "helm.sh/helm/v$major/cmd/helm"
  echo "$want" >"$bin/.built"
  say "Helm $version: built in $SECONDS s"
}
built || build
echo "export HELM=$bin/helm"
