//! `[bronze]`, checked: where payloads are kept as they came, for how long, and where to they are copied.

use std::path::{Path, PathBuf};
use std::time::Duration;

use adapters::bronze::{Options, S3};
use engine::RawKeep;
use serde::Deserialize;

use crate::secret;

/// Bytes of the largest payload that can be kept: the largest body of a webhook, and room for its headers.
const RECORD_BYTES: usize = (64 << 20) + (1 << 20);
/// Bytes of payloads that wait for the disk.
const QUEUE_BYTES: usize = 128 << 20;
/// Days that raw payloads and cleaned records are kept, and bytes of each of one pipeline, where nothing is said.
const KEEP_DAYS: u32 = 30;
const KEEP_BYTES: u64 = 10 << 30;

/// For how long something is kept, and how much of one pipeline.
pub(super) struct Kept {
    pub(super) age: Duration,
    pub(super) bytes: u64,
}

impl Kept {
    /// As it is written, or as it is where nothing is said.
    pub(super) fn of(keep_days: Option<u32>, keep_bytes: Option<u64>) -> Self {
        Self {
            age: days(keep_days.unwrap_or(KEEP_DAYS)),
            bytes: keep_bytes.unwrap_or(KEEP_BYTES),
        }
    }
}

fn days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 86_400)
}

/// What is kept of raw payloads, and where.
#[derive(Debug)]
pub(crate) struct Bronze {
    pub(crate) folder: PathBuf,
    pub(crate) options: Options,
    pub(crate) keep: RawKeep,
    pub(crate) archive: Option<ArchivePlace>,
}

/// Where full segments are copied to.
#[derive(Debug)]
pub(crate) enum ArchivePlace {
    Folder(PathBuf),
    Bucket(S3),
}

/// `[bronze]`: where payloads are kept as they came.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenBronze {
    folder: Option<PathBuf>,
    segment_bytes: Option<u64>,
    keep_days: Option<u32>,
    keep_bytes: Option<u64>,
    local_days: Option<u32>,
    archive: Option<WrittenArchive>,
}

/// `[bronze.archive]`: a folder, or a bucket that speaks S3.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenArchive {
    folder: Option<PathBuf>,
    bucket: Option<String>,
    endpoint: Option<String>,
    region: Option<String>,
    prefix: Option<String>,
    /// `${env:NAME}` or `${file:path}` each.
    access_key: Option<String>,
    secret_key: Option<String>,
}

impl WrittenBronze {
    /// Checks every value; what is wrong is pushed to `said`, with its key.
    pub(super) fn check(
        self,
        data: &Path,
        base: &Path,
        env: &dyn Fn(&str) -> Option<String>,
        said: &mut Vec<String>,
    ) -> Bronze {
        let default = Options::default();
        let segment_bytes = self.segment_bytes.unwrap_or(default.segment_bytes);
        if !(1 << 16..=1 << 30).contains(&segment_bytes) {
            said.push(format!(
                "bronze.segment_bytes: {segment_bytes} was given; 65536 to 1073741824 are allowed"
            ));
        }
        if self.local_days.is_some() && self.archive.is_none() {
            said.push(
                "bronze.local_days: given without bronze.archive, where the segments would be after that"
                    .into(),
            );
        }
        let kept = Kept::of(self.keep_days, self.keep_bytes);
        Bronze {
            folder: self.folder.unwrap_or_else(|| data.join("bronze")),
            options: Options {
                record_bytes: RECORD_BYTES,
                queue_bytes: QUEUE_BYTES,
                segment_bytes,
                ..default
            },
            keep: RawKeep {
                age: Some(kept.age),
                bytes: Some(kept.bytes),
                local: self.local_days.map(days),
            },
            archive: self.archive.and_then(|a| a.check(base, env, said)),
        }
    }
}

impl WrittenArchive {
    fn check(
        self,
        base: &Path,
        env: &dyn Fn(&str) -> Option<String>,
        said: &mut Vec<String>,
    ) -> Option<ArchivePlace> {
        let bucket_keys = [
            ("endpoint", self.endpoint.is_some()),
            ("region", self.region.is_some()),
            ("prefix", self.prefix.is_some()),
            ("access_key", self.access_key.is_some()),
            ("secret_key", self.secret_key.is_some()),
        ];
        let bucket = match (self.folder, self.bucket) {
            (Some(folder), None) => {
                for (key, _) in bucket_keys.iter().filter(|(_, is)| *is) {
                    said.push(format!(
                        "bronze.archive.{key}: it is for a bucket; with `folder` leave it out"
                    ));
                }
                return Some(ArchivePlace::Folder(folder));
            }
            (None, Some(bucket)) => bucket,
            (None, None) | (Some(_), Some(_)) => {
                said.push("bronze.archive: one of `folder` and `bucket` is needed".into());
                return None;
            }
        };
        if let Some(endpoint) = &self.endpoint
            && !["http://", "https://"]
                .iter()
                .any(|s| endpoint.starts_with(s))
        {
            said.push(format!(
                "bronze.archive.endpoint: {endpoint:?} was given; https://host[:port] is needed"
            ));
        }
        let mut key = |name: &str, reference: Option<String>| {
            let found = match reference {
                Some(reference) => secret::source(&reference, base, env).map(|(_, value)| value),
                None => Err("a bucket needs it: ${env:NAME} or ${file:path}".into()),
            };
            found
                .map_err(|e| said.push(format!("bronze.archive.{name}: {e}")))
                .ok()
        };
        let access_key = key("access_key", self.access_key);
        let secret_key = key("secret_key", self.secret_key);
        Some(ArchivePlace::Bucket(S3 {
            endpoint: self.endpoint,
            region: self.region.unwrap_or_else(|| "us-east-1".into()),
            bucket,
            prefix: self.prefix.unwrap_or_default(),
            access_key: access_key?,
            secret_key: secret_key?,
        }))
    }
}
