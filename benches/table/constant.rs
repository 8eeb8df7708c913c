//! The raw limits that are programs of their own: a constant answer behind Doorward's layers, one of the bare framework, and bare hashes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use axum::Router;
use axum::routing::get;
use doorward::app::Databases;
use doorward::config::Config;
use doorward::kernel::clock::SystemClock;
use doorward::running::{self, Running};
use tokio::net::TcpListener;

fn body(bytes: usize) -> &'static str {
    Box::leak("x".repeat(bytes).into_boxed_str())
}

/// Serves `/constant` of so many bytes for ever.
#[tokio::main]
pub(crate) async fn serve(layers: bool, address: SocketAddr, bytes: usize, url: &str, keys: &str) {
    let listener = TcpListener::bind(address).await.expect("a port");
    let body = body(bytes);
    if layers {
        let mut config = Config::default();
        config.keys_dir = keys.into();
        // Each request has its span there too.
        let _logging = running::log(&config.log);
        let options: sqlx::postgres::PgConnectOptions = url.parse().expect("a URL");
        let databases = Databases {
            pooled: options.clone(),
            direct: options,
        };
        let constant = Router::new().route("/constant", get(move || async move { body }));
        let running =
            Running::start_with(constant, config, databases, Arc::new(SystemClock), listener);
        let _running = running.await.expect("it starts");
        std::future::pending::<()>().await;
    } else {
        let router: Router = Router::new().route("/constant", get(move || async move { body }));
        axum::serve(listener, router).await.expect("it serves");
    }
}

/// Bare Argon2id hashes a second with the default parameters, on one thread.
pub(crate) fn hashes(seconds: u64) -> f64 {
    let params = Params::new(19_456, 2, 1, Some(32)).expect("parameters");
    let mut memory = vec![Block::default(); params.block_count()];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let (began, mut done) = (Instant::now(), 0_u32);
    let mut output = [0; 32];
    while began.elapsed() < Duration::from_secs(seconds) {
        argon2
            .hash_password_into_with_memory(b"wordy rivers 77", &[7; 16], &mut output, &mut memory)
            .expect("a hash");
        done += 1;
    }
    f64::from(done) / began.elapsed().as_secs_f64()
}
