//! As much of HTTP/1.1 (RFC 9112) as one page and one stream of events need: a request a connection, heads of bounded
//! size, no bodies.

use std::io::{self, Read, Write};

/// The most bytes of a request's head.
const MOST_HEAD: usize = 8 << 10;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    /// Without what stands behind a `?`.
    pub(super) path: String,
    /// The host that was asked for, in lower case.
    pub(super) host: Option<String>,
}

impl Request {
    /// Reads the head of a request; none where it is none.
    ///
    /// # Errors
    /// The connection fails, or takes too long.
    pub(super) fn read(stream: &mut impl Read) -> io::Result<Option<Self>> {
        let (mut head, mut buffer) = (Vec::new(), [0; 1024]);
        loop {
            let count = stream.read(&mut buffer)?;
            head.extend_from_slice(&buffer[..count]);
            // the end may lie across two reads
            if let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                head.truncate(end);
                return Ok(Self::of_head(&head));
            }
            if count == 0 || head.len() > MOST_HEAD {
                return Ok(None);
            }
        }
    }

    fn of_head(head: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(head).ok()?.split("\r\n");
        let mut first = lines.next()?.split(' ');
        let (method, target, version) = (first.next()?, first.next()?, first.next()?);
        if !version.starts_with("HTTP/1.") || first.next().is_some() || !target.starts_with('/') {
            return None;
        }
        let hosts = lines.filter_map(|line| line.split_once(':')).filter(|(name, _)| name.eq_ignore_ascii_case("host"));
        let mut hosts = hosts.map(|(_, value)| value.trim().to_ascii_lowercase());
        let host = hosts.next();
        // two of them are two minds
        if hosts.next().is_some() {
            return None;
        }
        let path = target.split('?').next().unwrap_or(target).to_owned();
        Some(Self { method: method.to_owned(), path, host })
    }
}

/// A whole answer; `head` alone where the request asked for no more.
///
/// # Errors
/// The connection fails.
pub(super) fn answer(stream: &mut impl Write, status: &str, kind: &str, body: &[u8], head: bool) -> io::Result<()> {
    let length = format!("Content-Length: {}\r\n", body.len());
    let mut bytes = header(status, kind, &length).into_bytes();
    if !head {
        bytes.extend_from_slice(body);
    }
    stream.write_all(&bytes)?;
    stream.flush()
}

/// The head of an answer. Nothing but what the page holds itself is loaded, and no other page may show it.
pub(super) fn header(status: &str, kind: &str, more: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nConnection: close\r\nCache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\n\
         Cross-Origin-Resource-Policy: same-origin\r\n\
         Content-Security-Policy: default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
         img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n{more}\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(3).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn heads_are_read_however_they_come_and_what_is_none_is_refused() {
        let read = |text: &str| Request::read(&mut Slow(text.as_bytes())).unwrap();
        let got = read("GET /events?x=1 HTTP/1.1\r\nHOST:  LocalHost:80 \r\nAccept: */*\r\n\r\n").unwrap();
        assert_eq!(
            (got.method.as_str(), got.path.as_str(), got.host.as_deref()),
            ("GET", "/events", Some("localhost:80"))
        );
        assert_eq!(read("GET / HTTP/1.0\r\n\r\n").unwrap().host, None);
        for none in [
            "",
            "GET / HTTP/1.1\r\nHost: a",
            "GET /\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\n\r\n",
            "GET / HTTP/2\r\n\r\n",
            "GET / a HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
            &format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(2 * MOST_HEAD)),
        ] {
            assert_eq!(read(none), None, "{:?}", none.get(..30));
        }
    }
}
