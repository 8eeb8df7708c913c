//! The wire between the replicas and PostgreSQL, to be cut, delayed and black-holed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Wire {
    Whole,
    /// What is open is closed, and what comes is refused.
    Cut,
    /// Each packet arrives a third of a second late.
    Slow,
    /// Nothing arrives, and nobody says so.
    Silent,
}

#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    wire: Arc<AtomicU8>,
}

impl Proxy {
    pub(crate) async fn to(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let proxy = Self {
            address: listener.local_addr().expect("bound"),
            wire: Arc::new(AtomicU8::new(Wire::Whole as u8)),
        };
        let this = proxy.clone();
        tokio::spawn(async move {
            loop {
                let Ok((near, _)) = listener.accept().await else {
                    continue;
                };
                if this.is(Wire::Cut) {
                    continue;
                }
                let (this, socket) = (this.clone(), socket.clone());
                tokio::spawn(async move {
                    let Ok(far) = UnixStream::connect(&socket).await else {
                        return;
                    };
                    let (near_in, near_out) = near.into_split();
                    let (far_in, far_out) = far.into_split();
                    tokio::select! {
                        () = this.carry(near_in, far_out) => {}
                        () = this.carry(far_in, near_out) => {}
                        () = this.cut() => {}
                    }
                });
            }
        });
        proxy
    }

    pub(crate) fn set(&self, wire: Wire) {
        self.wire.store(wire as u8, Ordering::SeqCst);
    }

    fn is(&self, wire: Wire) -> bool {
        self.wire.load(Ordering::SeqCst) == wire as u8
    }

    async fn cut(&self) {
        while !self.is(Wire::Cut) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn carry(&self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
        let mut bytes = vec![0; 16 * 1024];
        loop {
            let Ok(n) = from.read(&mut bytes).await else {
                return;
            };
            if n == 0 {
                return;
            }
            if self.is(Wire::Slow) {
                tokio::time::sleep(Duration::from_millis(333)).await;
            }
            while self.is(Wire::Silent) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            if to.write_all(&bytes[..n]).await.is_err() {
                return;
            }
        }
    }
}
