{{/*
Prefix of all names: the release's name, and the chart's unless the release is named after it.
52 characters leave room for the longest suffix (-webhook-ca) within the 63 of a DNS label.
*/}}
{{- define "gpu-capgate.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $full .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- end }}

{{/*
Labels that select a component's Pods; they can never change. Call with (list . COMPONENT).
*/}}
{{- define "gpu-capgate.selectorLabels" -}}
{{- $root := first . -}}
app.kubernetes.io/name: {{ default $root.Chart.Name $root.Values.nameOverride }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end }}

{{/*
Labels of a component's Pods. Call with (list . COMPONENT).
*/}}
{{- define "gpu-capgate.podLabels" -}}
{{- include "gpu-capgate.selectorLabels" . }}
{{- with (first .).Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
Labels of a component's objects. Call with (list . COMPONENT).
*/}}
{{- define "gpu-capgate.labels" -}}
{{- $root := first . -}}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: gpu-capgate
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
{{ include "gpu-capgate.podLabels" . }}
{{- end }}

{{/*
Reference of the image, by digest where there is one.
*/}}
{{- define "gpu-capgate.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{/*
What every container of ours gives up.
*/}}
{{- define "gpu-capgate.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/*
Probes of a container that has a port named health.
*/}}
{{- define "gpu-capgate.probes" -}}
livenessProbe:
  httpGet:
    path: /livez
    port: health
  periodSeconds: 10
  failureThreshold: 6
readinessProbe:
  httpGet:
    path: /readyz
    port: health
  periodSeconds: 5
  failureThreshold: 2
{{- end }}

{{/*
What both components' Pods have in common: access to the API server, the image's secrets, and where they may run.
Call with (list . COMPONENT'S-VALUES).
*/}}
{{- define "gpu-capgate.pod" -}}
automountServiceAccountToken: true
enableServiceLinks: false
{{- with (first .).Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with last . }}
priorityClassName: {{ .priorityClassName | quote }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/*
Which Namespaces the API server asks about: not the release's own and those that are excluded, and none in one of the modes
that need no asking. Call with (list . MODES).
*/}}
{{- define "gpu-capgate.namespaceSelector" -}}
{{- $root := first . -}}
matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: NotIn
    values: {{- concat (list "kube-system" $root.Release.Namespace) (default list $root.Values.webhook.excludeNamespaces) | uniq | toYaml | nindent 6 }}
  {{- if $root.Values.webhook.config.namespaceModes }}
  - key: gpu-capgate.io/mode
    operator: NotIn
    values: {{ last . | toJson }}
  {{- end }}
{{- end }}
