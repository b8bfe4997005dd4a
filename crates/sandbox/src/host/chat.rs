//! `weir:host/chat`: the reply a pipe writes to. It waits while the client is slow, and counts what goes out.

use model::chat::{Item, Reply};
use wasmtime::component::Resource;

use crate::bindings::weir::host::chat::{Host, HostReply, Item as WitItem, WriteError};
use crate::state::State;

/// The reply of one call, as it lies in the resource table. Public only for the generated bindings.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct ReplySlot {
    reply: Box<dyn Reply>,
    closed: bool,
}

impl ReplySlot {
    pub(crate) fn new(reply: Box<dyn Reply>) -> Self {
        Self {
            reply,
            closed: false,
        }
    }
}

impl Host for State {}

impl HostReply for State {
    async fn write(
        &mut self,
        slot: Resource<ReplySlot>,
        item: WitItem,
    ) -> wasmtime::Result<Result<(), WriteError>> {
        let item = match item {
            WitItem::Text(t) => Item::Text(t),
            WitItem::Event(t) => Item::Event(t),
            WitItem::Raw(t) => Item::Raw(t),
            WitItem::Object(t) => Item::Object(t),
        };
        if !self.budget.output(item.text().len(), &self.shared.limits) {
            return Ok(Err(WriteError::Full));
        }
        let slot = self.table.get_mut(&slot)?;
        if slot.closed {
            return Ok(Err(WriteError::Closed));
        }
        let sent = slot.reply.write(item).await;
        slot.closed = sent.is_err();
        Ok(sent.map_err(|_| WriteError::Closed))
    }

    async fn drop(&mut self, slot: Resource<ReplySlot>) -> wasmtime::Result<()> {
        self.table.delete(slot)?;
        Ok(())
    }
}
