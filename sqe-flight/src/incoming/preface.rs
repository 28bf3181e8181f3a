//! The first bytes of a connection.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// What every client of HTTP/2 says first (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Waits until the client has said it.
///
/// # Errors
/// It says something else, or it is gone.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut buffer = [0; PREFACE.len()];
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match stream.read(rest).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
        // Told apart as soon as possible: a client of HTTP/1 waits for an answer after fewer bytes than these.
        if buffer.get(..filled) != PREFACE.get(..filled) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the client does not speak HTTP/2"));
        }
    }
    Ok(())
}
