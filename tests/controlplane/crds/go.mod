module github.com/gateway-issuer-policy/gateway-issuer-policy/tests/controlplane/crds

go 1.24.0

require (
	github.com/cert-manager/cert-manager v1.21.2
	istio.io/api v1.31.1
	sigs.k8s.io/gateway-api v1.6.0
)
