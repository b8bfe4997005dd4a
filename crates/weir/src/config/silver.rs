//! `[silver]`, checked: where cleaned records are kept, and for how long.

use std::path::{Path, PathBuf};

use engine::SilverKeep;
use serde::Deserialize;

use super::bronze::Kept;

/// Where cleaned records are kept, and what stays of them.
#[derive(Debug)]
pub(crate) struct Silver {
    pub(crate) folder: PathBuf,
    pub(crate) keep: SilverKeep,
}

/// `[silver]`: where cleaned records are kept.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenSilver {
    folder: Option<PathBuf>,
    keep_days: Option<u32>,
    keep_bytes: Option<u64>,
}

impl WrittenSilver {
    pub(super) fn check(self, data: &Path) -> Silver {
        let kept = Kept::of(self.keep_days, self.keep_bytes);
        Silver {
            folder: self.folder.unwrap_or_else(|| data.join("silver")),
            keep: SilverKeep {
                age: Some(kept.age),
                bytes: Some(kept.bytes),
            },
        }
    }
}
