{{/* What all pods of the chart may do: nothing that needs a right. */}}
{{- define "twi-data.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "twi-data.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* The Secret of the DSN and its key, of a `role`: the server's, or the tables' owner's. */}}
{{- define "twi-data.dsnSource" -}}
{{- $database := .root.Values.database -}}
{{- $owner := $database.owner -}}
{{- if and (eq .role "owner") $owner.existingSecret -}}
name: {{ $owner.existingSecret }}
key: {{ $owner.key }}
{{- else if $database.existingSecret -}}
name: {{ $database.existingSecret }}
key: {{ $database.key }}
{{- else -}}
name: {{ include "twi-data.fullname" .root }}-database
key: dsn
{{- end -}}
{{- end }}

{{/* Name and image of a container that has the database of a `role`, and the way to it. */}}
{{- define "twi-data.container" -}}
{{- $database := .root.Values.database -}}
image: {{ include "twi-data.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext: {{- include "twi-data.containerSecurity" .root | nindent 2 }}
env:
  {{- if eq $database.as "env" }}
  - name: TWI_DATA_DSN
    valueFrom:
      secretKeyRef: {{- include "twi-data.dsnSource" . | nindent 8 }}
  {{- else }}
  - {name: TWI_DATA_DSN_FILE, value: /etc/twi-data/{{ .role }}/dsn}
  {{- end }}
  {{- with .root.Values.extraEnv }}{{ toYaml . | nindent 2 }}{{ end }}
volumeMounts:
  {{- if eq $database.as "file" }}
  - {name: {{ .role }}, mountPath: /etc/twi-data/{{ .role }}, readOnly: true}
  {{- end }}
  {{- if $database.tlsSecret }}
  - {name: database-tls, mountPath: /etc/twi-data/database-tls, readOnly: true}
  {{- end }}
  {{- with .root.Values.extraVolumeMounts }}{{ toYaml . | nindent 2 }}{{ end }}
{{- end }}

{{/* The volumes of such containers, of one or several `roles`. Keys that libpq reads must be closed to others. */}}
{{- define "twi-data.volumes" -}}
{{- $root := .root -}}
{{- if eq .root.Values.database.as "file" }}
{{- range .roles }}
{{- $source := include "twi-data.dsnSource" (dict "root" $root "role" .) | fromYaml }}
- name: {{ . }}
  secret:
    secretName: {{ $source.name }}
    defaultMode: 0440
    items: [{key: {{ $source.key | quote }}, path: dsn}]
{{- end }}
{{- end }}
{{- with .root.Values.database.tlsSecret }}
- {name: database-tls, secret: {secretName: {{ . }}, defaultMode: 0440}}
{{- end }}
{{- with .root.Values.extraVolumes }}{{ toYaml . | nindent 0 }}{{ end }}
{{- end }}

{{/* Where pods may run. */}}
{{- define "twi-data.placement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* A pod that runs one command as the owner of the tables and ends. `prepare`: commands before it. */}}
{{- define "twi-data.commandPod" -}}
{{- $root := .root -}}
{{- $owner := dict "root" .root "role" "owner" -}}
metadata:
  labels:
    {{- include "twi-data.selector" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- include "twi-data.placement" .root | nindent 2 }}
  securityContext: {{- include "twi-data.podSecurity" .root | nindent 4 }}
  {{- with .prepare }}
  initContainers:
    {{- range . }}
    - name: {{ . | replace " " "-" }}
      args: {{ splitList " " . | toJson }}
      resources: {{- toYaml $root.Values.jobs.resources | nindent 8 }}
      {{- include "twi-data.container" $owner | nindent 6 }}
    {{- end }}
  {{- end }}
  containers:
    - name: {{ .component }}
      args: {{ splitList " " .command | toJson }}
      resources: {{- toYaml .root.Values.jobs.resources | nindent 8 }}
      {{- include "twi-data.container" $owner | nindent 6 }}
  volumes: {{- include "twi-data.volumes" (dict "root" .root "roles" (list "owner")) | nindent 4 }}
{{- end }}
