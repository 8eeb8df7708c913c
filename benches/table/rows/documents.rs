//! JWKS and discovery against a constant of that size, behind the same layers and of the bare framework.

use super::{Bench, get, median};
use crate::load::request;

impl Bench {
    pub(super) fn documents(&mut self) {
        for path in [
            "/.well-known/jwks.json",
            "/.well-known/openid-configuration",
        ] {
            let (mut rates, mut layered, mut bare) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..self.sizes.rounds {
                let server = self.server();
                let bytes = get(server.address, path).expect("it answers").len();
                rates.push(
                    self.busy(&server, |_| request("GET", path, &[], None))
                        .per_second(),
                );
                drop(server);
                for (kind, to) in [("layers", &mut layered), ("bare", &mut bare)] {
                    let server = self.limit(kind, bytes);
                    to.push(
                        self.busy(&server, |_| request("GET", "/constant", &[], None))
                            .per_second(),
                    );
                }
            }
            let (rate, layered, bare) = (median(rates), median(layered), median(bare));
            self.row(
                path,
                rate,
                "answers/s",
                "a constant behind the same layers",
                layered,
                0.9,
            );
            self.row(
                path,
                rate,
                "answers/s",
                "a constant of the bare framework",
                bare,
                0.45,
            );
        }
    }
}
