{{/*
The configuration as it is written into the ConfigMap, and what must not be in it. As JSON, of which numbers come back as they
were:
  config       the configuration
  files        what goes into the chart's own Secret and is mounted, by the name of the file that stands for it in config
  credentials  what goes there and can't be a file, by the name of the environment variable that stands for it in config
  mounted      files that are keys of Secrets which are there already: file, secret, key
  references   variables that are keys of Secrets which are there already: name, secret, key
Fails with a sentence where no exporter could run with it.
*/}}
{{- define "exporter.config" -}}
{{- $config := .Values.config -}}
{{- if kindIs "string" $config -}}
{{- $config = tpl $config . | fromYaml -}}
{{- if hasKey $config "Error" -}}{{- fail (printf "\n\nconfig: the text is no YAML: %s" $config.Error) -}}{{- end -}}
{{- else -}}
{{- $config = deepCopy (default dict $config) -}}
{{- end -}}
{{- if not $config.receivers -}}
{{- if $config.route -}}{{- fail "\n\nconfig.route is given, and there is nobody to route to: give config.receivers, each with a name and a type" -}}{{- end -}}
{{- $_ := set $config "receivers" (list (dict "name" "stdout" "stdout" dict)) -}}
{{- $_ := set $config "route" (dict "match" (list (dict "receiver" "stdout"))) -}}
{{- end -}}
{{/* As a public workshop spells it. */}}
{{- if hasKey $config "maxEventsAgeSeconds" -}}
{{- $_ := set $config "maxEventAgeSeconds" (default $config.maxEventsAgeSeconds $config.maxEventAgeSeconds) -}}
{{- $_ := unset $config "maxEventsAgeSeconds" -}}
{{- end -}}
{{- $result := dict "config" $config "files" dict "credentials" dict "mounted" list "references" list -}}
{{- $names := list -}}
{{- if not (kindIs "slice" $config.receivers) -}}{{- fail "\n\nconfig.receivers is no list: write each receiver as an entry of it, - name: …" -}}{{- end -}}
{{- range $at, $receiver := $config.receivers -}}
{{- $where := printf "config.receivers[%d]" $at -}}
{{- if not (kindIs "map" $receiver) -}}{{- fail (printf "\n\n%s is no mapping: it needs a name and a type, such as opensearch" $where) -}}{{- end -}}
{{- if not $receiver.name -}}
{{- fail (printf "\n\n%s has no name: a rule delivers to a receiver by its name. If its other keys came by --set, give the rest of config in a values file (-f); --set alone replaces the whole list. Otherwise: --set %s.name=…" $where $where) -}}
{{- end -}}
{{- $name := toString $receiver.name -}}
{{- if has $name $names -}}{{- fail (printf "\n\n%s: another receiver is named %q as well: each needs a name of its own" $where $name) -}}{{- end -}}
{{- $names = append $names $name -}}
{{- include "exporter.liftReceiver" (dict "receiver" $receiver "where" $where "directory" $.Values.credentialsMountPath "result" $result) -}}
{{- end -}}
{{- if not $config.route -}}{{- fail "\n\nconfig.route is missing: no event would go anywhere. For all of them: config.route.match[0].receiver=NAME" -}}{{- end -}}
{{- include "exporter.checkRoute" (dict "route" $config.route "where" "config.route" "names" $names) -}}
{{- include "exporter.coordinate" (list . $config) -}}
{{- toJson $result -}}
{{- end -}}

{{/* Several replicas elect a leader; one keeps its checkpoint in a Lease of its own: (list context config) */}}
{{- define "exporter.coordinate" -}}
{{- $context := index . 0 -}}
{{- $config := index . 1 -}}
{{- $replicas := int $context.Values.replicaCount -}}
{{- $election := default dict $config.leaderElection -}}
{{- if not (kindIs "map" $election) }}{{- fail "\n\nconfig.leaderElection is no mapping: it has enabled and leaderElectionID" }}{{- end -}}
{{- if and (gt $replicas 1) (not (hasKey $election "enabled")) }}{{- $_ := set $election "enabled" true }}{{- end -}}
{{- if eq (toString $election.enabled) "true" -}}
{{- if $config.checkpoint }}{{- fail "\n\nconfig.checkpoint: with leader election the checkpoint is kept in its Lease: leave it out" }}{{- end -}}
{{- if not $election.leaderElectionID }}{{- $_ := set $election "leaderElectionID" (include "exporter.fullname" $context) }}{{- end -}}
{{- $_ := set $config "leaderElection" $election -}}
{{- else if gt $replicas 1 -}}
{{- fail "\n\nreplicaCount: without leader election each replica delivers every event: leave config.leaderElection.enabled out, or run one (--set replicaCount=1)" -}}
{{- else if not $config.checkpoint -}}
{{- $_ := set $config "checkpoint" (dict "lease" (include "exporter.fullname" $context)) -}}
{{- end -}}
{{- end -}}

