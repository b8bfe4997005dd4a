//! Where records are shown to a person: standard output as a rule, a buffer in tests. What is shown, and how, is the `console` sink's business.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// An output that several sinks may share: what one writes at once stays together.
#[derive(Clone)]
pub struct Console {
    output: Arc<Mutex<dyn Write + Send>>,
    width: Option<u16>,
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console")
            .field("width", &self.width)
            .finish_non_exhaustive()
    }
}

impl Console {
    /// One that writes there; `width` is the terminal's, in columns, none where the output is no terminal: then nothing is cut.
    pub fn new(output: impl Write + Send + 'static, width: Option<u16>) -> Self {
        Self {
            output: Arc::new(Mutex::new(output)),
            width,
        }
    }

    /// Columns of the terminal, where it is one.
    #[must_use]
    pub fn width(&self) -> Option<u16> {
        self.width
    }

    /// Writes all of it, and flushes.
    ///
    /// # Errors
    /// What the output answers, for example that nobody reads any more.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        output.write_all(bytes)?;
        output.flush()
    }
}
