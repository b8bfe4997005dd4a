//! Pages: how the next one is asked for, and when there is none. What is sent and read is not decided here.

use http::HeaderMap;
use http::header::LINK;
use model::error::Fault;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::plan::Plan;
use crate::stages::web::auth::set_query;
use crate::stages::web::caller::{Caller, Draft};
use crate::stages::web::document::{Document, Path};

/// Pages, checked.
#[derive(Debug)]
pub(in crate::stages::sources) enum Paging {
    Token {
        at: Path,
        more: Option<Path>,
        parameter: Slot,
    },
    Count {
        parameter: Slot,
        start: u64,
        /// Does the number count records, not pages?
        by_records: bool,
        size: Option<(Slot, u64)>,
        end: End,
    },
    Link,
    NextUrl(Path),
}

/// Where a parameter is put.
#[derive(Debug)]
pub(in crate::stages::sources) enum Slot {
    Query(String),
    Body(Path),
}

/// When pages with numbers end.
#[derive(Debug)]
pub(in crate::stages::sources) enum End {
    Empty,
    Short(u64),
    Records(Path),
    Pages(Path),
}

impl Slot {
    fn fill(&self, draft: &mut Draft, body: &mut Option<Value>, value: &Value) {
        match (self, body) {
            (Self::Query(name), _) => {
                let text = match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                set_query(&mut draft.url, name, Some(&text));
            }
            (Self::Body(path), Some(Value::Object(object))) => path.set(object, value.clone()),
            (Self::Body(_), _) => {}
        }
    }
}

/// Which page is asked for. Kept in cursors, so it holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Next {
    /// The first.
    First,
    /// The one that this value stands for.
    Token(Value),
    /// The one of this number; so many records came before it.
    Count { number: u64, seen: u64 },
    /// The one at this URL.
    Url(String),
}

/// What is known of a page when its records were taken.
pub(super) struct Past<'a> {
    /// Where it came from.
    pub(super) url: &'a Url,
    pub(super) headers: &'a HeaderMap,
    pub(super) known: &'a Known,
    pub(super) records: u64,
}

/// What an answer says at the paths that matter for the next page.
#[derive(Debug, Default)]
pub(super) struct Known(Vec<(Path, Value)>);

impl Known {
    fn value(&self, path: &Path) -> Option<&Value> {
        let found = self.0.iter().find(|(at, _)| at == path);
        found.map(|(_, value)| value)
    }

    fn truth(&self, at: &Path) -> Result<bool, String> {
        match self.value(at) {
            Some(Value::Bool(more)) => Ok(*more),
            None => Ok(false),
            Some(_) => Err(format!("`{at}` of the answer is neither true nor false")),
        }
    }

    fn token(&self, at: &Path) -> Result<Option<Next>, String> {
        match self.value(at) {
            None | Some(Value::Bool(false)) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(token @ (Value::String(_) | Value::Number(_))) => {
                Ok(Some(Next::Token(token.clone())))
            }
            Some(_) => Err(format!(
                "`{at}` of the answer is no cursor: neither a text nor a number"
            )),
        }
    }

    fn number(&self, at: &Path) -> Result<u64, String> {
        let found = self.value(at).and_then(|v| match v {
            Value::String(text) => text.parse().ok(),
            other => other.as_u64(),
        });
        found.ok_or_else(|| format!("`{at}` of the answer is no number: `stop` needs it"))
    }
}

impl Paging {
    pub(super) fn wants_document(&self) -> bool {
        match self {
            Self::Token { .. } | Self::NextUrl(_) => true,
            Self::Count { end, .. } => matches!(end, End::Records(_) | End::Pages(_)),
            Self::Link => false,
        }
    }

    /// What matters of an answer.
    pub(super) fn known(&self, document: Document<'_>) -> Known {
        let paths = match self {
            Self::Token { at, more, .. } => vec![Some(at), more.as_ref()],
            Self::NextUrl(at) => vec![Some(at)],
            Self::Count {
                end: End::Records(at) | End::Pages(at),
                ..
            } => vec![Some(at)],
            Self::Count { .. } | Self::Link => vec![],
        };
        let paths = paths.into_iter().flatten();
        Known(
            paths
                .filter_map(|p| Some((p.clone(), document.value(p)?)))
                .collect(),
        )
    }

    /// Do pages come by numbers, so that a server that takes no notice of them gives the same page for ever?
    pub(super) fn counts(&self) -> bool {
        matches!(self, Self::Count { .. })
    }

    /// The page after this one.
    pub(super) fn after(&self, page: &Next, past: &Past<'_>) -> Result<Option<Next>, String> {
        match self {
            Self::Token { at, more, .. } => {
                let Some(more) = more else {
                    return past.known.token(at);
                };
                if !past.known.truth(more)? {
                    return Ok(None);
                }
                let token = past.known.token(at)?;
                let missing = || {
                    format!(
                        "`{more}` of the answer says that there is a next page, but `{at}` holds no cursor"
                    )
                };
                token.ok_or_else(missing).map(Some)
            }
            Self::Count { .. } => self.count(page, past),
            Self::Link => match next_link(past.headers)? {
                Some(link) => url(past, &link).map(Some),
                None => Ok(None),
            },
            Self::NextUrl(at) => match past.known.value(at) {
                None => Ok(None),
                Some(Value::String(link)) if link.is_empty() => Ok(None),
                Some(Value::String(link)) => url(past, link).map(Some),
                Some(_) => Err(format!("`{at}` of the answer is no URL")),
            },
        }
    }

