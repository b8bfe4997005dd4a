//! `PIPELINES_URLS`: components to fetch at start, as the reference's start script does. The operator named the hosts, so these
//! are allowed; redirects are not followed. What does not work is logged and stops nothing.

use std::sync::Arc;

use engine::Engine;
use model::component::{ComponentFile, FileName, Origin};
use model::egress::{Network, OriginRule};
use model::grants::HttpGrant;
use model::limits::{Limit, Limits};
use model::ports::Egress;
use url::Url;

use crate::config::Config;
use crate::wiring::{self, Host};

/// What is to be fetched.
pub(crate) struct Fetch {
    urls: Vec<String>,
    egress: Arc<dyn Egress>,
    limits: Limits,
}

impl Fetch {
    pub(crate) fn new(host: &Host, config: &Config) -> Self {
        Self {
            urls: config.urls.clone(),
            egress: Arc::clone(&host.egress),
            limits: config.defaults.clone(),
        }
    }

    /// Fetches and installs all, one after another.
    pub(crate) async fn all(self, engine: &Arc<Engine>) {
        for url in &self.urls {
            match self.one(url, engine).await {
                Ok(id) => tracing::info!(plugin = %id, "fetched a plugin named by PIPELINES_URLS"),
                Err(error) => {
                    tracing::error!(error = %format!("{error:#}"), url, "cannot fetch a plugin named by PIPELINES_URLS")
                }
            }
        }
    }

    async fn one(&self, text: &str, engine: &Arc<Engine>) -> anyhow::Result<String> {
        let url = Url::parse(&engine::raw_github_url(text))?;
        let segment = url
            .path_segments()
            .and_then(|mut s| s.next_back())
            .unwrap_or_default();
        let name = FileName::new(segment)?;
        let bytes = if url.scheme() == "file" {
            let path = url
                .to_file_path()
                .map_err(|()| anyhow::anyhow!("not a path on this machine"))?;
            tokio::fs::read(path).await?.into()
        } else {
            self.get(&url).await?
        };
        let installed = engine
            .install(ComponentFile { name, bytes }, Origin::Url(text.into()))
            .await?;
        Ok(installed.id.to_string())
    }

    async fn get(&self, url: &Url) -> anyhow::Result<bytes::Bytes> {
        let rule: OriginRule = url.origin().ascii_serialization().parse()?;
        let everywhere = ["0.0.0.0/0", "::/0"];
        let grant = HttpGrant {
            allow: vec![rule],
            private: everywhere
                .iter()
                .filter_map(|n| n.parse::<Network>().ok())
                .collect(),
        };
        let client = self
            .egress
            .client(wiring::fetch_policy(grant, &self.limits));
        let limit = self.limits.get(Limit::ComponentBytes);
        Ok(engine::fetch(&*client, url.as_str(), limit).await?)
    }
}
