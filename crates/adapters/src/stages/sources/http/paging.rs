//! Pages: how the next one is asked for, and when there is none. What is sent and read is not decided here.

use http::HeaderMap;
use http::header::LINK;
use model::error::Fault;
use model::stage::Misfit;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::plan::Plan;
use crate::stages::web::auth::set_query;
use crate::stages::web::caller::{Caller, Draft};
use crate::stages::web::document::{Document, Path};

/// How the next page is asked for.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(in crate::stages::sources) enum Pagination {
    /// The answer holds a value that the next request gives back. There is no next page when the value is missing, `null`, `false` or empty.
    Cursor {
        /// Where it is in the answer: `meta.next_cursor`. Places in lists are numbers, counted from the end if negative: `data.-1.id`.
        path: String,
        /// The parameter that gives it back; in a body a path.
        parameter: String,
        /// Where the parameter stands.
        #[serde(default, rename = "in")]
        place: Place,
        /// Where the answer says whether there is a next page: a boolean. Default: there is one while there is a cursor.
        more: Option<String>,
    },
    /// Pages have numbers.
    Page {
        /// The parameter of the number; in a body a path.
        #[serde(default = "page")]
        parameter: String,
        /// Where the parameters stand.
        #[serde(default, rename = "in")]
        place: Place,
        /// The number of the first page.
        #[serde(default = "one")]
        start: u64,
        /// The parameter of the number of records a page has.
        size_parameter: Option<String>,
        /// The number of records a page has.
        size: Option<u64>,
        /// When there are no more pages.
        #[serde(default)]
        stop: Stop,
    },
    /// The request says how many records to pass over. They are counted as they come, so that a server that gives fewer than asked for loses none.
    Offset {
        /// The parameter of the number of records to pass over; in a body a path.
        #[serde(default = "offset")]
        parameter: String,
        /// Where the parameters stand.
        #[serde(default, rename = "in")]
        place: Place,
        /// Records to pass over for the first page.
        #[serde(default)]
        start: u64,
        /// The parameter of the number of records a page has.
        #[serde(default = "limit")]
        limit_parameter: String,
        /// The number of records a page has.
        limit: Option<u64>,
        /// When there are no more pages.
        #[serde(default)]
        stop: Stop,
    },
    /// The answer's header `Link` names the next page as `rel="next"` (RFC 8288).
    Link {},
    /// The answer holds the URL of the next page.
    NextUrl {
        /// Where it is in the answer: `links.next`.
        path: String,
    },
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::stages::sources) enum Place {
    /// In the query of the URL.
    #[default]
    Query,
    /// In the body, which is a JSON object.
    Body,
}

/// When there are no more pages.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::stages::sources) enum Stop {
    /// After a page without records.
    #[default]
    Empty,
    /// After a page with fewer records than `size` or `limit`. Only for servers that never give fewer before the last page.
    Short,
    /// When as many records came as the answer says there are, at this path.
    TotalRecords(String),
    /// With `page` only: after the last of as many pages as the answer says there are, at this path.
    TotalPages(String),
}

fn page() -> String {
    "page".into()
}

fn offset() -> String {
    "offset".into()
}

fn limit() -> String {
    "limit".into()
}

fn one() -> u64 {
    1
}

impl Pagination {
    /// What is wrong with it; `json`, `records`, `body`: may the answer be JSON, is there a path to its records, is the body an object?
    pub(super) fn check(&self, json: bool, records: bool, body: bool) -> Vec<Misfit> {
        let mut wrong = Vec::new();
        if let Err(message) = self.clone().paging() {
            wrong.push(Misfit::new("/pagination", message));
        }
        if self.wants_document() && !json {
            wrong.push(Misfit::new(
                "/pagination",
                "this kind of pagination reads the answer as JSON; with NDJSON and CSV use `link`, or `page` or `offset` that stop when a page is empty or short",
            ));
        }
        if matches!(self, Self::Cursor { .. } | Self::NextUrl { .. }) && !records {
            wrong.push(Misfit::new(
                "/records",
                "say where the records are: with this pagination the answer is an object that holds them and more",
            ));
        }
        if self.in_body() && !body {
            wrong.push(Misfit::new(
                "/pagination/in",
                "`in: body` needs a `body` that is an object",
            ));
        }
        wrong
    }

    fn in_body(&self) -> bool {
        match self {
            Self::Cursor { place, .. } | Self::Page { place, .. } | Self::Offset { place, .. } => {
                *place == Place::Body
            }
            Self::Link {} | Self::NextUrl { .. } => false,
        }
    }

    fn wants_document(&self) -> bool {
        match self {
            Self::Cursor { .. } | Self::NextUrl { .. } => true,
            Self::Page { stop, .. } | Self::Offset { stop, .. } => {
                matches!(stop, Stop::TotalRecords(_) | Stop::TotalPages(_))
            }
            Self::Link {} => false,
        }
    }

    /// The same, checked.
    pub(super) fn paging(self) -> Result<Paging, String> {
        Ok(match self {
            Self::Cursor {
                path,
                parameter,
                place,
                more,
            } => Paging::Token {
                at: Path::read(&path)?,
                more: more.as_deref().map(Path::read).transpose()?,
                parameter: Slot::new(&parameter, place)?,
            },
            Self::Page {
                parameter,
                place,
                start,
                size_parameter,
                size,
                stop,
            } => {
                if size_parameter.is_some() && size.is_none() {
                    return Err("`size_parameter` is given, but no `size`".into());
                }
                let slot = size_parameter.map(|p| Slot::new(&p, place)).transpose()?;
                Paging::Count {
                    parameter: Slot::new(&parameter, place)?,
                    start,
                    by_records: false,
                    size: slot.zip(size),
                    end: End::new(stop, size, "size")?,
                }
            }
            Self::Offset {
                parameter,
                place,
                start,
                limit_parameter,
                limit,
                stop,
            } => {
                if matches!(stop, Stop::TotalPages(_)) {
                    return Err("`stop: {total_pages: ..}` goes with `page`; with `offset` there is `total_records`".into());
                }
                let slot = Slot::new(&limit_parameter, place)?;
                Paging::Count {
                    parameter: Slot::new(&parameter, place)?,
                    start,
                    by_records: true,
                    size: limit.map(|n| (slot, n)),
                    end: End::new(stop, limit, "limit")?,
                }
            }
            Self::Link {} => Paging::Link,
            Self::NextUrl { path } => Paging::NextUrl(Path::read(&path)?),
        })
    }
}

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
    fn new(name: &str, place: Place) -> Result<Self, String> {
        Ok(match place {
            Place::Query => Self::Query(name.into()),
            Place::Body => Self::Body(Path::read(name)?),
        })
    }

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

impl End {
    fn new(stop: Stop, size: Option<u64>, name: &str) -> Result<Self, String> {
        Ok(match (stop, size) {
            (Stop::Empty, _) => Self::Empty,
            (Stop::Short, Some(size)) => Self::Short(size),
            (Stop::Short, None) => {
                return Err(format!(
                    "`stop: short` needs `{name}`: the number of records that a page has"
                ));
            }
            (Stop::TotalRecords(path), _) => Self::Records(Path::read(&path)?),
            (Stop::TotalPages(path), _) => Self::Pages(Path::read(&path)?),
        })
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
