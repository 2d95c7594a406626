//! The annotations that cert-manager reads (`pkg/apis/certmanager/v1/types.go`).

/// Names an issuer; kind `Issuer` unless `issuer-kind` says otherwise.
pub const ISSUER: &str = "cert-manager.io/issuer";
/// Names a ClusterIssuer.
pub const CLUSTER_ISSUER: &str = "cert-manager.io/cluster-issuer";
/// The kind of the issuer that `issuer` names.
pub const ISSUER_KIND: &str = "cert-manager.io/issuer-kind";
/// The API group of the issuer that `issuer` names.
pub const ISSUER_GROUP: &str = "cert-manager.io/issuer-group";
