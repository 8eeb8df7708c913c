//! What counts as one stranger on the network.

use std::net::{IpAddr, Ipv6Addr};

/// An IPv4 address as it is; of IPv6 the /64, which is what one household or machine has.
pub(crate) fn household(ip: IpAddr) -> IpAddr {
    masked(ip, 64)
}

/// The /48 of an IPv6 address: one customer may hold all of it, and its 65,536 networks.
pub(crate) fn site(ip: IpAddr) -> Option<IpAddr> {
    ip.to_canonical().is_ipv6().then(|| masked(ip, 48))
}

fn masked(ip: IpAddr, bits: u32) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip) & (u128::MAX << (128 - bits))).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_household_is_one_stranger() {
        // S-90, S-177
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(household(ip("192.0.2.1")), ip("192.0.2.1"));
        assert_eq!(household(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
        assert_eq!(household(ip("2001:db8:1:2:3::4")), ip("2001:db8:1:2::"));
        assert_eq!(site(ip("2001:db8:1:2:3::4")), Some(ip("2001:db8:1::")));
        assert_eq!(site(ip("192.0.2.1")), None);
    }
}
