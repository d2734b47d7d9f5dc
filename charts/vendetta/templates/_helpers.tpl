{{/* Names. A Service called vendetta-coord would set VENDETTA_COORD_PORT in every pod of its namespace. */}}
{{- define "vendetta.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "vendetta.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $release := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- $full := .Values.fullnameOverride | default $release -}}
{{- eq $full "vendetta-coord" | ternary "vendetta-coord-server" $full | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "vendetta.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "vendetta.fullname" .) "default") -}}
{{- end -}}

{{- define "vendetta.secretName" -}}
{{- .Values.auth.existingSecret | default (printf "%s-auth" (include "vendetta.fullname" .)) -}}
{{- end -}}

{{- define "vendetta.claimName" -}}
{{- .Values.store.sqlite.persistence.existingClaim | default (printf "%s-data" (include "vendetta.fullname" .)) -}}
{{- end -}}

{{- define "vendetta.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository $tag -}}
{{- end -}}
{{- end -}}

{{/* Labels. What selects must never change. */}}
{{- define "vendetta.selectorLabels" -}}
app.kubernetes.io/name: {{ include "vendetta.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "vendetta.labels" -}}
{{ include "vendetta.selectorLabels" . }}
{{ include "vendetta.commonLabels" . }}
{{- end -}}

{{- define "vendetta.commonLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Whether the file of the store is on a volume that only one pod may use. */}}
{{- define "vendetta.isSqlite" -}}
{{- eq .Values.store.type "sqlite" | ternary "true" "" -}}
{{- end -}}

{{/* Origins for a server without authentication, which answers only to names that it knows for its own. */}}
{{- define "vendetta.origins" -}}
{{- $name := include "vendetta.fullname" . -}}
{{- $origins := dig "websocket" "origins" (list "*") .Values.config -}}
{{- range list "localhost" "127.0.0.1" $name (printf "%s.%s" $name .Release.Namespace) (printf "%s.%s.svc" $name .Release.Namespace) (printf "%s.%s.svc.cluster.local" $name .Release.Namespace) -}}
{{- $origins = append $origins (printf "http://%s:%v" . $.Values.service.port) -}}
{{- end -}}
{{- $outside := .Values.httpRoute.enabled | ternary .Values.httpRoute.hostnames list -}}
{{- if .Values.ingress.enabled -}}
{{- range .Values.ingress.hosts }}{{ $outside = append $outside .host }}{{ end -}}
{{- end -}}
{{- range $outside -}}
{{- $origins = concat $origins (list (printf "http://%s" .) (printf "https://%s" .)) -}}
{{- end -}}
{{- uniq $origins | toYaml -}}
{{- end -}}

{{/* The server's configuration: the values' own, under what this chart decides. */}}
{{- define "vendetta.config" -}}
{{- $registry := dict "provider" .Values.store.type -}}
{{- if include "vendetta.isSqlite" . -}}
{{- $_ := set $registry "dsn" "/var/lib/vendetta/vendetta.db" -}}
{{- end -}}
{{- $transports := dict "credentials_dir" "/etc/vendetta/credentials" -}}
{{- if .Values.ssh.knownHostsSecret -}}
{{- $_ := set $transports "known_hosts" "/etc/vendetta/known-hosts/known_hosts" -}}
{{- end -}}
{{- $decided := dict
  "server" (dict "host" "0.0.0.0" "port" 3001 "trusted_proxies" .Values.trustedProxies)
  "registry" $registry
  "auth" (dict "enabled" .Values.auth.enabled "allow_insecure_remote" .Values.auth.allowInsecureRemote)
  "logging" (dict "output" "stdout")
  "transports" $transports
  "sources" (dict "manifests" "/etc/vendetta/nodes")
  "metrics" (dict "public" .Values.metrics.public)
-}}
{{- if not .Values.auth.enabled -}}
{{- $_ := set $decided "websocket" (dict "origins" (include "vendetta.origins" . | fromYamlArray)) -}}
{{- end -}}
{{- mergeOverwrite (deepCopy .Values.config) $decided | toYaml -}}
{{- end -}}

{{/* A random value that is there from before, or a new one: (dict "root" $ "key" "jwt-secret"). */}}
{{- define "vendetta.keptSecret" -}}
{{- $there := lookup "v1" "Secret" .root.Release.Namespace (include "vendetta.secretName" .root) -}}
{{- $data := $there | default dict | dig "data" dict -}}
{{- get $data .key | default (randAlphaNum 64 | b64enc) -}}
{{- end -}}

{{/* Endpoint of a ServiceMonitor or PodMonitor: (dict "root" $ "monitor" …). */}}
{{- define "vendetta.endpoint" -}}
{{- if not (or .root.Values.metrics.public .root.Values.metrics.tokenSecret.name (not .root.Values.auth.enabled)) -}}
{{- fail "Prometheus needs a token: name a Secret with one in metrics.tokenSecret (role viewer), or set metrics.public" -}}
{{- end -}}
port: http
path: /metrics/prometheus
interval: {{ .monitor.interval }}
scrapeTimeout: {{ .monitor.scrapeTimeout }}
{{- with .root.Values.metrics.tokenSecret }}
{{- if .name }}
authorization:
  credentials: {name: {{ .name }}, key: {{ .key }}}
{{- end }}
{{- end }}
{{- with .monitor.relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .monitor.metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
