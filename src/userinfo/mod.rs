//! Userinfo: what an application may know of the person who signed in (OpenID Connect Core §5.3).

pub(crate) mod http;
