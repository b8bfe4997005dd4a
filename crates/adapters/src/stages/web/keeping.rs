//! The body of an answer, kept as it comes and before anything reads it: each part is on disk when it is handed on.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use model::BoxFuture;
use model::bronze::{END, PART, STATUS, URL};
use model::error::Fault;
use model::ports::{EgressError, HttpBody};
use model::stage::KeepRaw;

/// A part is kept when it has as many bytes.
const MOST: usize = 4 << 20;
/// While nothing more comes, also one that has so many.
const SOME: usize = 64 << 10;
/// Headers of an answer that are not kept.
const SECRET: [&str; 3] = ["set-cookie", "authorization", "proxy-authenticate"];

/// The body, kept on its way. `place` says where it is from, without secrets.
pub(super) fn keeping(
    body: HttpBody,
    status: StatusCode,
    headers: &HeaderMap,
    place: &str,
    keeper: Arc<dyn KeepRaw>,
) -> HttpBody {
    let mut head = vec![
        (STATUS.to_owned(), Bytes::from(status.as_str().to_owned())),
        (URL.to_owned(), Bytes::from(place.to_owned())),
    ];
    for (name, value) in headers {
        let name = name.as_str();
        if !SECRET.contains(&name) && !name.starts_with("weir-") {
            head.push((name.to_owned(), Bytes::copy_from_slice(value.as_bytes())));
        }
    }
    let keeping = Keeping {
        body,
        keeper,
        head,
        part: 0,
        held: Vec::new(),
        size: 0,
        ready: VecDeque::new(),
        work: None,
        ended: false,
    };
    keeping.boxed_unsync()
}

struct Keeping {
    body: HttpBody,
    keeper: Arc<dyn KeepRaw>,
    /// What came with the answer; goes with the first part.
    head: Vec<(String, Bytes)>,
    part: u64,
    /// What is not on disk yet.
    held: Vec<Bytes>,
    size: usize,
    /// What is, or is about to be.
    ready: VecDeque<Bytes>,
    work: Option<BoxFuture<'static, Result<(), Fault>>>,
    ended: bool,
}

impl Keeping {
    fn keep(&mut self) {
        let mut headers = std::mem::take(&mut self.head);
        headers.push((PART.to_owned(), Bytes::from(self.part.to_string())));
        if self.ended {
            headers.push((END.to_owned(), Bytes::from_static(b"1")));
        }
        self.part = self.part.saturating_add(1);
        let bytes = match self.held.as_slice() {
            [one] => one.clone(),
            several => {
                let mut all = BytesMut::with_capacity(self.size);
                several
                    .iter()
                    .for_each(|piece| all.extend_from_slice(piece));
                all.freeze()
            }
        };
        self.ready.extend(self.held.drain(..));
        self.size = 0;
        self.work = Some(self.keeper.keep(headers, bytes));
    }
}

impl Body for Keeping {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let this = &mut *self;
        loop {
            if let Some(work) = &mut this.work {
                let kept = ready!(work.as_mut().poll(context));
                this.work = None;
                if let Err(fault) = kept {
                    this.ready.clear();
                    let said = format!("it cannot be kept as it came: {fault}");
                    return Poll::Ready(Some(Err(EgressError::Broken(said))));
                }
            }
            if let Some(piece) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            match Pin::new(&mut this.body).poll_frame(context) {
                Poll::Pending if this.size >= SOME => this.keep(),
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(piece) = frame.into_data() {
                        this.size = this.size.saturating_add(piece.len());
                        this.held.push(piece);
                    }
                    if this.size >= MOST {
                        this.keep();
                    }
                }
                Poll::Ready(None) => {
                    this.ended = true;
                    this.keep();
                }
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
