#!/bin/sh
# Look at the chart: lint, its own tests, the rules with theirs, and every file in ci/ against the schemas of
# two Kubernetes versions. Without network once hack/tools.sh has run.
set -eu
cd "$(dirname "$0")/.."
hack/tools.sh
chart=charts/vendetta
PATH=$PWD/.venv/bin:$PATH
rendered=$(mktemp -d)
trap 'rm -rf "$rendered"' EXIT

promtool check rules "$chart/files/rules.yaml"
promtool test rules "$chart"/tests/promtool/*.yaml
helm lint --strict --quiet "$chart"
helm-unittest --strict "$chart"
for values in "$chart"/ci/*-values.yaml; do
    helm lint --strict --quiet "$chart" --values "$values"
    helm template release "$chart" --namespace somewhere --values "$values" >"$rendered/$(basename "$values")"
done
for schemas in .venv/schemas/v*; do
    echo "==> Kubernetes ${schemas##*/v}"
    kubeconform -strict -summary -kubernetes-version "${schemas##*/v}" \
        -schema-location "$schemas/{{.ResourceKind}}{{.KindSuffix}}.json" \
        -schema-location 'hack/schemas/{{.ResourceKind}}{{.KindSuffix}}.json' "$rendered"
done
