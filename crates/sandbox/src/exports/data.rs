//! Calls of the roles of data pipelines: opening one, and what an open one is asked. What comes out is as the plugin said; `stage` checks it.

use model::data::{Batch, Encoding, Most, Opening, Pulled, Reject, Transformed, Window};
use model::plugin::Role;
use wasmtime::component::ResourceAny;

use super::{Run, lacks};
use crate::bindings::exports::weir::plugin::source;
use crate::bindings::weir::types::batches;

/// `source.reader.open`.
pub(crate) fn open_source(opening: Opening) -> Run<ResourceAny> {
    Box::new(move |store, exports| {
        Box::pin(async move {
            let Some(guest) = &exports.source else {
                return lacks(Role::Source);
            };
            let window = opening
                .window
                .map(|Window { start, end }| source::Window { start, end });
            let cursor = opening.cursor.as_ref();
            let (reader, config) = (guest.reader(), &opening.config);
            reader
                .call_open(store, config, cursor, window.as_ref())
                .await
        })
    })
}

/// `source.reader.pull`.
pub(crate) fn pull(reader: ResourceAny, most: Most) -> Run<Pulled> {
    Box::new(move |store, exports| {
        Box::pin(async move {
            let Some(guest) = &exports.source else {
                return lacks(Role::Source);
            };
            let pulled = guest
                .reader()
                .call_pull(store, reader, most.records, most.bytes)
                .await?;
            Ok(pulled.map(|p| Pulled {
                batch: p.batch.into(),
                cursor: p.cursor,
                done: p.done,
                rejects: Vec::new(),
            }))
        })
    })
}

/// `transform.transformer.open`.
pub(crate) fn open_transform(config: String) -> Run<ResourceAny> {
    Box::new(move |store, exports| {
        Box::pin(async move {
            match &exports.transform {
                Some(guest) => guest.transformer().call_open(store, &config).await,
                None => lacks(Role::Transform),
            }
        })
    })
}

/// `transform.transformer.apply`.
pub(crate) fn apply(transformer: ResourceAny, batch: Batch) -> Run<Transformed> {
    Box::new(move |store, exports| {
        Box::pin(async move {
            let Some(guest) = &exports.transform else {
                return lacks(Role::Transform);
            };
            let batch = lower(batch);
            let done = guest
                .transformer()
                .call_apply(store, transformer, &batch)
                .await?;
            Ok(done.map(|t| Transformed {
                batch: t.batch.into(),
                rejects: t.rejects.into_iter().map(Into::into).collect(),
            }))
        })
    })
}

/// `transform.transformer.finish`.
pub(crate) fn finish_transform(transformer: ResourceAny) -> Run<Option<Batch>> {
    Box::new(move |store, exports| {
        Box::pin(async move {
            let Some(guest) = &exports.transform else {
                return lacks(Role::Transform);
            };
            let rest = guest.transformer().call_finish(store, transformer).await?;
            Ok(rest.map(|batch| batch.map(Into::into)))
        })
    })
}

/// `sink.writer.open`.
pub(crate) fn open_sink(config: String) -> Run<ResourceAny> {
    Box::new(move |store, exports| {
        Box::pin(async move {
            match &exports.sink {
                Some(guest) => guest.writer().call_open(store, &config).await,
                None => lacks(Role::Sink),
            }
        })
    })
}

/// `sink.writer.push`.
pub(crate) fn push(writer: ResourceAny, batch: Batch, key: String) -> Run<Vec<Reject>> {
    Box::new(move |store, exports| {
        Box::pin(async move {
            let Some(guest) = &exports.sink else {
                return lacks(Role::Sink);
            };
            let batch = lower(batch);
            let rejects = guest
                .writer()
                .call_push(store, writer, &batch, &key)
                .await?;
            Ok(rejects.map(|list| list.into_iter().map(Into::into).collect()))
        })
    })
}

/// `sink.writer.finish`.
pub(crate) fn finish_sink(writer: ResourceAny) -> Run<()> {
    Box::new(move |store, exports| {
        Box::pin(async move {
            match &exports.sink {
                Some(guest) => guest.writer().call_finish(store, writer).await,
                None => lacks(Role::Sink),
            }
        })
    })
}

fn lower(batch: Batch) -> batches::Batch {
    batches::Batch {
        encoding: match batch.encoding {
            Encoding::Ndjson => batches::Encoding::Ndjson,
            Encoding::ArrowIpc => batches::Encoding::ArrowIpc,
        },
        count: batch.count,
        data: batch.data.into(),
    }
}

impl From<batches::Batch> for Batch {
    fn from(batch: batches::Batch) -> Self {
        Self {
            encoding: match batch.encoding {
                batches::Encoding::Ndjson => Encoding::Ndjson,
                batches::Encoding::ArrowIpc => Encoding::ArrowIpc,
            },
            count: batch.count,
            data: batch.data.into(),
        }
    }
}

impl From<batches::Reject> for Reject {
    fn from(reject: batches::Reject) -> Self {
        Self::new(reject.index as usize, reject.reason)
    }
}
