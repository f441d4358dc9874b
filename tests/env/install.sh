#!/usr/bin/env bash
# Builds and installs every server that the tests and the demo start, so that nothing has to wait for that later. Once: a
# quarter of an hour, most of it the build of Kubernetes; afterwards a second.
# usage: install.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
"$here/require.sh" kubernetes node image opensearch elasticsearch prometheus alertmanager schemas browser rust
"$here/opensearch/install.sh"
SECURE=1 "$here/opensearch/install.sh"
"$here/elasticsearch/install.sh"
"$here/kubernetes/build.sh"
for major in 3 4; do "$here/helm/build.sh" $major >/dev/null; done
"$here/kubernetes-validate.sh" --version >/dev/null
"$here/browser/install.sh" >/dev/null
