//! Where a pipe's items go: a bounded channel to a stream, or a list.

use std::sync::{Arc, Mutex, PoisonError};

use model::BoxFuture;
use model::chat::{Closed, Item, Reply};
use tokio::sync::mpsc;

/// Items on their way to a client; a plugin that writes more waits.
const IN_FLIGHT: usize = 8;

/// A reply that is read while it is written.
pub(crate) fn channel() -> (Box<dyn Reply>, mpsc::Receiver<Item>) {
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    (Box::new(Sending(sender)), receiver)
}

/// A reply that is read when it is whole. The sandbox bounds it (`output_bytes`, `output_items`).
pub(crate) fn list() -> (Box<dyn Reply>, Items) {
    let items = Items::default();
    (Box::new(Listing(items.clone())), items)
}

/// The items of a whole reply.
#[derive(Debug, Clone, Default)]
pub(crate) struct Items(Arc<Mutex<Vec<Item>>>);

impl Items {
    /// Takes what was written.
    pub(crate) fn take(&self) -> Vec<Item> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Sending(mpsc::Sender<Item>);

impl Reply for Sending {
    fn write(&mut self, item: Item) -> BoxFuture<'_, Result<(), Closed>> {
        Box::pin(async move { self.0.send(item).await.map_err(|_| Closed) })
    }
}

struct Listing(Items);

impl Reply for Listing {
    fn write(&mut self, item: Item) -> BoxFuture<'_, Result<(), Closed>> {
        let mut list = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.push(item);
        Box::pin(std::future::ready(Ok(())))
    }
}
