//! Where records are shown to a person: standard output as a rule, the log of the run on a server, a buffer in tests. What is shown, and how, is the `console` sink's
//! business.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use model::stage::RunNotes;

/// An output that several sinks may share: what one writes at once stays together.
#[derive(Clone)]
pub struct Console {
    output: Output,
    width: Option<u16>,
}

#[derive(Clone)]
enum Output {
    Stream(Arc<Mutex<dyn Write + Send>>),
    RunLog,
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console")
            .field("in_run_log", &self.is_run_log())
            .field("width", &self.width)
            .finish_non_exhaustive()
    }
}

impl Console {
    /// One that writes there; `width` is the terminal's, in columns, none where the output is no terminal: then nothing is cut.
    pub fn new(output: impl Write + Send + 'static, width: Option<u16>) -> Self {
        Self {
            output: Output::Stream(Arc::new(Mutex::new(output))),
            width,
        }
    }

    /// What is shown goes into the log of the run: for a host whose own output is not for the records of those who write pipelines.
    #[must_use]
    pub fn in_run_log() -> Self {
        Self {
            output: Output::RunLog,
            width: None,
        }
    }

    pub(crate) fn is_run_log(&self) -> bool {
        matches!(self.output, Output::RunLog)
    }

    /// Columns of the terminal, where it is one.
    #[must_use]
    pub fn width(&self) -> Option<u16> {
        self.width
    }

    /// Writes all of it, and flushes; or says it, line by line, in the log of the run.
    ///
    /// # Errors
    /// What the output answers, for example that nobody reads any more.
    pub(crate) fn write(&self, bytes: &[u8], notes: &dyn RunNotes) -> io::Result<()> {
        match &self.output {
            Output::Stream(output) => {
                let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
                output.write_all(bytes)?;
                output.flush()
            }
            Output::RunLog => {
                let text = String::from_utf8_lossy(bytes);
                text.lines().for_each(|line| notes.say(line));
                Ok(())
            }
        }
    }
}
