//! Which addresses Doorward connects to: the public internet's, and those that the settings name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::FetchError;
use crate::config::Fetch;

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

const fn v6(a: u16, b: u16, bits: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), bits)
}

/// IPv4 that is nobody's on the public internet (RFC 6890 and the registry that it began).
const CLOSED_V4: [Ipv4Net; 17] = [
    v4(0, 0, 0, 0, 8),        // this network
    v4(10, 0, 0, 0, 8),       // private
    v4(100, 64, 0, 0, 10),    // carriers' NAT, and one cloud's metadata
    v4(127, 0, 0, 0, 8),      // loopback
    v4(168, 63, 129, 16, 32), // one cloud's metadata, on an address that looks public
    v4(169, 254, 0, 0, 16),   // link-local, and most clouds' metadata
    v4(172, 16, 0, 0, 12),    // private
    v4(192, 0, 0, 0, 24),     // protocol assignments
    v4(192, 0, 2, 0, 24),     // documentation
    v4(192, 88, 99, 0, 24),   // 6to4 relays
    v4(192, 168, 0, 0, 16),   // private
    v4(198, 18, 0, 0, 15),    // benchmarking
    v4(198, 51, 100, 0, 24),  // documentation
    v4(203, 0, 113, 0, 24),   // documentation
    v4(224, 0, 0, 0, 4),      // multicast
    v4(240, 0, 0, 0, 4),      // reserved, and broadcast
    v4(192, 175, 48, 0, 24),  // the black hole for private reverse names
];

/// IPv6 that is somebody's: global unicast. Loopback, v4-mapped, v4-compatible, NAT64, unique local, link-local, site-local and
/// multicast all lie outside.
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 3);

/// And of that, what is nobody's, or hides an IPv4 address.
const CLOSED_V6: [Ipv6Net; 4] = [
    v6(0x2001, 0, 23),      // protocol assignments: Teredo, benchmarking, ORCHID
    v6(0x2001, 0x0db8, 32), // documentation
    v6(0x2002, 0, 16),      // 6to4
    v6(0x3fff, 0, 20),      // documentation
];

/// What the settings allow.
pub(super) struct Guard {
    networks: Vec<IpNet>,
    ports: Vec<u16>,
}

impl Guard {
    pub(super) fn new(settings: &Fetch) -> Self {
        Self {
            networks: settings.allowed_networks.clone(),
            ports: settings.allowed_ports.clone(),
        }
    }

    /// Asked of each address that is about to be connected to. Within the networks that the settings name every port goes; http goes
    /// to this machine alone, where they name it.
    pub(super) fn check(&self, ip: IpAddr, port: u16, https: bool) -> Result<(), FetchError> {
        let named = self.networks.iter().any(|network| network.contains(&ip));
        if !named && !is_public(ip) {
            return Err(FetchError::Address);
        }
        if !https && !ip.is_loopback() {
            return Err(FetchError::Insecure);
        }
        if !named && !self.ports.contains(&port) {
            return Err(FetchError::Port(port));
        }
        Ok(())
    }
}

fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !CLOSED_V4.iter().any(|network| network.contains(&ip)),
        IpAddr::V6(ip) => {
            GLOBAL_V6.contains(&ip)
                && !CLOSED_V6.iter().any(|network| network.contains(&ip))
                && !is_isatap(ip)
        }
    }
}

/// An interface id of `…:5efe:a.b.c.d` (RFC 5214 §6.1): a tunnel to an IPv4 address.
fn is_isatap(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    segments[5] == 0x5efe && matches!(segments[4], 0 | 0x0200)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(networks: &[&str]) -> Guard {
        Guard {
            networks: networks.iter().map(|n| n.parse().unwrap()).collect(),
            ports: vec![443, 8443],
        }
    }

    #[test]
    fn addresses_inside_are_refused() {
        // S-159
        let guard = guard(&[]);
        let hostile = [
            "0.0.0.0",
            "0.0.0.1",
            "0.255.255.255",
            "10.0.0.0",
            "10.1.2.3",
            "10.255.255.255",
            "100.64.0.0",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.0",
            "127.0.0.1",
            "127.0.0.53",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.0.1",
            "169.254.169.254",
            "169.254.170.2",
            "169.254.255.255",
            "172.16.0.0",
            "172.17.0.1",
            "172.31.255.255",
            "192.0.0.0",
            "192.0.0.170",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.0",
            "192.168.1.1",
            "192.168.255.255",
            "192.175.48.1",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.255",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "254.1.2.3",
            "255.255.255.255",
            "::",
            "::1",
            "::2",
            "::127.0.0.1",
            "::10.0.0.1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:8.8.8.8",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::a00:1",
            "100::1",
            "2001::1",
            "2001:0:7f00:1::",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:a9fe:a9fe::1",
            "2002:808:808::1",
            "3fff::1",
            "3fff:fff:ffff::1",
            "5f00::1",
            "fc00::1",
            "fd00::1",
            "fd00:ec2::254",
            "fdff:ffff::1",
            "fe80::1",
            "fe80::a9fe:a9fe",
            "febf::1",
            "fec0::1",
            "feff::1",
            "ff00::1",
            "ff02::1",
            "ff0e::1",
            "2600::5efe:7f00:1",
            "2600::200:5efe:a00:1",
            "4000::1",
            "8000::1",
        ];
        assert!(hostile.len() >= 60);
        for text in hostile {
            let ip = text.parse().unwrap();
            let refused = guard.check(ip, 443, true);
            assert!(
                matches!(refused, Err(FetchError::Address)),
                "{text}: {refused:?}"
            );
        }
    }

    #[test]
    fn neighbours_of_what_is_refused_are_not() {
        let guard = guard(&[]);
        for text in [
            "1.0.0.0",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:db7::1",
            "2001:4860:4860::8888",
            "2003::1",
            "2606:4700:4700::1111",
            "3ffe::1",
            "2600::1",
        ] {
            let ip = text.parse().unwrap();
            assert!(guard.check(ip, 443, true).is_ok(), "{text}");
        }
    }

    #[test]
    fn the_settings_open_what_they_name_and_no_more() {
        // S-159
        let guard = guard(&["127.0.0.0/8", "10.1.0.0/16", "fd12::/16"]);
        let check = |ip: &str, port, https| guard.check(ip.parse().unwrap(), port, https);
        assert!(
            check("127.0.0.1", 4000, false).is_ok(),
            "http on this machine"
        );
        assert!(check("10.1.2.3", 9443, true).is_ok(), "any port");
        assert!(check("fd12::1", 443, true).is_ok());
        assert!(matches!(
            check("10.1.2.3", 80, false),
            Err(FetchError::Insecure)
        ));
        assert!(matches!(
            check("8.8.8.8", 80, false),
            Err(FetchError::Insecure)
        ));
        for inside in [
            "10.2.0.1",
            "fd13::1",
            "::1",
            "::ffff:127.0.0.1",
            "169.254.169.254",
        ] {
            let refused = check(inside, 443, true);
            assert!(matches!(refused, Err(FetchError::Address)), "{inside}");
        }
        for port in [22, 25, 80, 5432, 6379, 8080] {
            let refused = check("8.8.8.8", port, true);
            assert!(matches!(refused, Err(FetchError::Port(_))), "{port}");
        }
        assert!(check("8.8.8.8", 8443, true).is_ok());
    }
}
