{{/*
The API server's own filter, in CEL: which objects ask for GPUs. Each expression is total: a field that is missing, null
or of another type makes it false, never an error, since with failurePolicy Fail an error would refuse the object.

Every place is reached by 'name' in X, which takes any name, and every value is tested for its type before it is entered.
[X].exists(v, ...) gives X a name, for want of anything better.
*/}}

{{/*
The resources that count GPUs, as a JSON list: the one value that CEL and the configuration file are made from.
*/}}
{{- define "gpu-capgate.resources" -}}
{{- concat (list .Values.agent.resource) (default list .Values.webhook.gpuResources) | uniq | toJson }}
{{- end }}

{{/*
Whether r names a GPU: a resource, its .shared form, or a MIG resource of its domain.
*/}}
{{- define "gpu-capgate.cel.isGpu" -}}
{{- $names := list }}{{- $domains := list }}
{{- range include "gpu-capgate.resources" . | fromJsonArray }}
{{- $names = concat $names (list (printf "'%s'" .) (printf "'%s.shared'" .)) }}
{{- $domains = append $domains (printf "r.startsWith('%s/mig-')" (splitList "/" . | first)) }}
{{- end -}}
(r in [{{ join ", " $names }}] || {{ uniq $domains | join " || " }})
{{- end }}

{{/*
Whether the container at .at asks for GPUs; its resources are in the field .resources. A template has no requests made
from limits, so both count; an amount of 0 asks for nothing.
*/}}
{{- define "gpu-capgate.cel.container" -}}
('{{ .resources }}' in {{ .at }} && [{{ .at }}['{{ .resources }}']].exists(q, type(q) == map && ['limits', 'requests'].exists(f, f in q && type(q[f]) == map
&& q[f].exists(r, {{ include "gpu-capgate.cel.isGpu" .root }} && q[f][r] != '0' && q[f][r] != 0))))
{{- if .root.Values.webhook.match.implicit }}
|| ('env' in {{ .at }} && type({{ .at }}['env']) == list && {{ .at }}['env'].exists(e, type(e) == map && 'name' in e && e['name'] == 'NVIDIA_VISIBLE_DEVICES'))
{{- end }}
{{- end }}

{{/*
Whether one of the elements or fields that .steps lead to from .at asks for GPUs. `name` is a field, `name[]` the elements
of a list, `*` the values of a mapping.
*/}}
{{- define "gpu-capgate.cel.walk" -}}
{{- $at := .at }}
{{- if not .steps -}}
[{{ $at }}].exists(s{{ .depth }}, {{ include .leaf (set (deepCopy (omit . "root")) "at" (printf "s%d" (int .depth)) | merge (dict "root" .root)) }})
{{- else -}}
{{- $step := first .steps }}
{{- $next := printf "v%d" (int .depth) }}
{{- $inner := dict "steps" (rest .steps) "depth" (add1 .depth) "leaf" .leaf "root" .root "resources" .resources "containers" .containers }}
{{- if eq $step "*" -}}
{{ $at }}.exists(k{{ .depth }}, type({{ $at }}[k{{ .depth }}]) == map && {{ include "gpu-capgate.cel.walk" (set $inner "at" (printf "%s[k%d]" $at (int .depth))) }})
{{- else if hasSuffix "[]" $step -}}
{{- $list := printf "%s['%s']" $at (trimSuffix "[]" $step) -}}
'{{ trimSuffix "[]" $step }}' in {{ $at }} && type({{ $list }}) == list && {{ $list }}.exists({{ $next }}, type({{ $next }}) == map && {{ include "gpu-capgate.cel.walk" (set $inner "at" $next) }})
{{- else -}}
{{- $field := printf "%s['%s']" $at $step -}}
'{{ $step }}' in {{ $at }} && type({{ $field }}) == map && {{ include "gpu-capgate.cel.walk" (set $inner "at" $field) }}
{{- end }}
{{- end }}
{{- end }}

