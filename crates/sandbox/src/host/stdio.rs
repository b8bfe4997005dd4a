//! A plugin's standard output and standard error: lines for the log, never the host's own terminal.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::log::{GuestLog, MAX_LINE};
use crate::bindings::weir::host::log::Level;

/// One stream; all handles of it share the unfinished line.
#[derive(Clone)]
pub(crate) struct StdStream {
    log: Arc<GuestLog>,
    level: Level,
    line: Arc<Mutex<Vec<u8>>>,
}

impl StdStream {
    pub(crate) fn new(log: &Arc<GuestLog>, level: Level) -> Self {
        Self {
            log: Arc::clone(log),
            level,
            line: Arc::default(),
        }
    }

    fn take_in(&self, bytes: &[u8]) {
        let Ok(mut line) = self.line.lock() else {
            return;
        };
        // A secret across the end of what is kept could not be recognised, so more is kept than is shown.
        let most = MAX_LINE + self.log.secrets.longest();
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let room = most.saturating_sub(line.len());
            line.extend(piece.iter().take(room));
            if piece.ends_with(b"\n") {
                self.write_out(&mut line);
            }
        }
    }

    /// Writes what is left of an unfinished line: a call's output is its own.
    pub(crate) fn flush_line(&self) {
        let Ok(mut line) = self.line.lock() else {
            return;
        };
        if !line.is_empty() {
            self.write_out(&mut line);
        }
    }

    fn write_out(&self, line: &mut Vec<u8>) {
        let secrets = &self.log.secrets;
        let was_cut = line.len() >= MAX_LINE + secrets.longest();
        let text = String::from_utf8_lossy(line);
        if was_cut && !secrets.is_empty() {
            let text = secrets.redact(&text);
            // The rest may end in a part of a secret.
            let end = text.floor_char_boundary(text.len().saturating_sub(secrets.longest()));
            let text = text.get(..end).unwrap_or_default();
            self.log.line(self.level, text.trim_end(), &[]);
        } else {
            self.log.line(self.level, text.trim_end(), &[]);
        }
        line.clear();
    }
}

impl IsTerminal for StdStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for StdStream {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for StdStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take_in(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 * 1024)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for StdStream {
    async fn ready(&mut self) {}
}

impl AsyncWrite for StdStream {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        self.take_in(bytes);
        std::task::Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}
