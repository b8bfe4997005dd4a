//! The log of raw payloads, as the engine looks after it: sealed, uploaded and swept once a minute, and shown to people; cleaned records are swept at the same time. What lies in it and how is an
//! adapter's business.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use model::bronze::{Bronze, BronzeError, Page, Reading, Retention, Segment, SegmentState, Taken};
use model::id::PipelineId;

use crate::Engine;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(60);

/// Where payloads are kept as they came, and for how long.
#[derive(Debug, Clone)]
pub struct Raw {
    /// The log.
    pub log: Arc<dyn Bronze>,
    /// What stays in it.
    pub keep: RawKeep,
}

/// What stays of raw payloads. What a pipeline has still to take stays in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RawKeep {
    /// Segments whose last payload is older than this go; none: none does.
    pub age: Option<Duration>,
    /// The oldest of a pipeline go while all of them have more bytes than this.
    pub bytes: Option<u64>,
    /// The local files of what lies in the archive go when they are older than this.
    pub local: Option<Duration>,
}

/// Milliseconds since 1970 UTC.
pub(crate) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

impl Engine {
    /// Looks after raw payloads and cleaned records until the engine shuts down; says first what of the payloads is damaged.
    pub async fn look_after_kept(self: &Arc<Self>) {
        if let Some(raw) = &self.ports.raw {
            match raw.log.segments(None).await {
                Ok(segments) => segments.iter().for_each(tell_damage),
                Err(error) => tracing::error!(%error, "the log of raw payloads cannot be listed"),
            }
        }
        if self.ports.raw.is_some() || self.ports.silver.is_some() {
            drop(self.runs.lane.spawn(look_after(Arc::downgrade(self))));
        }
    }

    /// The segments with a pipeline's raw payloads, in order; none of a host that keeps none.
    ///
    /// # Errors
    /// They cannot be listed now.
    pub async fn raw_segments(&self, id: &PipelineId) -> Result<Vec<Segment>, BronzeError> {
        match &self.ports.raw {
            Some(raw) => raw.log.segments(Some(id.clone())).await,
            None => Ok(Vec::new()),
        }
    }

    /// Raw payloads of a pipeline; an empty page of a host that keeps none.
    ///
    /// # Errors
    /// They cannot be read now, or what is asked for can never be.
    pub async fn raw_records(
        &self,
        id: &PipelineId,
        reading: Reading,
    ) -> Result<Page, BronzeError> {
        match &self.ports.raw {
            Some(raw) => raw.log.read(id.clone(), reading).await,
            None => Ok(Page {
                end: true,
                ..Page::default()
            }),
        }
    }

    async fn sweep_raw(&self, raw: &Raw) -> Result<(), BronzeError> {
        let now = self.ports.clock.now();
        raw.log.seal(millis(now)).await?;
        let uploaded = raw.log.upload().await?;
        for failed in &uploaded.failed {
            tracing::warn!(
                error = failed,
                "a segment of raw payloads is not uploaded yet"
            );
        }
        let segments = raw.log.segments(None).await?;
        self.run_meters.raw(&segments);
        let pipelines: BTreeSet<PipelineId> = segments.into_iter().map(|s| s.pipeline).collect();
        for pipeline in pipelines {
            let taken = match self.taken(&pipeline).await {
                Ok(taken) => taken,
                Err(error) => {
                    tracing::warn!(%pipeline, error, "raw payloads are not swept, since it is not known which were taken");
                    continue;
                }
            };
            let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            let retention = Retention {
                now_ms: millis(now),
                age_ms: raw.keep.age.map(ms),
                bytes: raw.keep.bytes,
                local_ms: raw.keep.local.map(ms),
                taken,
            };
            match raw.log.sweep(pipeline.clone(), retention).await {
                Ok(swept) if swept.segments > 0 || swept.local_files > 0 => {
                    tracing::info!(%pipeline, segments = swept.segments, local_files = swept.local_files, bytes = swept.bytes, "swept raw payloads");
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%pipeline, %error, "raw payloads cannot be swept"),
            }
        }
        Ok(())
    }

    /// How far a pipeline's payloads were taken by its runs.
    async fn taken(&self, id: &PipelineId) -> Result<Taken, String> {
        let (Some(inbox), Some(durable)) = (self.inboxes.get(id), &self.durable) else {
            return Ok(Taken::All);
        };
        if !inbox.is_read() {
            return Ok(Taken::All);
        }
        let cursor = self.inbox_cursor(durable, id).await?;
        Ok(cursor.after.map_or(Taken::Nothing, Taken::To))
    }
}

fn tell_damage(segment: &Segment) {
    if let SegmentState::Quarantined { reason } = &segment.state {
        tracing::error!(pipeline = %segment.pipeline, segment = segment.number, day = segment.day, reason, "a segment of raw payloads is damaged; what can be read of it still is");
    }
}

async fn look_after(engine: Weak<Engine>) {
    loop {
        let Some(engine) = engine.upgrade().filter(|e| !e.is_closing()) else {
            return;
        };
        if let Some(raw) = &engine.ports.raw
            && let Err(error) = engine.sweep_raw(raw).await
        {
            tracing::warn!(%error, "the log of raw payloads cannot be looked after now");
        }
        if let Some(silver) = &engine.ports.silver {
            engine.sweep_silver(silver).await;
        }
        let timer = Arc::clone(&engine.ports.stages.timer);
        drop(engine);
        timer.wait(LOOK).await;
    }
}