{{/*
Whether the Pod specification at .at asks for GPUs. Containers stand where .containers says; those in plain fields and in
plain lists are asked about together, which keeps the expression short.
*/}}
{{- define "gpu-capgate.cel.pod" -}}
{{- $at := .at }}{{- $root := .root }}{{- $depth := .depth }}
{{- $resources := default "resources" .containers.resources }}
{{- $fields := list }}{{- $lists := list }}{{- $asks := list }}
{{- range concat (default (list "containers[]") .containers.main) (default (list "initContainers[]") .containers.init) }}
{{- if contains "." . }}
{{- $walk := dict "at" $at "steps" (splitList "." .) "depth" $depth "leaf" "gpu-capgate.cel.container" "root" $root "resources" $resources "containers" dict }}
{{- $asks = append $asks (printf "(%s)" (include "gpu-capgate.cel.walk" $walk)) }}
{{- else if hasSuffix "[]" . }}
{{- $lists = append $lists (printf "'%s'" (trimSuffix "[]" .)) }}
{{- else }}
{{- $fields = append $fields (printf "'%s'" .) }}
{{- end }}
{{- end }}
{{- with $lists }}
{{- $container := include "gpu-capgate.cel.container" (dict "at" "c" "resources" $resources "root" $root) }}
{{- $asks = append $asks (printf "[%s].exists(l, l in %s && type(%s[l]) == list && %s[l].exists(c, type(c) == map && (%s)))" (join ", " .) $at $at $at $container) }}
{{- end }}
{{- with $fields }}
{{- $container := include "gpu-capgate.cel.container" (dict "at" (printf "%s[n]" $at) "resources" $resources "root" $root) }}
{{- $asks = append $asks (printf "[%s].exists(n, n in %s && type(%s[n]) == map && (%s))" (join ", " .) $at $at $container) }}
{{- end }}
{{- /* Resources of the Pod as a whole. */}}
{{- $asks = append $asks (include "gpu-capgate.cel.container" (dict "at" $at "resources" "resources" "root" $root)) }}
{{- if $root.Values.webhook.match.resourceClaims }}
{{- $asks = append $asks (printf "('resourceClaims' in %s && type(%s['resourceClaims']) == list && %s['resourceClaims'].size() > 0)" $at $at $at) }}
{{- end }}
{{- if $root.Values.webhook.match.implicit }}
{{- $asks = append $asks (printf "('runtimeClassName' in %s && %s['runtimeClassName'] in ['nvidia', 'nvidia-cdi', 'nvidia-legacy'])" $at $at) }}
{{- end }}
{{- join "\n|| " $asks }}
{{- end }}

{{/*
Whether an object of a kind asks for GPUs anywhere in its templates. Call with (list . ENTRY), an entry of
files/workloads.yaml.
*/}}
{{- define "gpu-capgate.cel.object" -}}
{{- $root := first . }}{{- $asks := list }}
{{- range (last .).template }}
{{- $steps := splitList "." .path }}
{{- if eq .shape "template" }}{{- $steps = append $steps "spec" }}{{- end }}
{{- $walk := dict "at" "object" "steps" $steps "depth" 0 "leaf" "gpu-capgate.cel.pod" "root" $root "resources" "" "containers" (default dict .containers) }}
{{- $asks = append $asks (printf "(%s)" (include "gpu-capgate.cel.walk" $walk)) }}
{{- end }}
{{- join "\n|| " $asks }}
{{- end }}

{{/*
The kinds that are reviewed, as a JSON list of entries of the form of files/workloads.yaml: Pods always, those of the chosen
groups, and those that an operator adds.
*/}}
{{- define "gpu-capgate.workloads" -}}
{{- $chosen := list }}
{{- $groups := default list .Values.webhook.workloads.groups }}
{{- range .Files.Get "files/workloads.yaml" | fromYamlArray }}
{{- if or (has "Pod" .kinds) (has .group $groups) }}{{- $chosen = append $chosen . }}{{- end }}
{{- end }}
{{- concat $chosen (default list .Values.webhook.workloads.extra) | toJson }}
{{- end }}
