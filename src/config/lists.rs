//! Settings that are lists: in the environment a text with commas.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// A list of networks, or a text that separates them by commas, as an environment variable has it.
pub(super) fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Networks {
        Text(String),
        List(Vec<String>),
    }
    let parts = match Networks::deserialize(deserializer)? {
        Networks::Text(text) => text.split(',').map(|part| part.trim().to_owned()).collect(),
        Networks::List(parts) => parts,
    };
    let parts = parts.iter().filter(|part| !part.is_empty());
    parts
        .map(|part| {
            // A single address is a network of one.
            let one = part.parse::<IpAddr>().map(IpNet::from);
            one.or_else(|_| part.parse()).map_err(|_| {
                D::Error::custom("expected networks such as 10.0.0.0/8, separated by commas")
            })
        })
        .collect()
}

/// A list of ports, or a text that separates them by commas; the environment has one port as a number.
pub(super) fn ports<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u16>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Ports {
        One(u16),
        List(Vec<u16>),
        Text(String),
    }
    let expected = || D::Error::custom("expected ports such as 443, separated by commas");
    match Ports::deserialize(deserializer).map_err(|_| expected())? {
        Ports::One(port) => Ok(vec![port]),
        Ports::List(ports) => Ok(ports),
        Ports::Text(text) => {
            let parts = text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty());
            parts
                .map(|part| part.parse().map_err(|_| expected()))
                .collect()
        }
    }
}
