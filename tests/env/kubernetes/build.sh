#!/usr/bin/env bash
# Builds a whole Kubernetes from the Go module proxy, once, into $KUBE_BIN: one binary that is etcd, kube-apiserver,
# kube-controller-manager, kube-scheduler, kubelet, kube-proxy and kubectl by the name it is called, and `testtool`,
# the only program in the test images. Cold: about 13 minutes of CPU; afterwards a stamp says that nothing is to do.
# usage: build.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"

# What is built is named by the content of the sources, so an edit here or a new version in go.mod builds anew.
want=$(cat "$here/go.mod" "$here/go.sum" "$here"/*/main.go "$0" | sha256sum | cut -d' ' -f1)
built() { [ "$(cat "$KUBE_BIN/.built" 2>/dev/null)" = "$want" ] && [ -x "$KUBE_BIN/hyperkube" ] && [ -x "$KUBE_BIN/testtool" ]; }
built && exit 0
"$here/../require.sh" kubernetes
mkdir -p "$KUBE_BIN"
exec 9>"$KUBE_BIN/.lock"
flock 9 # another run may be building the same: wait for it
built && exit 0

version=$(sed -n 's/^\tk8s\.io\/kubernetes \(v.*\)$/\1/p' "$here/go.mod")
minor=${version#v1.}
minor=${minor%%.*}
flags=()
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  flags+=("-X $package.gitVersion=$version" "-X $package.gitMajor=1" "-X $package.gitMinor=$minor")
done
flags+=("-X k8s.io/component-base/version.gitTreeState=clean" "-X k8s.io/component-base/version.buildDate=1970-01-01T00:00:00Z")

# No debug information and a lazy collector in the compiler save a quarter of the time.
export CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS="-mod=readonly -trimpath -buildvcs=false" GOGC=${GOGC:-400}
say "Kubernetes $version: building into $KUBE_BIN (ten minutes the first time)"
cd "$here"
(while sleep 30; do say "Kubernetes $version: still building, $SECONDS s"; done) 9>&- &
ticker=$!
trap 'kill $ticker 2>/dev/null || true' EXIT
nice -n 5 go build -gcflags=all=-dwarf=false -ldflags "-s -w" -o "$KUBE_BIN/testtool" ./testtool
nice -n 5 go build -gcflags=all=-dwarf=false -ldflags "-s -w ${flags[*]}" -o "$KUBE_BIN/hyperkube" ./hyperkube
for name in etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
  ln -sfn hyperkube "$KUBE_BIN/$name"
done
echo "$want" >"$KUBE_BIN/.built"
say "Kubernetes $version: built in $SECONDS s"
