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

/// A reply that is read when it is whole, item by item. The sandbox bounds it (`output_bytes`, `output_items`).
pub(crate) fn list() -> (Box<dyn Reply>, Items) {
    let items = Items::default();
    (
        Box::new(Listing {
            items: items.clone(),
            join: false,
        }),
        items,
    )
}

/// The same where only the whole text counts: texts that follow each other become one, so that a hundred thousand small ones are
/// neither kept nor let go one by one.
pub(crate) fn joined() -> (Box<dyn Reply>, Items) {
    let items = Items::default();
    (
        Box::new(Listing {
            items: items.clone(),
            join: true,
        }),
        items,
    )
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

struct Listing {
    items: Items,
    join: bool,
}

impl Reply for Listing {
    fn write(&mut self, item: Item) -> BoxFuture<'_, Result<(), Closed>> {
        let mut list = self.items.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (list.last_mut(), item) {
            (Some(Item::Text(text)), Item::Text(more)) if self.join => text.push_str(&more),
            (_, item) => list.push(item),
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn texts_are_joined_where_only_the_whole_counts() {
        let text = |t: &str| Item::Text(t.into());
        let event = || Item::Event("{}".into());
        for (make, want) in [
            (joined as fn() -> _, vec![text("ab"), event(), text("c")]),
            (
                list as fn() -> _,
                vec![text("a"), text("b"), event(), text("c")],
            ),
        ] {
            let (mut reply, items): (Box<dyn Reply>, Items) = make();
            for item in [text("a"), text("b"), event(), text("c")] {
                reply.write(item).await.unwrap();
            }
            assert_eq!(items.take(), want);
        }
    }
}
