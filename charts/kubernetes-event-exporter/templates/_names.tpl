{{- define "exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | toString | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* As every chart has it, so that names of releases made with another chart stay. */}}
{{- define "exporter.fullname" -}}
{{- $name := include "exporter.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | toString | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Of what is outside of namespaces, where two releases of one name may meet. Names of roles may have 253 characters. */}}
{{- define "exporter.clusterName" -}}
{{- printf "%s-%s" (include "exporter.fullname" .) (include "exporter.namespace" .) -}}
{{- end -}}

{{- define "exporter.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride | toString -}}
{{- end -}}

{{/* As values of Bitnami's chart call it, in whose library it comes to the same. */}}
{{- define "common.names.namespace" -}}
{{- include "exporter.namespace" . -}}
{{- end -}}

{{- define "exporter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "exporter.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* What a selector can't change later: nothing that is a matter of taste is in it. */}}
{{- define "exporter.selectorLabels" -}}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/name: {{ include "exporter.name" . | quote }}
{{- end -}}

{{- define "exporter.labels" -}}
{{- $own := dict "app.kubernetes.io/managed-by" .Release.Service "app.kubernetes.io/version" (.Chart.AppVersion | toString) "helm.sh/chart" (printf "%s-%s" .Chart.Name (replace "+" "_" .Chart.Version)) -}}
{{- $common := include "exporter.tpl" (list . .Values.commonLabels) | fromYaml -}}
{{- toYaml (mergeOverwrite $own $common (include "exporter.selectorLabels" . | fromYaml)) -}}
{{- end -}}

{{/* metadata of everything: (list . "name" annotations labels), the last two optional. */}}
{{- define "exporter.metadata" -}}
{{- $root := index . 0 -}}
{{- $given := concat . (list dict dict) -}}
{{- $annotations := mergeOverwrite (deepCopy $root.Values.commonAnnotations) (index $given 2) -}}
{{- $labels := mergeOverwrite (include "exporter.tpl" (list $root (index $given 3)) | fromYaml) (include "exporter.labels" $root | fromYaml) -}}
name: {{ index . 1 | quote }}
labels:
  {{- toYaml $labels | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- include "exporter.tpl" (list $root .) | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* Whether the repository is Bitnami's, which holds the incumbent: values in the wild name it. */}}
{{- define "exporter.isBitnami" -}}
{{- if regexMatch "^([a-z0-9.-]+/)?bitnami(legacy|secure)?/" .Values.image.repository }}true{{ end -}}
{{- end -}}

{{- define "exporter.image" -}}
{{- $image := .Values.image -}}
{{- $registry := $image.registry -}}
{{- $repository := $image.repository -}}
{{- $tag := toString $image.tag -}}
{{- $digest := $image.digest -}}
{{- if include "exporter.isBitnami" . -}}
{{- $repository = .Chart.Name -}}
{{- $tag = "" -}}
{{- $digest = "" -}}
{{/* Bitnami's place, but for a mirror's. */}}
{{- if eq $registry "docker.io" }}{{- $registry = "" }}{{- end -}}
{{- else if contains "-debian-" $tag -}}
{{- $tag = "" -}}
{{- end -}}
{{- $registry = default $registry .Values.global.imageRegistry -}}
{{- $name := ternary $repository (printf "%s/%s" $registry $repository) (empty $registry) -}}
{{- if $digest -}}
{{- printf "%s@%s" $name $digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .Chart.AppVersion $tag | toString) -}}
{{- end -}}
{{- end -}}

{{/* A map, a list, or a text, through tpl: (list . value) */}}
{{- define "exporter.tpl" -}}
{{- $value := index . 1 -}}
{{- tpl (kindIs "string" $value | ternary $value (toYaml $value)) (index . 0) -}}
{{- end -}}
