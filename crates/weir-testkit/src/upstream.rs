//! What servers answer that a plugin calls: routes as a test lists them. How requests reach them is `fakes/upstream.rs`.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

/// One route of the fake upstream: a method and a URL, and what is answered there.
///
/// The URL is matched whole, query included, or by its beginning if it ends in `*`. Of several routes that match, the first that was added answers.
///
/// ```
/// use weir_testkit::Upstream;
///
/// let price = Upstream::get("https://api.example.com/price?of=tea").body(r#"{"eur": 3}"#);
/// let down = Upstream::any("https://api.example.com/*").status(503);
/// ```
#[derive(Clone)]
pub struct Upstream {
    pub(crate) method: Option<String>,
    pub(crate) url: String,
    pub(crate) answer: Answer,
}

/// What a route does with a request.
#[derive(Clone)]
pub(crate) enum Answer {
    Fixed(UpstreamReply),
    Computed(Arc<dyn Fn(&UpstreamRequest) -> UpstreamReply + Send + Sync>),
    /// The connection fails.
    Unreachable,
    /// Nothing is answered, until the plugin's own time-out.
    Silent,
}

/// A request as it reached the fake upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamRequest {
    /// The plugin that sent it.
    pub plugin: String,
    /// Its method, such as `GET`.
    pub method: String,
    /// Its URL, without a default port.
    pub url: String,
    /// Its headers, in order.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Bytes,
}

/// What the fake upstream answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamReply {
    /// The status, such as 200.
    pub status: u16,
    /// The headers, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// A request that a plugin sent, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The request.
    pub request: UpstreamRequest,
    /// The status it got, or why it got none.
    pub outcome: Result<u16, String>,
}

impl Upstream {
    /// A route for one method.
    #[must_use]
    pub fn new(method: &str, url: &str) -> Self {
        Self {
            method: Some(method.to_ascii_uppercase()),
            ..Self::any(url)
        }
    }

    /// A route for every method. It answers 200 with an empty body until more is said.
    #[must_use]
    pub fn any(url: &str) -> Self {
        Self {
            method: None,
            url: url.to_owned(),
            answer: Answer::Fixed(UpstreamReply::default()),
        }
    }

    /// A route for `GET`.
    #[must_use]
    pub fn get(url: &str) -> Self {
        Self::new("GET", url)
    }

    /// A route for `POST`.
    #[must_use]
    pub fn post(url: &str) -> Self {
        Self::new("POST", url)
    }

    /// Answers with this status.
    #[must_use]
    pub fn status(self, status: u16) -> Self {
        self.change(|reply| reply.status = status)
    }

    /// Answers with this header, too.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        self.change(|reply| reply.headers.push((name.to_owned(), value.to_owned())))
    }

    /// Answers with this body.
    #[must_use]
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        self.change(|reply| reply.body = body)
    }

    /// Answers with this JSON, and says so in `content-type`.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json")
            .body(body.to_string())
    }

    /// Answers with what a function makes of the request.
    #[must_use]
    pub fn reply(
        mut self,
        answer: impl Fn(&UpstreamRequest) -> UpstreamReply + Send + Sync + 'static,
    ) -> Self {
        self.answer = Answer::Computed(Arc::new(answer));
        self
    }

    /// Cannot be connected to.
    #[must_use]
    pub fn unreachable(mut self) -> Self {
        self.answer = Answer::Unreachable;
        self
    }

    /// Takes the request and never answers: the plugin sees the time-out `http_idle_ms`, without waiting for it.
    #[must_use]
    pub fn silent(mut self) -> Self {
        self.answer = Answer::Silent;
        self
    }

    fn change(mut self, change: impl FnOnce(&mut UpstreamReply)) -> Self {
        let mut reply = match self.answer {
            Answer::Fixed(reply) => reply,
            Answer::Computed(_) | Answer::Unreachable | Answer::Silent => UpstreamReply::default(),
        };
        change(&mut reply);
        self.answer = Answer::Fixed(reply);
        self
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = self.method.as_deref().unwrap_or("any method");
        write!(f, "{method} {}", self.url)
    }
}

impl UpstreamRequest {
    /// The body as text; what is no UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The first header of this name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

impl Default for UpstreamReply {
    fn default() -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }
}

impl UpstreamReply {
    /// 200 with this body.
    #[must_use]
    pub fn body(body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            ..Self::default()
        }
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = &self.request;
        write!(
            f,
            "{} {} by {}: ",
            request.method, request.url, request.plugin
        )?;
        match &self.outcome {
            Ok(status) => write!(f, "{status}"),
            Err(reason) => f.write_str(reason),
        }
    }
}
