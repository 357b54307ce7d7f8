{{/* What the schema cannot say of values that belong together. */}}
{{- define "twi-data.checks" -}}
{{- with .Values -}}
{{- $database := .database -}}
{{- if not (or $database.existingSecret $database.dsn) -}}
{{- fail "which database? Set database.existingSecret to a Secret with a connection string, or database.dsn" -}}
{{- end -}}
{{- if and $database.existingSecret $database.dsn -}}
{{- fail "database.existingSecret and database.dsn name two databases: set one of them" -}}
{{- end -}}
{{- $ways := compact (list .access.existingSecret .access.text (.access.insecure | ternary "insecure" "")) -}}
{{- if ne (len $ways) 1 -}}
{{- fail "who may call? Set one of access.existingSecret, access.text and access.insecure" -}}
{{- end -}}
{{- if and .tls.clientCaSecret (or .access.insecure (not .tls.existingSecret)) -}}
{{- fail "tls.clientCaSecret: only with tls.existingSecret, and with an access file, which says whose the certificates are" -}}
{{- end -}}
{{- if and (eq .migrations.mode "job") (not (or $database.existingSecret $database.owner.existingSecret)) -}}
{{- fail "migrations.mode=job runs before the chart's own Secret is there: set database.existingSecret" -}}
{{- end -}}
{{- if and .autoscaling.enabled (gt (int .autoscaling.minReplicas) (int .autoscaling.maxReplicas)) -}}
{{- fail "autoscaling.minReplicas is above autoscaling.maxReplicas" -}}
{{- end -}}
{{- end -}}
{{- end }}