{{/* The name of the Lease that the configuration uses; empty if it uses none. */}}
{{- define "exporter.lease" -}}
{{- if .Values.existingConfigMap -}}
{{- include "exporter.fullname" . -}}
{{- else -}}
{{- $config := (include "exporter.config" . | fromJson).config -}}
{{- $election := default dict $config.leaderElection -}}
{{- if eq (toString $election.enabled) "true" }}{{ $election.leaderElectionID }}{{ else }}{{ default dict $config.checkpoint | dig "lease" "" }}{{ end -}}
{{- end -}}
{{- end -}}

{{- define "exporter.checkRoute" -}}
{{- $route := .route -}}
{{- if not (kindIs "map" $route) -}}{{- fail (printf "\n\n%s is no mapping: it has match, drop and routes" .where) -}}{{- end -}}
{{- $names := .names -}}
{{- $where := .where -}}
{{- range $at, $rule := default list $route.match -}}
{{- if and (kindIs "map" $rule) $rule.receiver (not (has (toString $rule.receiver) $names)) -}}
{{- fail (printf "\n\n%s.match[%d].receiver: there is no receiver %q among config.receivers, which are: %s" $where $at (toString $rule.receiver) (join ", " $names)) -}}
{{- end -}}
{{- end -}}
{{- range $at, $inner := default list $route.routes -}}
{{- include "exporter.checkRoute" (dict "route" $inner "where" (printf "%s.routes[%d]" $where $at) "names" $names) -}}
{{- end -}}
{{- end -}}

{{/* The types of a receiver (one, unless it is wrong), as JSON: its sections, but for those that all receivers have. */}}
{{- define "exporter.types" -}}
{{- $types := list -}}
{{- range $key, $section := omit . "name" "batch" "buffer" "queue" "retry" "deadLetter" "existingSecret" -}}
{{- if kindIs "map" $section }}{{- $types = append $types $key }}{{- end -}}
{{- end -}}
{{- toJson $types -}}
{{- end -}}

{{/* The keys of a type of receiver that may name a file instead, as JSON. */}}
{{- define "exporter.fileKeys" -}}
{{- $access := list "username" "password" "bearerToken" -}}
{{- $search := append $access "apiKey" -}}
{{- get (dict "opensearch" $search "elasticsearch" $search "webhook" $access "loki" $access "slack" (list "token" "webhook") "teams" (list "endpoint") "opsgenie" (list "apiKey")) . | default list | toJson -}}
{{- end -}}

{{/*
The file of a credential: (list receiver key). By the receiver's name, not by its place: the ConfigMap and the Secret change one
after the other, and none may read another's in between.
*/}}
{{- define "exporter.credentialFile" -}}
{{- $name := index . 0 | toString -}}
{{- if not (regexMatch "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$" $name) }}{{- $name = sha256sum $name | trunc 32 }}{{- end -}}
{{- printf "%s.%s" $name (index . 1) -}}
{{- end -}}

{{/* A receiver's name in variables of the environment, for the same reason: no two receivers have the same. */}}
{{- define "exporter.variableName" -}}
{{- $name := toString . -}}
{{- if not (regexMatch "^[a-z0-9]{1,100}$" $name) }}{{- $name = printf "%s_%s" (regexReplaceAll "[^A-Za-z0-9]" $name "_" | trunc 40) (sha256sum $name | trunc 10) }}{{- end -}}
{{- upper $name -}}
{{- end -}}

