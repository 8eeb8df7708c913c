//! Doorward: the one place where a company's users live, and the one door that they and its services come in by.
//!
//! The house, from the shell inwards (docs/architecture.md draws it):
//!
//! - shell: `openapi` the API described · [`cli`] the command line · [`running`] a running server · [`router`] every URL · `server` the listener · `jobs` what runs beside
//!   the requests · `ops` health and logs · [`app`] and `cx` what is passed down
//! - surfaces: `account` people's own pages · `discovery` what this server can do · `userinfo` what an application may know of who signed in
//! - flows: `authorize` what an application asks of a browser · `token` the token endpoint and the bearer guard · `client_auth` how clients prove themselves ·
//!   `registration` clients that register themselves · `login` signing in · `logout` leaving, and telling applications · `consent` what people let clients have
//! - nouns: `users` · `clients` · `credentials` · `sessions` · `keys` · `families` what a sign-in gave · `notices` who is to be told of its end ·
//!   `events` · `consumers` · `webhooks` · `audit` · `idempotency` requests that make something make it once
//! - tools: [`config`] · `db` · `fetch` the one outbound client · `http` · `jose` · `meters`
//! - [`kernel`]: time, chance, ids, secrets, scopes

mod account;
pub mod app;
mod audit;
mod authorize;
pub mod cli;
mod client_auth;
mod clients;
pub mod config;
mod consent;
mod consumers;
mod credentials;
mod cx;
mod db;
mod discovery;
mod events;
mod families;
mod fetch;
#[cfg(test)]
mod fuzz;
mod http;
mod idempotency;
mod jobs;
mod jose;
pub mod kernel;
mod keys;
mod login;
mod logout;
mod meters;
mod notices;
mod openapi;
mod ops;
mod registration;
pub mod router;
pub mod running;
mod server;
mod sessions;
mod token;
mod userinfo;
mod users;
mod webhooks;

pub use http::ProblemKind;
