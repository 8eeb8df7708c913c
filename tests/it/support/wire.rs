//! A bare connection: for what no well-behaved client would send.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Server;

pub(crate) struct Wire(TcpStream);

impl Wire {
    pub(crate) async fn open(server: &Server) -> Self {
        Self::to(&server.url).await
    }

    /// To `http://localhost:PORT`.
    pub(crate) async fn to(url: &str) -> Self {
        let port = url.rsplit(':').next().unwrap();
        Self(
            TcpStream::connect(format!("127.0.0.1:{port}"))
                .await
                .unwrap(),
        )
    }

    /// Sends bytes; an error is the server's good right.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.write_all(bytes.as_ref()).await;
    }

    /// All that arrives until the server closes; fails when it has not closed within `bound`.
    pub(crate) async fn read_to_close(&mut self, bound: Duration) -> String {
        let mut bytes = Vec::new();
        let read = self.0.read_to_end(&mut bytes);
        // A reset is a way of closing too.
        let _ = tokio::time::timeout(bound, read)
            .await
            .expect("the server closes the connection");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The head of one answer.
    pub(crate) async fn read_head(&mut self) -> String {
        let mut head = Vec::new();
        let read = async {
            while !head.ends_with(b"\r\n\r\n") {
                match self.0.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), read)
            .await
            .expect("an answer");
        String::from_utf8_lossy(&head).into_owned()
    }
}