{{/* Moves the credentials of one receiver out of it. */}}
{{- define "exporter.liftReceiver" -}}
{{- $result := .result -}}
{{- $where := .where -}}
{{- $directory := .directory -}}
{{- $receiver := .receiver -}}
{{- range $kind := include "exporter.types" $receiver | fromJsonArray -}}
{{- $sink := get $receiver $kind -}}
{{- $prefix := printf "RECEIVER_%s_%s" (include "exporter.variableName" $receiver.name) (upper $kind) -}}
{{- $fileKeys := include "exporter.fileKeys" $kind | fromJsonArray -}}
{{- $files := dict -}}
{{- range $key := $fileKeys }}{{- $_ := set $files $key (include "exporter.credentialFile" (list $receiver.name $key)) }}{{- end -}}
{{- with $receiver.existingSecret -}}
{{- include "exporter.referToSecret" (dict "existing" . "sink" $sink "kind" $kind "prefix" $prefix "where" $where "directory" $directory "files" $files "result" $result) -}}
{{- end -}}
{{- range $key := concat (list "username" "password" "apiKey" "bearerToken" "token") $fileKeys | uniq -}}
{{- if hasKey $sink $key -}}
{{- include "exporter.lift" (dict "from" $sink "key" $key "file" (get $files $key) "directory" $directory "variable" (printf "%s_%s" $prefix (snakecase $key | upper)) "where" (printf "%s.%s.%s" $where $kind $key) "result" $result) -}}
{{- end -}}
{{- end -}}
{{- range $key := list "endpoint" "url" "URL" -}}
{{- if and (hasKey $sink $key) (include "exporter.urlHasKey" (get $sink $key)) -}}
{{- include "exporter.lift" (dict "from" $sink "key" $key "variable" (printf "%s_%s" $prefix (upper $key)) "isTemplate" true "where" (printf "%s.%s.%s" $where $kind $key) "result" $result) -}}
{{- end -}}
{{- end -}}
{{- if $sink.hosts -}}
{{- $hosts := list -}}
{{- range $host, $url := kindIs "slice" $sink.hosts | ternary $sink.hosts (list $sink.hosts) -}}
{{- if include "exporter.urlHasKey" $url -}}
{{- $one := dict "url" $url -}}
{{- include "exporter.lift" (dict "from" $one "key" "url" "variable" (printf "%s_HOST_%d" $prefix $host) "isTemplate" true "where" (printf "%s.%s.hosts[%d]" $where $kind $host) "result" $result) -}}
{{- $url = $one.url -}}
{{- end -}}
{{- $hosts = append $hosts $url -}}
{{- end -}}
{{- $_ := set $sink "hosts" $hosts -}}
{{- end -}}
{{- if kindIs "map" $sink.headers -}}
{{- range $number, $header := keys $sink.headers | sortAlpha -}}
{{- if not (has (lower $header) (list "content-type" "accept" "user-agent")) -}}
{{- include "exporter.lift" (dict "from" $sink.headers "key" $header "variable" (printf "%s_HEADER_%d_%s" $prefix $number (regexReplaceAll "[^A-Z0-9]" (upper $header) "_")) "isTemplate" true "where" (printf "%s.%s.headers.%s" $where $kind $header) "result" $result) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $_ := unset $receiver "existingSecret" -}}
{{- end -}}

{{/* Whether something in a URL may be a key: a user, a query, or a long part of the path. */}}
{{- define "exporter.urlHasKey" -}}
{{- if regexMatch "(?i)^[a-z]+://([^/?]*@|.*[?]|[^/]*/(.*/)?[^/]{16})" (toString .) }}true{{ end -}}
{{- end -}}

{{/*
Moves one value into the Secret, unless it refers to the environment already or is a template, into which no variable may bring
the event. In a URL or a header, a credential beside those would stay visible: that is refused.
*/}}
{{- define "exporter.lift" -}}
{{- $value := get .from .key -}}
{{- $text := kindIs "string" $value | ternary $value (toJson $value) -}}
{{- $variable := "\\$[{][A-Za-z_][A-Za-z0-9_]*([}]|:-)" -}}
{{- $refers := regexMatch (printf "%s|^\\$[A-Za-z_][A-Za-z0-9_]*$" $variable) $text -}}
{{- if .isTemplate -}}
{{- $refers = or $refers (regexMatch "\\$[A-Z][A-Z0-9_]{2,}" $text) (contains "{{" $text) -}}
{{- if and $refers (regexMatch "(?i)^[a-z]+://[^/$]*:[^/$@]+@" $text) -}}
{{- fail (printf "\n\n%s: has a password beside a variable or a template, and would show it in the ConfigMap: give the password as a variable too, ${NAME}, from existingSecret" .where) -}}
{{- end -}}
{{- end -}}
{{- if not (or $refers (kindIs "invalid" $value) (eq $text "")) -}}
{{/* In a configuration, two dollars are one; what a variable or a file holds is taken as it is. */}}
{{- $secret := replace "$$" "$" $text -}}
{{- $fileKey := printf "%sFile" .key -}}
{{- if not .file -}}
{{- $_ := set .result.credentials .variable $secret -}}
{{- $_ := set .from .key (printf "${%s}" .variable) -}}
{{- else if get .from $fileKey -}}
{{- fail (printf "\n\n%s: give either this or %s" .where $fileKey) -}}
{{- else -}}
{{- $_ := set .result.files .file $secret -}}
{{- include "exporter.nameFile" . -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A file in place of a credential: from, key, directory, file */}}
{{- define "exporter.nameFile" -}}
{{- $_ := unset .from .key -}}
{{- $_ := set .from (printf "%sFile" .key) (printf "%s/%s" .directory .file) -}}
{{- end -}}

