//! One request to the program and its answer, without ever waiting for a program that hangs.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long a program may keep silent.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long a whole answer may take, however steadily it drips.
const WHOLE: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Nobody listens.
    Nobody,
    /// Somebody listens and does not answer in time.
    Late,
    /// The answer is not HTTP, or was cut.
    Unreadable,
}

/// What is asked.
pub struct Request<'a> {
    pub api: SocketAddr,
    pub method: &'a str,
    pub path: &'a str,
    /// Each with its line end.
    pub headers: &'a str,
    pub body: &'a str,
}

impl<'a> Request<'a> {
    pub fn get(api: SocketAddr, path: &'a str) -> Self {
        Self { api, method: "GET", path, headers: "", body: "" }
    }

    /// The status code and the body of the answer, if it comes within [`PATIENCE`].
    ///
    /// # Errors
    /// Why none came.
    pub fn answer(&self) -> Result<(u16, String), Silence> {
        self.answer_while(&mut |_| false)
    }

    /// The status code and the body of the answer, of something that takes its time: whenever nothing came for
    /// [`PATIENCE`], `goes_on` is told how often that was, and says whether to wait on.
    ///
    /// # Errors
    /// Why none came.
    pub fn answer_while(&self, goes_on: &mut dyn FnMut(u32) -> bool) -> Result<(u16, String), Silence> {
        let Self { api, method, path, headers, body } = self;
        let mut stream = TcpStream::connect_timeout(api, PATIENCE).map_err(|error| match error.kind() {
            ErrorKind::TimedOut => Silence::Late,
            _ => Silence::Nobody,
        })?;
        stream
            .set_read_timeout(Some(PATIENCE))
            .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
            .map_err(|error| why(&error))?;
        // HTTP 1.0: the answer ends with the connection and comes in one piece.
        write!(stream, "{method} {path} HTTP/1.0\r\nHost: {api}\r\n{headers}\r\n{body}")
            .map_err(|error| why(&error))?;
        let (mut answer, mut piece, mut waited) = (Vec::new(), vec![0; 64 << 10], 0);
        let mut begun = None;
        loop {
            match stream.read(&mut piece) {
                Ok(0) => return parts(answer).ok_or(Silence::Unreadable),
                Ok(read) => {
                    answer.extend_from_slice(&piece[..read]);
                    if begun.get_or_insert_with(Instant::now).elapsed() > WHOLE {
                        return Err(Silence::Late);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if why(&error) == Silence::Late => {
                    waited += 1;
                    // An answer that has begun does not pause for long.
                    if begun.is_some() || !goes_on(waited) {
                        return Err(Silence::Late);
                    }
                }
                Err(_) => return Err(Silence::Unreadable),
            }
        }
    }
}

fn why(error: &std::io::Error) -> Silence {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Silence::Late,
        _ => Silence::Unreadable,
    }
}

/// Status code and body.
fn parts(answer: Vec<u8>) -> Option<(u16, String)> {
    let answer = String::from_utf8(answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let code = head.strip_prefix("HTTP/")?.split(' ').nth(1)?.parse().ok()?;
    Some((code, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_http_or_it_is_none() {
        let parsed = |text: &str| parts(text.as_bytes().to_vec());
        assert_eq!(parsed("HTTP/1.1 200 OK\r\nA: b\r\n\r\n[]"), Some((200, "[]".to_owned())));
        for wrong in ["", "SSH-2.0-x 200 y\r\n\r\n", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 OK\r\n\r\n"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
        assert_eq!(parts(vec![0xff; 20]), None);
    }
}
