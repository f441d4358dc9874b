{{/* What the exporter's pod and the test's have in common. */}}

{{/* Variables of the configuration: of the chart's Secret, of those that are there already, and what else is given. */}}
{{- define "exporter.environment" -}}
{{- $config := dict "credentials" dict "references" list -}}
{{- if not .Values.existingConfigMap }}{{- $config = include "exporter.config" . | fromJson }}{{- end -}}
{{- $variables := list -}}
{{- range $name := keys $config.credentials | sortAlpha -}}
{{- $variables = append $variables (dict "name" $name "valueFrom" (dict "secretKeyRef" (dict "name" (printf "%s-credentials" (include "exporter.fullname" $)) "key" $name))) -}}
{{- end -}}
{{- range $config.references -}}
{{- $variables = append $variables (dict "name" .name "valueFrom" (dict "secretKeyRef" (dict "name" .secret "key" .key))) -}}
{{- end -}}
{{- if or $variables .Values.extraEnvVars }}
env:
  {{- with $variables }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .Values.extraEnvVars }}
  {{- include "exporter.tpl" (list $ .) | nindent 2 }}
  {{- end }}
{{- end }}
{{- if or .Values.existingSecret .Values.extraEnvVarsCM .Values.extraEnvVarsSecret }}
envFrom:
  {{- with .Values.existingSecret }}
  - secretRef: {name: {{ quote . }}}
  {{- end }}
  {{- with .Values.extraEnvVarsCM }}
  - configMapRef: {name: {{ tpl . $ | quote }}}
  {{- end }}
  {{- with .Values.extraEnvVarsSecret }}
  - secretRef: {name: {{ tpl . $ | quote }}}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "exporter.imagePullSecrets" -}}
{{- with concat .Values.global.imagePullSecrets .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ kindIs "map" . | ternary (get (kindIs "map" . | ternary . dict) "name") . | quote }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* OpenShift chooses users and groups itself. */}}
{{- define "exporter.podSecurityContext" -}}
{{- $openshift := .Capabilities.APIVersions.Has "security.openshift.io/v1" -}}
{{- if .Values.podSecurityContext.enabled }}
securityContext:
  {{- omit .Values.podSecurityContext "enabled" (ternary "fsGroup" "" $openshift) | toYaml | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "exporter.containerSecurityContext" -}}
{{- $openshift := .Capabilities.APIVersions.Has "security.openshift.io/v1" -}}
{{- if .Values.containerSecurityContext.enabled }}
securityContext:
  {{- omit .Values.containerSecurityContext "enabled" (ternary "runAsUser" "" $openshift) (ternary "runAsGroup" "" $openshift) | toYaml | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Of the configuration, and of the files that it names if there are any. */}}
{{- define "exporter.volumes" -}}
- name: cfg
  configMap: {name: {{ default (include "exporter.fullname" .) (tpl (toString .Values.existingConfigMap) .) | quote }}}
{{- with include "exporter.credentialSources" . | fromJsonArray }}
- name: receiver-credentials
  projected:
    sources:
      {{- toYaml . | nindent 6 }}
{{- end }}
{{- end -}}

{{/* As directories: a file that is mounted by itself never changes. */}}
{{- define "exporter.volumeMounts" -}}
- {name: cfg, mountPath: {{ .Values.configMountPath }}, readOnly: true}
{{- if include "exporter.credentialSources" . | fromJsonArray }}
- {name: receiver-credentials, mountPath: {{ .Values.credentialsMountPath }}, readOnly: true}
{{- end }}
{{- end -}}

{{/* What the directory of credentials is made of, as JSON. The chart's own files come last: of two of one name, the last one is there. */}}
{{- define "exporter.credentialSources" -}}
{{- $sources := list -}}
{{- with .Values.existingSecret }}{{- $sources = append $sources (dict "secret" (dict "name" .)) }}{{- end -}}
{{- if not .Values.existingConfigMap -}}
{{- $config := include "exporter.config" . | fromJson -}}
{{- range $config.mounted -}}
{{- $sources = append $sources (dict "secret" (dict "name" .secret "items" (list (dict "key" .key "path" .file)))) -}}
{{- end -}}
{{- with $config.files -}}
{{- $items := list -}}
{{- range keys . | sortAlpha }}{{- $items = append $items (dict "key" . "path" .) }}{{- end -}}
{{- $sources = append $sources (dict "secret" (dict "name" (printf "%s-credentials" (include "exporter.fullname" $)) "items" $items)) -}}
{{- end -}}
{{- end -}}
{{- toJson $sources -}}
{{- end -}}