{{/* existingSecret of a receiver: {name, usernameKey, passwordKey, …} */}}
{{- define "exporter.referToSecret" -}}
{{- $sink := .sink -}}
{{- $result := .result -}}
{{- $where := .where -}}
{{- $prefix := .prefix -}}
{{- $kind := .kind -}}
{{- $files := .files -}}
{{- $directory := .directory -}}
{{- $allowed := list "name" -}}
{{- range concat (include "exporter.fileKeys" $kind | fromJsonArray) (get (dict "webhook" (list "endpoint") "loki" (list "url")) $kind | default list) }}{{- $allowed = append $allowed (printf "%sKey" .) }}{{- end -}}
{{- if not (kindIs "map" .existing) -}}{{- fail (printf "\n\n%s.existingSecret is no mapping: give name, the Secret's, and which of its keys are what: %s" $where (rest $allowed | join ", ")) -}}{{- end -}}
{{- if not .existing.name -}}{{- fail (printf "\n\n%s.existingSecret has no name: give the Secret's name, and which of its keys are what: %s" $where (rest $allowed | join ", ")) -}}{{- end -}}
{{- range $key, $value := .existing -}}
{{- if not (has $key $allowed) -}}{{- fail (printf "\n\n%s.existingSecret.%s: a receiver of type %s has no such key: known are %s" $where $key $kind (join ", " $allowed)) -}}{{- end -}}
{{- end -}}
{{- range $allowed := rest $allowed -}}
{{- with get $.existing $allowed -}}
{{- $key := trimSuffix "Key" $allowed -}}
{{- if hasKey $files $key -}}
{{- $file := get $files $key -}}
{{- include "exporter.nameFile" (dict "from" $sink "key" $key "directory" $directory "file" $file) -}}
{{- $_ := set $result "mounted" (append $result.mounted (dict "file" $file "secret" $.existing.name "key" .)) -}}
{{- else -}}
{{- $variable := printf "%s_%s" $prefix (snakecase $key | upper) -}}
{{- $_ := set $sink $key (printf "${%s}" $variable) -}}
{{- $_ := set $result "references" (append $result.references (dict "name" $variable "secret" $.existing.name "key" .)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Namespaces to watch, as JSON; none are all of them. */}}
{{- define "exporter.namespaces" -}}
{{- $namespaces := list -}}
{{- if not .Values.existingConfigMap -}}
{{- $config := (include "exporter.config" . | fromJson).config -}}
{{- with $config.namespace }}{{- $namespaces = append $namespaces (toString .) -}}{{- end -}}
{{- with $config.namespaces }}{{- range kindIs "slice" . | ternary . (list .) }}{{- $namespaces = append $namespaces (toString .) }}{{- end }}{{- end -}}
{{- range $namespaces -}}
{{- if and (contains "$" .) $.Values.rbac.create -}}{{- fail (printf "\n\nconfig.namespaces: %s can't be known here, and roles are made in namespaces: write the namespace, or make the roles yourself (rbac.create=false)" .) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson (uniq $namespaces) -}}
{{- end -}}

{{/* What names of metrics begin with. */}}
{{- define "exporter.metricsPrefix" -}}
{{- $prefix := "" -}}
{{- if not .Values.existingConfigMap }}{{- $prefix = (include "exporter.config" . | fromJson).config.metricsNamePrefix }}{{- end -}}
{{- default "event_exporter_" $prefix -}}
{{- end -}}