    fn count(&self, page: &Next, past: &Past<'_>) -> Result<Option<Next>, String> {
        let Self::Count {
            start,
            by_records,
            end,
            ..
        } = self
        else {
            return Ok(None);
        };
        let (number, seen) = match page {
            Next::Count { number, seen } => (*number, *seen),
            Next::First | Next::Token(_) | Next::Url(_) => (*start, 0),
        };
        let seen = seen.saturating_add(past.records);
        let step = if *by_records { past.records } else { 1 };
        let next = Next::Count {
            number: number.saturating_add(step),
            seen,
        };
        let over = match end {
            End::Empty => past.records == 0,
            End::Short(size) => past.records < *size,
            End::Records(path) => past.records == 0 || seen >= past.known.number(path)?,
            End::Pages(path) => {
                let pages = number.saturating_sub(*start).saturating_add(1);
                pages >= past.known.number(path)?
            }
        };
        Ok((!over).then_some(next))
    }

    /// Makes the request for a page of the one for the first.
    fn fill(&self, page: &Next, draft: &mut Draft, body: &mut Option<Value>) -> Result<(), Fault> {
        match (self, page) {
            (Self::Token { parameter, .. }, Next::Token(token)) => {
                parameter.fill(draft, body, token);
            }
            (
                Self::Count {
                    parameter,
                    start,
                    size,
                    ..
                },
                Next::First | Next::Count { .. },
            ) => {
                let number = match page {
                    Next::Count { number, .. } => *number,
                    _ => *start,
                };
                parameter.fill(draft, body, &number.into());
                if let Some((slot, size)) = size {
                    slot.fill(draft, body, &(*size).into());
                }
            }
            (Self::Link | Self::NextUrl(_), Next::Url(url)) => {
                draft.url = url
                    .parse()
                    .map_err(|_| Fault::Invalid("the cursor to go on from holds no URL".into()))?;
            }
            (_, Next::First) => {}
            _ => {
                return Err(Fault::Invalid(
                    "the cursor to go on from is of another kind of pagination".into(),
                ));
            }
        }
        Ok(())
    }
}

impl Plan {
    /// The request for a page. Links may not lead away: the request may hold credentials.
    pub(super) fn request(&self, page: &Next, caller: &Caller) -> Result<Draft, Fault> {
        let mut draft = self.draft.clone();
        let mut body = self.body.clone();
        if let Some(paging) = &self.paging {
            paging.fill(page, &mut draft, &mut body)?;
        }
        if let Some(body) = body {
            draft.body = body.to_string().into();
        }
        if !caller.is_home(&draft.url) {
            return Err(Fault::Invalid(format!(
                "the link to the next page leads from {} to {}, another origin, which is not followed: the request may hold credentials",
                caller.place(),
                draft.url.origin().ascii_serialization()
            )));
        }
        Ok(draft)
    }
}

fn url(past: &Past<'_>, link: &str) -> Result<Next, String> {
    let url = past.url.join(link);
    let url = url.map_err(|e| format!("the link to the next page is no URL: {e}"))?;
    Ok(Next::Url(url.into()))
}

/// The target of the link with `rel="next"` (RFC 8288).
fn next_link(headers: &HeaderMap) -> Result<Option<String>, String> {
    for line in headers.get_all(LINK) {
        let line = line
            .to_str()
            .map_err(|_| "the header `Link` of the answer is no plain text")?;
        let mut rest = line;
        while let Some((_, after)) = rest.split_once('<') {
            let Some((target, after)) = after.split_once('>') else {
                return Err("the header `Link` of the answer has `<` without `>`".into());
            };
            let (parameters, following) = parameters(after);
            if is_next(parameters) {
                return Ok(Some(target.trim().to_owned()));
            }
            rest = following;
        }
    }
    Ok(None)
}

/// What belongs to a link up to the comma after it, and what follows.
fn parameters(text: &str) -> (&str, &str) {
    let end = unquoted(text, ',').unwrap_or(text.len());
    text.split_at(end)
}

/// Where a separator is that does not stand in quotes.
fn unquoted(text: &str, separator: char) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    text.find(|c| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == separator && !quoted => return true,
            _ => {}
        }
        false
    })
}

fn is_next(mut parameters: &str) -> bool {
    loop {
        let end = unquoted(parameters, ';');
        let (parameter, rest) = parameters.split_at(end.unwrap_or(parameters.len()));
        if let Some((name, value)) = parameter.split_once('=') {
            let mut values = value.trim().trim_matches('"').split_ascii_whitespace();
            let is_rel = name.trim().eq_ignore_ascii_case("rel");
            if is_rel && values.any(|v| v.eq_ignore_ascii_case("next")) {
                return true;
            }
        }
        match rest.strip_prefix(';') {
            Some(rest) => parameters = rest,
            None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_the_next_page_are_found() {
        let check = |lines: &[&str], want: Option<&str>| {
            let lines = lines.iter().map(|l| (LINK, l.parse().unwrap()));
            let headers: HeaderMap = lines.fold(HeaderMap::new(), |mut all, (n, v)| {
                all.append(n, v);
                all
            });
            let found = next_link(&headers).unwrap();
            assert_eq!(found.as_deref(), want, "{headers:?}");
        };
        check(&[], None);
        check(&["</2>; rel=\"next\""], Some("/2"));
        check(&["</2>;rel=next"], Some("/2"));
        check(&["</0>; rel=prev, </2>; rel=\"last next\""], Some("/2"));
        check(
            &["</0>; title=\"a, <b>; rel=next\"; rel=prev, </2>; REL=Next"],
            Some("/2"),
        );
        check(
            &["</0>; rel=prev", "</2?a=1,2>; rel=next"],
            Some("/2?a=1,2"),
        );
        check(&["</0>; rel=nextish"], None);
        let bad = HeaderMap::from_iter([(LINK, "</2; rel=next".parse().unwrap())]);
        assert!(next_link(&bad).is_err());
    }
}
