#!/usr/bin/env bats
# The module on the command line: with gateway-lint's `run`, or with kwctl (`KWCTL=kwctl make e2e-tests`).
# Needs jq.

bats_require_minimum_version 1.5.0

KWCTL=${KWCTL:-target/debug/gateway-lint}
POLICY=${POLICY:-policy.wasm}
ISSUER_PATH='metadata.annotations[cert-manager.io/cluster-issuer]'

# evaluate REVIEW REPLAY [FLAG..]: runs the policy; its response is in $output.
evaluate() {
  local review=$1 replay=$2
  shift 2
  run --separate-stderr "$KWCTL" run "$POLICY" -r "test_data/reviews/$review.json" --allow-context-aware \
    --replay-host-capabilities-interactions "test_data/replays/$replay.yml" "$@"
  [ "$status" -eq 0 ] || { echo "$stderr" >&2; return 1; }
}

# responds FILTER EXPECTED: compares a part of the response, as compact JSON.
responds() {
  local actual expected
  actual=$(jq -cS "$1" <<<"$output")
  expected=$(jq -cS . <<<"$2")
  [ "$actual" = "$expected" ] || { printf '%s\nexpected: %s\nactual: %s\n' "$1" "$expected" "$actual" >&2; return 1; }
}

# The findings of the audit annotation, and the decoded patch.
findings() { responds '.auditAnnotations.findings | fromjson' "$1"; }
patch() { responds '.patch | @base64d | fromjson' "$1"; }

@test "a Gateway with a ready issuer is accepted" {
  evaluate gateway-api-v1-create ready
  responds .allowed true
  responds .patch null
  responds .warnings null
  findings '[]'
  responds .auditAnnotations.issuer '"Issuer.cert-manager.io/ca"'
  responds .auditAnnotations.secrets '"team-b/web-tls"'
}

@test "an issuer that does not exist is rejected, after a lookup of the other kind" {
  evaluate istio-v1-create absent
  responds .allowed false
  responds .status.code 422
  responds '.status.message | split("\n")[0]' "\"issuer-not-found: $ISSUER_PATH: there is no ClusterIssuer \\\"letsencrypt-production\\\". Correct the name, or create the issuer first (with dependsOn or a sync wave).\""
  findings "[{\"level\":\"reject\",\"path\":\"$ISSUER_PATH\",\"rule\":\"issuer-not-found\"}]"
}

@test "an issuer that is not ready is rejected after a fresh lookup, with its reason" {
  evaluate istio-v1-create not-ready
  responds .allowed false
  responds .status.code 422
  responds '.status.message | contains("ErrRegisterACMEAccount: Failed to register ACME account")' true
  findings "[{\"level\":\"reject\",\"path\":\"$ISSUER_PATH\",\"rule\":\"issuer-not-ready\"},
    {\"level\":\"warn\",\"path\":\"metadata.annotations[cert-manager.io/duration]\",\"rule\":\"acme-ignored\"},
    {\"level\":\"warn\",\"path\":\"spec.servers[1].hosts[0]\",\"rule\":\"acme-reachability\"}]"
}

@test "a lookup that RBAC forbids is rejected with code 500 and the right to grant" {
  evaluate gateway-api-v1-create forbidden
  responds .allowed false
  responds .status.code 500
  responds '.status.message | contains("grant get on issuers.cert-manager.io")' true
}

@test "an update that keeps a missing issuer is accepted with a warning" {
  evaluate istio-v1-update-label absent
  responds .allowed true
  responds '.warnings | length' 2
  findings "[{\"level\":\"warn\",\"path\":\"$ISSUER_PATH\",\"rule\":\"issuer-not-found\"}]"
}

@test "existing_violations: reject rejects that update" {
  evaluate istio-v1-update-label absent --settings-json '{"existing_violations": "reject"}'
  responds .status.code 422
}

@test "the level of a rule can be warn" {
  evaluate istio-v1-create absent --settings-json '{"rules": {"issuer-not-found": "warn"}}'
  responds .allowed true
  findings "[{\"level\":\"warn\",\"path\":\"$ISSUER_PATH\",\"rule\":\"issuer-not-found\"}]"
}

@test "a Gateway without an issuer gets the default issuer" {
  evaluate istio-v1beta1-create-unannotated none --settings-path test_data/settings-default-issuer.yml
  responds .allowed true
  patch '[{"op":"add","path":"/metadata/annotations/cert-manager.io~1cluster-issuer","value":"letsencrypt-production"}]'
}

@test "an annotated Gateway keeps its issuer, and role default checks nothing" {
  evaluate istio-v1-create none --settings-path test_data/settings-default-issuer.yml
  responds .allowed true
  responds .patch null
}

@test "a deletion, a status update and an unannotated Gateway are accepted without checks" {
  for review in istio-v1-delete gateway-api-v1-update-status gateway-api-v1beta1-create-unannotated; do
    evaluate "$review" none
    responds .allowed true
    responds .auditAnnotations null
  done
}

@test "invalid settings are rejected with all problems at once" {
  run --separate-stderr "$KWCTL" run "$POLICY" -r test_data/reviews/istio-v1-create.json --allow-context-aware \
    --replay-host-capabilities-interactions test_data/replays/none.yml --settings-json '{"role": "x", "tenant": []}'
  [ "$status" -ne 0 ]
  [[ "$stderr" == *'settings are not valid'* ]]
  [[ "$stderr" == *'role: "x" is not one of: both, default, validate'* ]]
  [[ "$stderr" == *'tenant: unknown setting'* ]]
}
