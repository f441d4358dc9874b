#!/usr/bin/env bash
# Lays OpenSearch out in the cache folder from Maven's repository, once: lib, modules and plugins as in a distribution,
# and our launcher. A first start and stop then writes a class-data archive, which halves the time of every later start.
# usage: [SECURE=1] [VERSION=…] install.sh        SECURE: with the security plugin
# shellcheck disable=SC2153 # choose_version sets VERSION
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"
choose_version
[ -e "$OPENSEARCH_HOME/.installed" ] && exit 0
"$here/../require.sh" opensearch
choose_version # there may be a JDK now
[ -n "$JDK" ] || die "OpenSearch $VERSION: no JDK for it here (2.x: 17 to 23, 3.x: 21 or newer)"
mkdir -p "$CACHE/opensearch"
exec 9>"$CACHE/opensearch/.lock-$(basename "$OPENSEARCH_HOME")"
flock 9
[ -e "$OPENSEARCH_HOME/.installed" ] && exit 0
[ -n "$(jdk 21)" ] || say "only a JDK older than 21 here, so OpenSearch $VERSION instead of $OPENSEARCH_JDK21"

log=$CACHE/opensearch/install.log
maven() {
  if ! JAVA_HOME=$(jdk 17) nice -n 5 mvn -q -B -ntp "$@" >"$log" 2>&1; then
    grep -m 10 ERROR "$log" | cut -c1-300 >&2
    exit 1
  fi
}
copy_dependencies=org.apache.maven.plugins:maven-dependency-plugin:$MAVEN_DEPENDENCY_PLUGIN:copy-dependencies
rm -rf "$OPENSEARCH_HOME"

# module NAME EXTENDED GLOB...: moves jars into a module's folder. The first is the module's own; its *Plugin class is
# looked up in it.
module() {
  local dir=../modules/$1 extended=$2 class
  shift 2
  mkdir "$dir"
  # shellcheck disable=SC2086
  class=$("$JDK/bin/jar" tf $1 | grep -E '^[a-z/A-Z0-9]*Plugin\.class$' | head -1 | sed 's/\.class$//; s#/#.#g')
  # shellcheck disable=SC2068
  cp -l $@ "$dir/"
  printf '%s\n' "name=${dir##*/}" "description=${dir##*/}" "version=$VERSION" "opensearch.version=$VERSION" \
    java.version=11 "classname=$class" "extended.plugins=$extended" has.native.controller=false >"$dir/plugin-descriptor.properties"
}

install_plain() {
  say "OpenSearch $VERSION: downloading (a minute the first time)"
  mkdir -p "$OPENSEARCH_HOME"/{lib,modules,plugins,config}
  maven -f "$here/pom.xml" -Dopensearch.version="$VERSION" -Dlog4j.version="$(log4j_version "$VERSION")" \
    "$copy_dependencies" -DincludeScope=runtime -DoutputDirectory="$OPENSEARCH_HOME/lib"
  cd "$OPENSEARCH_HOME/lib"
  shopt -s nullglob
  module transport-netty4 "" transport-netty4-client-* netty-* opensearch-netty4-*
  module lang-painless "" lang-painless-* opensearch-scripting-painless-spi-* antlr4-* asm-*
  module analysis-common lang-painless analysis-common-*
  module ingest-common lang-painless ingest-common-* opensearch-grok-* opensearch-dissect-* joni-* jcodings-*
  module mapper-extras "" mapper-extras-client-*
  module lang-mustache "" lang-mustache-client-* compiler-*
  module parent-join "" parent-join-client-*
  module reindex "" reindex-client-* opensearch-rest-client-* opensearch-ssl-config-* http* commons-codec-* commons-logging-* slf4j-api-*
  # what a module owns must not be on the application's class path too: plugins refuse that ("jar hell")
  local jar
  for jar in ../modules/*/*.jar; do rm -f "$(basename "$jar")"; done
  mkdir ../classes
  "$JDK/bin/javac" -nowarn -proc:none -cp "$OPENSEARCH_HOME/lib/*" -d ../classes "$here/Launch.java"
  "$JDK/bin/jar" cf launch.jar -C ../classes .
  rm -r ../classes
  cp "$here/log4j2.properties" ../config/
}

# The plain home, hard-linked, and the security plugin in it.
install_secure() {
  local plugin=$OPENSEARCH_HOME/plugins/opensearch-security work
  SECURE='' VERSION=$VERSION "$here/install.sh"
  say "OpenSearch $VERSION: downloading the security plugin (a minute or two the first time)"
  cp -al "$CACHE/opensearch/$VERSION" "$OPENSEARCH_HOME"
  rm -f "$OPENSEARCH_HOME"/{.installed,classes.jsa}
  work=$(mktemp -d)
  sed "s/@VERSION@/$VERSION/" "$here/security.pom.xml" >"$work/pom.xml"
  maven -f "$work/pom.xml" "$copy_dependencies" -DexcludeTransitive=true -DoutputDirectory="$work/jars"
  mkdir -p "$plugin"
  (cd "$plugin" && "$JDK/bin/jar" xf "$work/jars/opensearch-security-$VERSION.0.zip")
  case $VERSION in 3.*) cp "$work"/jars/*.jar "$plugin/" ;; esac # a class of its own that the zip lacks
  sed -i 's/^extended.plugins=.*/extended.plugins=/' "$plugin/plugin-descriptor.properties"
  rm -r "$work"
}

if [ -n "${SECURE:-}" ]; then install_secure; else install_plain; fi
name=install-$VERSION${SECURE:+-secure}
VERSION=$VERSION SECURE=${SECURE:-} WRITE_ARCHIVE=1 OWNER_PID=$$ "$here/up.sh" "$name" >/dev/null
DATA=keep "$here/down.sh" "$name" # a clean exit writes the archive
"$here/down.sh" "$name"
touch "$OPENSEARCH_HOME/.installed"
say "OpenSearch $VERSION${SECURE:+ with security}: installed in $SECONDS s"
