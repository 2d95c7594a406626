//! How to reach the API server: the kubeconfig or the ServiceAccount, proxies, timeouts, and the clients.

use std::path::Path;
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use kube::client::ClientBuilder;
use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use crate::leader::{self, Leadership};
use crate::metrics::{self, Metrics};

/// The timeout of connecting to the API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The reason why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig does not exist or is not valid.
    #[error("{name}: {source}")]
    Kubeconfig {
        /// The path of the file, as given, or the environment variable.
        name: String,
        /// The reason.
        source: KubeconfigError,
    },
    /// There is no ServiceAccount.
    #[error("not running in a Pod with a ServiceAccount ({0}); pass --kubeconfig FILE")]
    NoPod(#[source] InClusterError),
    /// The client cannot be created.
    #[error("cannot connect to the cluster: {0}")]
    Client(#[source] kube::Error),
}

/// The configuration of clients: from a kubeconfig, else from the one in the environment variable
/// KUBECONFIG, else from the Pod's ServiceAccount.
///
/// With a kubeconfig, requests go through the `proxy-url` of its cluster, else through the proxy in
/// HTTPS_PROXY, unless NO_PROXY lists the API server.
///
/// # Errors
/// [`Error::Kubeconfig`] or [`Error::NoPod`].
pub async fn config(kubeconfig: Option<&Path>) -> Result<Config, Error> {
    let name = kubeconfig.map_or_else(|| "KUBECONFIG".to_owned(), |path| path.display().to_string());
    let fail = |source| Error::Kubeconfig { name: name.clone(), source };
    let kubeconfig = match kubeconfig {
        Some(path) => Some(Kubeconfig::read_from(path).map_err(fail)?),
        None => Kubeconfig::from_env().map_err(fail)?,
    };
    let mut config = match kubeconfig {
        Some(kubeconfig) => {
            let options = KubeConfigOptions::default();
            let has_proxy = has_proxy(&kubeconfig);
            let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(fail)?;
            if !has_proxy && let Some(proxy) = config.proxy_url.take() {
                let no_proxy = ["NO_PROXY", "no_proxy"].into_iter().find_map(|name| std::env::var(name).ok());
                config.proxy_url = proxy_for(&config.cluster_url, &proxy, &no_proxy.unwrap_or_default());
            }
            config
        }
        None => Config::incluster().map_err(Error::NoPod)?,
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    Ok(config)
}

/// Whether the current cluster of a kubeconfig names a proxy itself.
fn has_proxy(kubeconfig: &Kubeconfig) -> bool {
    let context =
        kubeconfig.contexts.iter().find(|named| Some(&named.name) == kubeconfig.current_context.as_ref());
    let cluster = context.and_then(|named| named.context.as_ref()).map(|context| &context.cluster);
    let cluster = kubeconfig.clusters.iter().find(|named| Some(&named.name) == cluster);
    let proxy =
        cluster.and_then(|named| named.cluster.as_ref()).and_then(|cluster| cluster.proxy_url.as_ref());
    proxy.is_some_and(|proxy| !proxy.is_empty())
}

/// The proxy from the environment for that server, as Go's net/http selects it: `None` if NO_PROXY lists
/// the server. A proxy without scheme is an HTTP proxy.
fn proxy_for(server: &http::Uri, proxy: &http::Uri, no_proxy: &str) -> Option<http::Uri> {
    let matcher = Matcher::builder().all(proxy.to_string()).no(no_proxy.to_owned()).build();
    matcher.intercept(server)?;
    if proxy.scheme().is_some() { Some(proxy.clone()) } else { format!("http://{proxy}").parse().ok() }
}

/// A client for reads.
///
/// # Errors
/// [`Error::Client`].
pub fn client(config: Config, metrics: &Metrics) -> Result<Client, Error> {
    metrics::client(config, metrics).map_err(Error::Client)
}

/// A client whose writes are sent only while this replica may write.
///
/// # Errors
/// [`Error::Client`].
pub fn writing_client(
    mut config: Config,
    leadership: Leadership,
    metrics: &Metrics,
) -> Result<Client, Error> {
    // Retries of the client would start after the check.
    config.default_retry = false;
    let builder = ClientBuilder::try_from(config).map_err(Error::Client)?;
    // What the gate rejects is no request.
    Ok(builder.with_layer(&metrics.requests).with_layer(&leadership.gate()).build())
}

/// A client for the Lease. It has connections of its own, so that it waits for no other request.
///
/// # Errors
/// [`Error::Client`].
pub fn lease_client(mut config: Config, metrics: &Metrics) -> Result<Client, Error> {
    config.connect_timeout = Some(leader::REQUEST_TIMEOUT);
    config.read_timeout = Some(leader::REQUEST_TIMEOUT);
    config.default_retry = false;
    client(config, metrics)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::every_server("https://api.example.com:6443", "http://proxy:3128", "", Some("http://proxy:3128/"))]
    #[case::without_scheme("https://api.example.com", "proxy:3128", "", Some("http://proxy:3128/"))]
    #[case::socks("https://api.example.com", "socks5://proxy:1080", "", Some("socks5://proxy:1080/"))]
    #[case::credentials("https://a.example.com", "http://u:p@proxy:1", "", Some("http://u:p@proxy:1/"))]
    #[case::listed("https://api.example.com", "http://proxy:3128", "localhost,api.example.com", None)]
    #[case::a_domain("https://api.example.com", "http://proxy:3128", ".example.com", None)]
    #[case::another_domain(
        "https://api.example.com",
        "http://proxy:3128",
        ".example.org",
        Some("http://proxy:3128/")
    )]
    #[case::a_network("https://10.1.2.3:6443", "http://proxy:3128", "10.0.0.0/8", None)]
    #[case::everything("https://api.example.com", "http://proxy:3128", "*", None)]
    fn proxies(#[case] server: &str, #[case] proxy: &str, #[case] no: &str, #[case] expected: Option<&str>) {
        let found = proxy_for(&server.parse().unwrap(), &proxy.parse().unwrap(), no);
        assert_eq!(found.map(|found| found.to_string()).as_deref(), expected);
    }

    #[rstest]
    #[case::none("{server: 'https://a'}", false)]
    #[case::one("{server: 'https://a', proxy-url: 'http://proxy:1'}", true)]
    #[case::empty("{server: 'https://a', proxy-url: ''}", false)]
    fn proxies_of_kubeconfigs(#[case] cluster: &str, #[case] expected: bool) {
        let text = format!(
            "{{clusters: [{{name: a, cluster: {cluster}}}, {{name: b, cluster: {{proxy-url: 'http://other:1'}}}}], \
             contexts: [{{name: c, context: {{cluster: a, user: u}}}}], current-context: c}}"
        );
        assert_eq!(has_proxy(&Kubeconfig::from_yaml(&text).unwrap()), expected);
    }

    #[tokio::test]
    async fn clients_can_be_created_for_all_proxies() {
        let mut config = Config::new("https://api.example.com".parse().unwrap());
        for proxy in ["http://proxy:3128", "https://proxy:3128", "socks5://proxy:1080"] {
            config.proxy_url = Some(proxy.parse().unwrap());
            client(config.clone(), &Metrics::new().unwrap()).unwrap();
        }
    }
}
