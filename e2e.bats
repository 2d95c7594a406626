#!/usr/bin/env bats
# The module on the command line: with kwctl where it is named (`KWCTL=kwctl make e2e-tests`), with
# gateway-lint's `run` elsewhere. Needs jq.

bats_require_minimum_version 1.5.0

KWCTL=${KWCTL:-target/debug/gateway-lint}
POLICY=${POLICY:-policy.wasm}
ISSUER_PATH='metadata.annotations[cert-manager.io/cluster-issuer]'

# judge REVIEW REPLAY [FLAG..]: runs the policy; its answer is in $output.
judge() {
  local review=$1 replay=$2
  shift 2
  run --separate-stderr "$KWCTL" run "$POLICY" -r "test_data/reviews/$review.json" --allow-context-aware \
    --replay-host-capabilities-interactions "test_data/replays/$replay.yml" "$@"
  [ "$status" -eq 0 ] || { echo "$stderr" >&2; return 1; }
}

# answers FILTER EXPECTED: compares a part of the answer, as compact JSON.
answers() {
  local actual expected
  actual=$(jq -cS "$1" <<<"$output")
  expected=$(jq -cS . <<<"$2")
  [ "$actual" = "$expected" ] || { printf '%s\nexpected: %s\nanswered: %s\n' "$1" "$expected" "$actual" >&2; return 1; }
}

# The findings of the audit annotation, and the decoded patch.
findings() { answers '.auditAnnotations.findings | fromjson' "$1"; }
patch() { answers '.patch | @base64d | fromjson' "$1"; }

@test "a Gateway whose issuer is ready is accepted" {
  judge gateway-api-v1-create ready
  answers .allowed true
  answers .patch null
  answers .warnings null
  findings '[]'
  answers .auditAnnotations.issuer '"Issuer.cert-manager.io/ca"'
  answers .auditAnnotations.secrets '"team-b/web-tls"'
}

@test "an issuer that does not exist is refused, and the other kind was looked for" {
  judge istio-v1-create absent
  answers .allowed false
  answers .status.code 422
  answers .status.message "\"issuer-not-found: $ISSUER_PATH: there is no ClusterIssuer \\\"letsencrypt-production\\\". Correct the name, or create it first (if both come with one apply: dependsOn or a sync wave).\""
  findings "[{\"level\":\"reject\",\"path\":\"$ISSUER_PATH\",\"rule\":\"issuer-not-found\"}]"
}

@test "an issuer that is not ready is refused after a fresh lookup, with its reason" {
  judge istio-v1-create not-ready
  answers .allowed false
  answers .status.code 422
  answers '.status.message | contains("ErrRegisterACMEAccount: Failed to register ACME account")' true
  findings "[{\"level\":\"reject\",\"path\":\"$ISSUER_PATH\",\"rule\":\"issuer-not-ready\"},
    {\"level\":\"warn\",\"path\":\"metadata.annotations[cert-manager.io/duration]\",\"rule\":\"acme-ignored\"},
    {\"level\":\"warn\",\"path\":\"spec.servers[1].hosts[0]\",\"rule\":\"acme-reachability\"}]"
}

@test "a lookup that RBAC forbids is refused with code 500 and what to grant" {
  judge gateway-api-v1-create forbidden
  answers .allowed false
  answers .status.code 500
  answers '.status.message | contains("grant get on issuers.cert-manager.io")' true
}

@test "an update that keeps a missing issuer goes through with a warning" {
  judge istio-v1-update-label absent
  answers .allowed true
  answers '.warnings | length' 2
  findings "[{\"level\":\"warn\",\"path\":\"$ISSUER_PATH\",\"rule\":\"issuer-not-found\"}]"
}

@test "existing_violations: reject refuses that update" {
  judge istio-v1-update-label absent --settings-json '{"existing_violations": "reject"}'
  answers .status.code 422
}

@test "a rule can be a warning" {
  judge istio-v1-create absent --settings-json '{"rules": {"issuer-not-found": "warn"}}'
  answers .allowed true
  findings "[{\"level\":\"warn\",\"path\":\"$ISSUER_PATH\",\"rule\":\"issuer-not-found\"}]"
}

@test "a Gateway without issuer gets the default one" {
  judge istio-v1beta1-create-unannotated none --settings-path test_data/settings-default-issuer.yml
  answers .allowed true
  patch '[{"op":"add","path":"/metadata/annotations/cert-manager.io~1cluster-issuer","value":"letsencrypt-production"}]'
}

@test "an annotated Gateway keeps its issuer, and role default judges nothing" {
  judge istio-v1-create none --settings-path test_data/settings-default-issuer.yml
  answers .allowed true
  answers .patch null
}

@test "a deletion, a status and an unannotated Gateway are left alone" {
  for review in istio-v1-delete gateway-api-v1-update-status gateway-api-v1beta1-create-unannotated; do
    judge "$review" none
    answers .allowed true
    answers .auditAnnotations null
  done
}

@test "settings that are wrong are refused, all problems at once" {
  run --separate-stderr "$KWCTL" run "$POLICY" -r test_data/reviews/istio-v1-create.json --allow-context-aware \
    --replay-host-capabilities-interactions test_data/replays/none.yml --settings-json '{"role": "x", "tenant": []}'
  [ "$status" -ne 0 ]
  [[ "$stderr" == *'settings are not valid'* ]]
  [[ "$stderr" == *'role: "x" is none of both, default, validate'* ]]
  [[ "$stderr" == *'tenant: unknown setting'* ]]
}
