{{- define "twi-data.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Cut so that the longest suffix, that of a CronJob and of its Jobs, has room in 63 characters. */}}
{{- define "twi-data.fullname" -}}
{{- $name := include "twi-data.name" . -}}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{ .Values.fullnameOverride | default $full | trunc 38 | trimSuffix "-" }}
{{- end }}

{{- define "twi-data.selector" -}}
app.kubernetes.io/name: {{ include "twi-data.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "twi-data.labels" -}}
{{ include "twi-data.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "twi-data.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "twi-data.fullname" .) "default") }}
{{- end }}

{{- define "twi-data.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{/* The most pods there are at a time, but for those that a rollout adds. */}}
{{- define "twi-data.pods" -}}
{{ .Values.autoscaling.enabled | ternary .Values.autoscaling.maxReplicas .Values.replicas }}
{{- end }}
