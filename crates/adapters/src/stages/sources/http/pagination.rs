//! The option `pagination`: how a spec says which page is next, and whether that makes sense. What comes of it is in [`super::paging`].

use model::stage::Misfit;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::paging::{End, Paging, Slot};
use crate::stages::web::document::Path;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::stages::sources) enum Place {
    /// In the query of the URL.
    #[default]
    Query,
    /// In the body, which is a JSON object.
    Body,
}

/// When there are no more pages.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
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

impl Slot {
    fn new(name: &str, place: Place) -> Result<Self, String> {
        Ok(match place {
            Place::Query => Self::Query(name.into()),
            Place::Body => Self::Body(Path::read(name)?),
        })
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
