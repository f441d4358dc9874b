# shellcheck shell=bash disable=SC2034
# Sourced by the scripts of this folder: which OpenSearch, in which home, on which JDK.
# shellcheck source=../lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

# choose_version: sets VERSION, JDK and OPENSEARCH_HOME. VERSION may be given; SECURE=1 is with the security plugin.
choose_version() {
  VERSION=${VERSION:-}
  local new=$OPENSEARCH_JDK21 old=$OPENSEARCH_JDK17
  if [ -n "${SECURE:-}" ]; then
    new=$OPENSEARCH_SECURE_JDK21
    old=$OPENSEARCH_SECURE_JDK17
    # the older one is the better tried with security, so it comes first where its JDK is
    if [ -n "$(jdk 17 23)" ]; then new=$old; fi
  fi
  if [ -z "$VERSION" ]; then
    VERSION=$new
    if [ -z "$(jdk 21)" ]; then VERSION=$old; fi
  fi
  case $VERSION in
    2.*) JDK=$(jdk 17 23) ;; # Java 24 took away what 2.x needs
    *) JDK=$(jdk 21) ;;
  esac
  OPENSEARCH_HOME=$CACHE/opensearch/$VERSION${SECURE:+-secure}
}

node() {
  PORT='' SECURE=${SECURE:-}
  instance opensearch "$1"
  CERTS=$STATE/certs
  if [ -n "${SECURE:-}" ]; then URL=https://127.0.0.1:$PORT; else URL=http://127.0.0.1:$PORT; fi
}

# answers: a secure node says 503 until its security index is there
answers() {
  if [ -n "${UNREADY:-}" ]; then
    curl -s -m 5 "$URL/"
  elif [ -n "${SECURE:-}" ]; then
    curl -sf -m 5 --cacert "$CERTS/ca.pem" -u admin:admin-pw "$URL/"
  else
    curl -sf -m 5 "$URL/_cluster/health?wait_for_status=yellow&timeout=1s"
  fi
}
