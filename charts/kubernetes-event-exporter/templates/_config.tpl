{{/*
The configuration as it is written into the ConfigMap, and what must not be in it. As JSON, of which numbers come back as they
were:
  config       the configuration
  credentials  what goes into the chart's own Secret, by the name of the environment variable that stands for it in config
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
{{- $result := dict "config" $config "credentials" dict "references" list -}}
{{- $names := list -}}
{{- range $at, $receiver := $config.receivers -}}
{{- $where := printf "config.receivers[%d]" $at -}}
{{- if not (kindIs "map" $receiver) -}}{{- fail (printf "\n\n%s is no mapping: it needs a name and a type, such as opensearch" $where) -}}{{- end -}}
{{- if not $receiver.name -}}
{{- fail (printf "\n\n%s has no name: a rule delivers to a receiver by its name. If its other keys came by --set, give the rest of config in a values file (-f); --set alone replaces the whole list. Otherwise: --set %s.name=…" $where $where) -}}
{{- end -}}
{{- $name := toString $receiver.name -}}
{{- if has $name $names -}}{{- fail (printf "\n\n%s: another receiver is named %q as well: each needs a name of its own" $where $name) -}}{{- end -}}
{{- $names = append $names $name -}}
{{- include "exporter.liftReceiver" (dict "receiver" $receiver "at" $at "where" $where "result" $result) -}}
{{- end -}}
{{- if not $config.route -}}{{- fail "\n\nconfig.route is missing: no event would go anywhere. For all of them: config.route.match[0].receiver=NAME" -}}{{- end -}}
{{- include "exporter.checkRoute" (dict "route" $config.route "where" "config.route" "names" $names) -}}
{{- if and (gt (int .Values.replicaCount) 1) -}}
{{- fail "\n\nreplicaCount: there is no leader election yet, and each replica would deliver every event: run one (--set replicaCount=1)" -}}
{{- end -}}
{{- toJson $result -}}
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

{{/* Moves the credentials of one receiver out of it. */}}
{{- define "exporter.liftReceiver" -}}
{{- $result := .result -}}
{{- $at := .at -}}
{{- $where := .where -}}
{{- $receiver := .receiver -}}
{{- range $kind, $sink := omit $receiver "name" "batch" "queue" "retry" "deadLetter" "existingSecret" -}}
{{- if kindIs "map" $sink -}}
{{- $prefix := printf "RECEIVER_%d_%s" $at (upper $kind) -}}
{{- with $receiver.existingSecret -}}
{{- include "exporter.referToSecret" (dict "existing" . "sink" $sink "prefix" $prefix "where" $where "result" $result) -}}
{{- end -}}
{{- $keys := list "username" "password" "apiKey" "bearerToken" "token" -}}
{{- if eq $kind "slack" }}{{- $keys = append $keys "webhook" -}}{{- end -}}
{{- if eq $kind "teams" }}{{- $keys = append $keys "endpoint" -}}{{- end -}}
{{- range $key := $keys -}}
{{- if hasKey $sink $key -}}
{{- include "exporter.lift" (dict "from" $sink "key" $key "variable" (printf "%s_%s" $prefix (snakecase $key | upper)) "result" $result) -}}
{{- end -}}
{{- end -}}
{{/* A URL may have a user in it. */}}
{{- range $key := list "endpoint" "url" -}}
{{- if and (hasKey $sink $key) (regexMatch "^[a-z]+://[^/]*@" (toString (get $sink $key))) -}}
{{- include "exporter.lift" (dict "from" $sink "key" $key "variable" (printf "%s_%s" $prefix (upper $key)) "isTemplate" true "result" $result) -}}
{{- end -}}
{{- end -}}
{{- if $sink.hosts -}}
{{- $hosts := list -}}
{{- range $host, $url := kindIs "slice" $sink.hosts | ternary $sink.hosts (list $sink.hosts) -}}
{{- if regexMatch "^[a-z]+://[^/]*@" (toString $url) -}}
{{- $one := dict "url" $url -}}
{{- include "exporter.lift" (dict "from" $one "key" "url" "variable" (printf "%s_HOST_%d" $prefix $host) "result" $result) -}}
{{- $url = $one.url -}}
{{- end -}}
{{- $hosts = append $hosts $url -}}
{{- end -}}
{{- $_ := set $sink "hosts" $hosts -}}
{{- end -}}
{{- if kindIs "map" $sink.headers -}}
{{- range $header := keys $sink.headers | sortAlpha -}}
{{- if not (has (lower $header) (list "content-type" "accept" "user-agent")) -}}
{{- include "exporter.lift" (dict "from" $sink.headers "key" $header "variable" (printf "%s_HEADER_%s" $prefix (regexReplaceAll "[^A-Z0-9]" (upper $header) "_")) "isTemplate" true "result" $result) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $_ := unset $receiver "existingSecret" -}}
{{- end -}}

{{/* Moves one value into the Secret, unless it refers to the environment already or is a template that is made of the event. */}}
{{- define "exporter.lift" -}}
{{- $value := get .from .key -}}
{{- $text := kindIs "string" $value | ternary $value (toJson $value) -}}
{{- $refers := regexMatch "\\$\\{[A-Za-z_]|^\\$[A-Za-z_][A-Za-z0-9_]*$" $text -}}
{{- if not (or $refers (and .isTemplate (contains "{{" $text)) (kindIs "invalid" $value) (eq $text "")) -}}
{{- $_ := set .result.credentials .variable $text -}}
{{- $_ := set .from .key (printf "${%s}" .variable) -}}
{{- end -}}
{{- end -}}

{{/* existingSecret of a receiver: {name, usernameKey, passwordKey, …} */}}
{{- define "exporter.referToSecret" -}}
{{- $existing := .existing -}}
{{- $sink := .sink -}}
{{- $prefix := .prefix -}}
{{- $result := .result -}}
{{- if not $existing.name -}}{{- fail (printf "\n\n%s.existingSecret has no name: give the Secret's name, and which of its keys are what: usernameKey, passwordKey, apiKeyKey, bearerTokenKey, tokenKey, webhookKey" .where) -}}{{- end -}}
{{- range $key := list "username" "password" "apiKey" "bearerToken" "token" "webhook" -}}
{{- with get $existing (printf "%sKey" $key) -}}
{{- $variable := printf "%s_%s" $prefix (snakecase $key | upper) -}}
{{- $_ := set $sink $key (printf "${%s}" $variable) -}}
{{- $_ := set $result "references" (append $result.references (dict "name" $variable "secret" $existing.name "key" .)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Namespaces to watch, as JSON; none are all of them. */}}
{{- define "exporter.namespaces" -}}
{{- $config := (include "exporter.config" . | fromJson).config -}}
{{- $namespaces := list -}}
{{- with $config.namespace }}{{- $namespaces = append $namespaces (toString .) -}}{{- end -}}
{{- with $config.namespaces }}{{- $namespaces = concat $namespaces (kindIs "slice" . | ternary . (list .)) -}}{{- end -}}
{{- toJson (uniq $namespaces) -}}
{{- end -}}
