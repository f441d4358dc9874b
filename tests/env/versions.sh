# shellcheck shell=bash disable=SC2034
# Sourced by lib.sh: every version that the test environment uses, but for those of Kubernetes and etcd, which
# kubernetes/go.mod has to pin.

GO_MINIMUM=1.24 # what kubernetes/go.mod asks for

# OpenSearch by the JDK it runs on: the newest where there is JDK 21 or newer, else the last that takes JDK 17.
OPENSEARCH_JDK21=3.8.0
OPENSEARCH_JDK17=2.19.1
# The security plugin is published for fewer versions than the server.
OPENSEARCH_SECURE_JDK17=2.19.1
OPENSEARCH_SECURE_JDK21=3.4.0

ELASTICSEARCH=8.19.21

# The log4j that each OpenSearch was compiled with.
log4j_version() {
  case $1 in
    3.8.*) echo 2.25.4 ;;
    *) echo 2.21.0 ;;
  esac
}

MAVEN_DEPENDENCY_PLUGIN=3.6.1
CARGO_DENY=0.20.2
NODE_MINIMUM=20 # what browser/package-lock.json asks for
KUBERNETES_VALIDATE=1.37.0 # the last Kubernetes that it knows
