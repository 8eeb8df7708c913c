//! Lengths of time as people write them in settings: `90s`, `10m`, `24h`, `30d`.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

/// A length of time of whole seconds, written `90s`, `10m`, `24h` or `30d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(u32);

impl Span {
    pub const fn seconds(seconds: u32) -> Self {
        Self(seconds)
    }

    pub const fn minutes(minutes: u32) -> Self {
        Self(minutes * 60)
    }

    pub const fn hours(hours: u32) -> Self {
        Self(hours * 3600)
    }

    pub const fn days(days: u32) -> Self {
        Self(days * 86_400)
    }

    pub const fn whole_seconds(self) -> u32 {
        self.0
    }

    /// For arithmetic on the clock's times.
    pub fn time(self) -> time::Duration {
        time::Duration::seconds(i64::from(self.0))
    }

    /// For waiting.
    pub fn std(self) -> std::time::Duration {
        std::time::Duration::from_secs(u64::from(self.0))
    }
}

impl FromStr for Span {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str =
            "expected a length of time like \"90s\", \"10m\", \"24h\" or \"30d\"";
        let split = text
            .len()
            .checked_sub(1)
            .filter(|at| text.is_char_boundary(*at))
            .ok_or(EXPECTED)?;
        let (number, unit) = text.split_at(split);
        let unit = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err(EXPECTED),
        };
        if !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(EXPECTED);
        }
        let number: u32 = number.parse().map_err(|_| EXPECTED)?;
        number.checked_mul(unit).map(Self).ok_or(EXPECTED)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_one_number_and_one_unit() {
        assert_eq!("90s".parse(), Ok(Span::seconds(90)));
        assert_eq!("30d".parse(), Ok(Span::days(30)));
        for bad in [
            "",
            "s",
            "10",
            "1.5h",
            "-1s",
            "+1s",
            "10 m",
            "1h30m",
            "99999999d",
            "5é",
        ] {
            assert!(bad.parse::<Span>().is_err(), "{bad:?}");
        }
    }
}
