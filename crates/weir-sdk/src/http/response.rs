//! A response, read as it comes: by lines, or whole up to a bound.

use serde::de::DeserializeOwned;
use wasip2::{
    http::types::{FutureIncomingResponse, IncomingBody, IncomingResponse},
    io::streams::{InputStream, StreamError},
};

use super::HttpError;

/// How much is asked for at once, in bytes.
const READ_BYTES: u64 = 16 * 1024;
/// The longest line that [`Response::lines`] accepts, in bytes: an event of a chat with an image in it is still shorter.
const LINE_BYTES: usize = 1024 * 1024;
/// How much of an error's body goes into the error, in bytes.
const ERROR_BYTES: usize = 1024;

/// A response whose head has come. Dropping it closes the connection.
#[derive(Debug)]
pub struct Response {
    // In this order: a stream is dropped before its body, and a body before its response.
    stream: InputStream,
    _body: IncomingBody,
    head: IncomingResponse,
}

/// The lines of a body, without their ends, as they come.
#[derive(Debug)]
pub struct Lines {
    response: Response,
    pending: Vec<u8>,
    searched: usize,
    ended: bool,
}

impl Response {
    pub(super) fn wait(pending: &FutureIncomingResponse) -> Result<Self, HttpError> {
        let taken = || HttpError::Failed("the response is taken".to_owned());
        pending.subscribe().block();
        let head = pending
            .get()
            .ok_or_else(taken)?
            .map_err(|()| taken())?
            .map_err(|code| HttpError::from(&code))?;
        let body = head.consume().map_err(|()| taken())?;
        let stream = body.stream().map_err(|()| taken())?;
        Ok(Self {
            stream,
            _body: body,
            head,
        })
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    /// The first value of a header, if it is there and is text. The name's case does not matter.
    pub fn header(&self, name: &str) -> Option<String> {
        self.head
            .headers()
            .get(name)
            .into_iter()
            .next()
            .and_then(|value| String::from_utf8(value).ok())
    }

    /// The response if its status is 200 to 299, else [`HttpError::Status`].
    pub fn ok(mut self) -> Result<Self, HttpError> {
        let status = self.status();
        if (200..300).contains(&status) {
            return Ok(self);
        }
        let mut start = Vec::new();
        while start.len() < ERROR_BYTES {
            match self.read() {
                Ok(Some(piece)) => start.extend(piece),
                Ok(None) | Err(_) => break,
            }
        }
        start.truncate(ERROR_BYTES);
        Err(HttpError::Status(
            status,
            String::from_utf8_lossy(&start).into_owned(),
        ))
    }

    /// The whole body; [`HttpError::TooLong`] if it has more than `limit` bytes.
    pub fn bytes(mut self, limit: usize) -> Result<Vec<u8>, HttpError> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.read()? {
            if bytes.len() + piece.len() > limit {
                return Err(HttpError::TooLong(limit));
            }
            bytes.extend(piece);
        }
        Ok(bytes)
    }

    /// The whole body as JSON; [`HttpError::TooLong`] if it has more than `limit` bytes.
    pub fn json<T: DeserializeOwned>(self, limit: usize) -> Result<T, HttpError> {
        let bytes = self.bytes(limit)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| HttpError::InvalidBody(format!("the upstream's JSON: {error}")))
    }

    /// The body line by line, as it comes. A line has at most 1 MiB.
    pub fn lines(self) -> Lines {
        Lines {
            response: self,
            pending: Vec::new(),
            searched: 0,
            ended: false,
        }
    }

    /// The next piece of the body; none at its end.
    fn read(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        loop {
            match self.stream.blocking_read(READ_BYTES) {
                Ok(piece) if piece.is_empty() => {}
                Ok(piece) => return Ok(Some(piece)),
                Err(StreamError::Closed) => return Ok(None),
                Err(error) => return Err(HttpError::from(&error)),
            }
        }
    }
}

impl Iterator for Lines {
    type Item = Result<String, HttpError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(line) = take_line(&mut self.pending, &mut self.searched) {
                return Some(text(line));
            }
            if self.ended {
                return (!self.pending.is_empty()).then(|| text(std::mem::take(&mut self.pending)));
            }
            if self.pending.len() > LINE_BYTES {
                self.stop();
                return Some(Err(HttpError::TooLong(LINE_BYTES)));
            }
            match self.response.read() {
                Ok(Some(piece)) => self.pending.extend(piece),
                Ok(None) => self.ended = true,
                Err(error) => {
                    self.stop();
                    return Some(Err(error));
                }
            }
        }
    }
}

impl Lines {
    /// After an error there are no more lines.
    fn stop(&mut self) {
        self.pending.clear();
        self.searched = 0;
        self.ended = true;
    }
}

/// Takes the first whole line, without `\n` or `\r\n`. `searched` bytes are known to hold no end of line.
fn take_line(pending: &mut Vec<u8>, searched: &mut usize) -> Option<Vec<u8>> {
    let found = pending
        .iter()
        .skip(*searched)
        .position(|byte| *byte == b'\n');
    let Some(at) = found.map(|at| at + *searched) else {
        *searched = pending.len();
        return None;
    };
    let rest = pending.split_off(at + 1);
    let mut line = std::mem::replace(pending, rest);
    *searched = 0;
    line.pop();
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Some(line)
}

fn text(line: Vec<u8>) -> Result<String, HttpError> {
    String::from_utf8(line)
        .map_err(|_| HttpError::InvalidBody("the upstream's line is not UTF-8".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_across_pieces() {
        let (mut pending, mut searched) = (Vec::new(), 0);
        let mut lines = Vec::new();
        for piece in ["a", "b\r", "\nc\n\nd", "e"] {
            pending.extend(piece.as_bytes());
            while let Some(line) = take_line(&mut pending, &mut searched) {
                lines.push(String::from_utf8(line).unwrap());
            }
        }
        assert_eq!(lines, ["ab", "c", ""]);
        assert_eq!(pending, b"de");
    }
}
