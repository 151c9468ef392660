//! A router that is served over plain HTTP, and clients of it.

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// A server that is up; dropping it ends it.
pub(crate) struct Served {
    pub(crate) address: String,
    _server: AbortOnDropHandle<()>,
}

impl Served {
    pub(crate) async fn start(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            _server: AbortOnDropHandle::new(server),
        }
    }

    /// A client that tries again by itself.
    pub(crate) fn patient_client(&self) -> kube::Client {
        kube::Client::try_from(self.config()).unwrap()
    }

    /// A client as most of the webhook has it: who asks waits by himself.
    pub(crate) fn client(&self) -> kube::Client {
        let mut config = self.config();
        config.default_retry = false;
        kube::Client::try_from(config).unwrap()
    }

    fn config(&self) -> kube::Config {
        kube::Config::new(format!("http://{}", self.address).parse().unwrap())
    }
}
