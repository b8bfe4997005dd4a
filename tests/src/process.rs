//! What a process holds, read from /proc.

/// Memory, threads and open files of a process.
#[derive(Debug, Clone, Copy)]
pub struct Footprint {
    /// Resident memory, in bytes.
    pub rss: u64,
    /// Of that, memory of its own rather than file pages, in bytes.
    pub anonymous: u64,
    /// Threads.
    pub threads: u64,
    /// Open file descriptors.
    pub files: u64,
}

impl Footprint {
    /// Reads the footprint of a process that runs.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
        let field = |name: &str| -> u64 {
            let line = status.lines().find_map(|l| l.strip_prefix(name));
            let number = line.and_then(|l| l.split_whitespace().next());
            number.and_then(|n| n.parse().ok()).unwrap_or(0)
        };
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("a process");
        Self {
            rss: field("VmRSS:") * 1024,
            anonymous: field("RssAnon:") * 1024,
            threads: field("Threads:"),
            files: files.count() as u64,
        }
    }
}
