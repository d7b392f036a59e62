//! The addresses that jobs' own networks are taken from (RFC 4632's notation).

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use super::Invalid;

/// Of one job's network: room for the network's and the router's own addresses, the build
/// script and the most services that a hook may have.
const PREFIX: u8 = 28;
/// Of the largest pool.
const LARGEST: u8 = 8;

/// A block of addresses, which is divided into networks of 16 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkPool(Subnet);

/// A block of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    first: u32,
    prefix: u8,
}

impl NetworkPool {
    /// Networks in it.
    pub fn count(&self) -> u32 {
        1 << (PREFIX - self.0.prefix)
    }

    /// One of them; beyond the last comes the first again.
    pub fn subnet(&self, at: u32) -> Subnet {
        Subnet { first: self.0.first + (at % self.count()) * (1 << (32 - PREFIX)), prefix: PREFIX }
    }
}

impl Default for NetworkPool {
    /// 10.213.0.0/16.
    fn default() -> Self {
        Self(Subnet { first: u32::from(Ipv4Addr::new(10, 213, 0, 0)), prefix: 16 })
    }
}

impl FromStr for NetworkPool {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || {
            Invalid::new(format!(
                "must be a block of IPv4 addresses like 10.213.0.0/16, from /{LARGEST} to /{PREFIX}"
            ))
        };
        let subnet: Subnet = text.parse().map_err(|_| wrong())?;
        if (LARGEST..=PREFIX).contains(&subnet.prefix) { Ok(Self(subnet)) } else { Err(wrong()) }
    }
}

impl fmt::Display for NetworkPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Subnet {
    pub fn new(address: Ipv4Addr, prefix: u8) -> Option<Self> {
        (prefix <= 32).then(|| Self { first: u32::from(address) & mask(prefix), prefix })
    }

    /// Its address with this number; 0 is its own, and 1 its router's.
    pub fn address(&self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.first + number)
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        let mask = mask(self.prefix.min(other.prefix));
        self.first & mask == other.first & mask
    }
}

impl FromStr for Subnet {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parsed = text.split_once('/').and_then(|(address, prefix)| {
            let (address, prefix) = (address.parse().ok()?, prefix.parse().ok()?);
            Self::new(address, prefix).filter(|subnet| subnet.first == u32::from(address))
        });
        parsed.ok_or_else(|| Invalid::new(format!("`{text}` is not a block of IPv4 addresses")))
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.first), self.prefix)
    }
}

/// Shifting by all 32 bits is not defined.
pub(super) fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_divided_without_overlap() {
        let pool: NetworkPool = "10.1.2.0/26".parse().unwrap();
        assert_eq!(pool.count(), 4);
        let subnets: Vec<Subnet> = (0..5).map(|at| pool.subnet(at)).collect();
        assert_eq!(subnets[3].to_string(), "10.1.2.48/28");
        assert_eq!(subnets[4], subnets[0]);
        assert!(!subnets[0].overlaps(&subnets[1]) && subnets[0].overlaps(&subnets[4]));
        assert_eq!(subnets[1].address(2).to_string(), "10.1.2.18");
        assert_eq!(NetworkPool::default().to_string(), "10.213.0.0/16");
        assert_eq!(NetworkPool::default().count(), 4_096);
        assert_eq!("10.213.0.0/16".parse::<NetworkPool>().unwrap(), NetworkPool::default());
    }

    #[test]
    fn blocks_overlap_where_one_is_in_the_other() {
        let subnet = |text: &str| text.parse::<Subnet>().unwrap();
        assert!(subnet("10.0.0.0/8").overlaps(&subnet("10.213.4.16/28")));
        assert!(subnet("0.0.0.0/0").overlaps(&subnet("192.168.0.0/16")));
        assert!(!subnet("172.17.0.0/16").overlaps(&subnet("172.18.0.0/16")));
    }

    #[test]
    fn what_is_no_pool_is_refused() {
        for text in
            ["", "10.0.0.0", "10.0.0.1/16", "10.0.0.0/29", "0.0.0.0/0", "10.0.0.0/33", "::/16"]
        {
            assert!(text.parse::<NetworkPool>().is_err(), "{text}");
        }
    }
}
