//! A source at work over HTTP: page after page, each asked for again until records of it were handed on. What stands in a page is found elsewhere.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use model::BoxFuture;
use model::data::{Most, Pulled, Reader};
use model::error::Fault;
use model::stage::Context;
use model::text::hex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::page::{Page, Part, Site};
use super::paging::{Next, Past};
use super::plan::Plan;
use crate::stages::web::caller::Caller;

/// So many equal pages one after the other are no pages.
const EQUAL_PAGES: u32 = 3;
/// Bytes of a request's name.
const NAME: usize = 8;

/// The pages of one run.
pub(in crate::stages::sources) struct Pages {
    site: Site,
    /// Names the request, so that a cursor of another one is not taken.
    of: String,
    /// The page to ask for, or the one that is read; none: there are no more.
    next: Option<Next>,
    page: Option<Page>,
    /// Pages that were read.
    pages: u64,
    /// Records of all pages so far.
    number: u64,
    /// Which pages were asked for.
    asked: HashSet<u64>,
    asker: RandomState,
    /// The content of the last page, and how many like it came one after the other.
    last: (u64, u32),
    /// What the columns of CSV were in the page before.
    columns: Option<Value>,
    /// Why it is over.
    over: Option<Fault>,
}

/// From where to go on.
#[derive(Serialize, Deserialize)]
struct Cursor {
    of: String,
    next: Next,
}

impl Reader for Pages {
    fn pull(&mut self, most: Most) -> BoxFuture<'_, Result<Pulled, Fault>> {
        Box::pin(self.more(most))
    }
}

impl Pages {
    pub(in crate::stages::sources) fn new(
        caller: Caller,
        plan: Plan,
        context: &Context,
        cursor: Option<&str>,
    ) -> Result<Self, Fault> {
        let of = name(&plan);
        let next = match cursor.map(serde_json::from_str::<Cursor>) {
            Some(Ok(cursor)) if cursor.of == of => cursor.next,
            // None yet, or of another URL or window: from the beginning.
            None | Some(Ok(_)) => Next::First,
            Some(Err(_)) => {
                return Err(Fault::Invalid(
                    "the cursor to go on from is none of this source".into(),
                ));
            }
        };
        Ok(Self {
            site: Site::new(caller, plan, context),
            of,
            next: Some(next),
            page: None,
            pages: 0,
            number: 0,
            asked: HashSet::new(),
            asker: RandomState::new(),
            last: (0, 0),
            columns: None,
            over: None,
        })
    }

    async fn more(&mut self, most: Most) -> Result<Pulled, Fault> {
        while !self.is_over() {
            if let Some(fault) = &self.over {
                return Err(fault.clone());
            }
            let Some(next) = self.next.clone() else { break };
            let mut page = match self.page.take() {
                Some(page) => page,
                None => self.open(&next, most).await?,
            };
            let part = page.gather(&self.site, most, &mut self.number).await;
            let part = part.map_err(|failure| {
                let fault = Fault::from(failure);
                self.over = Some(fault.clone());
                fault
            })?;
            if page.is_done {
                // The records come first, what is wrong with the page after them.
                self.over = self.turn(&next, &page).err().map(Fault::Invalid);
            } else {
                self.page = Some(page);
            }
            if !part.is_empty() {
                return Ok(self.pulled(part));
            }
        }
        Ok(self.pulled(Part::none()))
    }

    /// Is there nothing more in this run?
    fn is_over(&self) -> bool {
        let reached = self
            .site
            .plan
            .max_pages
            .is_some_and(|most| self.pages >= most);
        self.over.is_none() && self.page.is_none() && (self.next.is_none() || reached)
    }

    fn pulled(&self, part: Part) -> Pulled {
        // Within a page there is no place to go on from but its beginning, which was told before; after the last one the next run begins anew.
        let next = self.next.clone().filter(|_| self.page.is_none());
        let cursor = next.map(|next| Cursor {
            of: self.of.clone(),
            next,
        });
        Pulled {
            batch: part.batch,
            cursor: cursor.and_then(|c| serde_json::to_string(&c).ok()),
            done: self.is_over(),
            rejects: part.rejects,
        }
    }

    /// Asks for a page, as often as it takes to have its first records.
    async fn open(&mut self, next: &Next, most: Most) -> Result<Page, Fault> {
        let site = &self.site;
        let draft = site.plan.request(next, &site.caller)?;
        let mut tries = site.caller.tries();
        loop {
            let opened = match site.caller.send(&draft).await {
                Ok(answer) => {
                    let columns = self.columns.as_ref();
                    site.page(answer, columns, most, &mut self.number).await
                }
                Err(failure) => Err(failure),
            };
            match opened {
                Ok(page) => return Ok(page),
                Err(failure) => site.caller.again(&mut tries, failure).await?,
            }
        }
    }

    /// A page was read: which one is next?
    fn turn(&mut self, this: &Next, page: &Page) -> Result<(), String> {
        let number = self.pages.saturating_add(1);
        let plan = Arc::clone(&self.site.plan);
        let next = match &plan.paging {
            None => None,
            Some(paging) => {
                if paging.counts() {
                    self.compare(page, number)?;
                }
                let past = Past {
                    url: &page.url,
                    headers: &page.headers,
                    known: &page.known,
                    records: page.count,
                };
                let next = paging.after(this, &past);
                next.map_err(|m| format!("page {number}: {m}"))?
            }
        };
        let next = next.map(|next| self.strip(next));
        self.asked.insert(self.asker.hash_one(this));
        if let Some(next) = &next
            && self.asked.contains(&self.asker.hash_one(next))
        {
            return Err(format!(
                "page {number} names as the next page one that was there before: following it would never end"
            ));
        }
        self.pages = number;
        self.columns = page.columns();
        self.next = next;
        Ok(())
    }

    /// A link without what the request adds by itself.
    fn strip(&self, next: Next) -> Next {
        match next {
            Next::Url(text) => match text.parse() {
                Ok(url) => Next::Url(self.site.caller.strip(url).into()),
                Err(_) => Next::Url(text),
            },
            other => other,
        }
    }

    /// A server that takes no notice of a page's number gives the same page for ever.
    fn compare(&mut self, page: &Page, number: u64) -> Result<(), String> {
        let content = page.content();
        let (last, times) = self.last;
        let times = if content == last && page.count > 0 {
            times.saturating_add(1)
        } else {
            1
        };
        self.last = (content, times);
        if times < EQUAL_PAGES {
            return Ok(());
        }
        Err(format!(
            "page {number} and the {} before it are the same: the server seems to take no notice of the parameter that `pagination` names",
            EQUAL_PAGES.saturating_sub(1)
        ))
    }
}

/// A name for what a source asks for: a part of a digest, which tells nothing of it.
fn name(plan: &Plan) -> String {
    let mut digest = Sha256::new();
    digest.update(plan.draft.method.as_str());
    digest.update(plan.draft.url.as_str());
    digest.update([0]);
    digest.update(&plan.draft.body);
    let digest = digest.finalize();
    hex(digest.get(..NAME).unwrap_or_default())
}
