//! What jobs do not reach.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;

use super::{Invalid, Subnet};

/// Addresses that no container of a job reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// Where clouds tell a machine who it is, with keys to more.
    pub metadata: bool,
    /// The ports of Kozmic's own parts.
    pub server: bool,
    pub blocks: Vec<Subnet>,
    pub ports: Vec<SocketAddrV4>,
}

impl Blocked {
    /// Nothing is blocked.
    pub const NOTHING: &str = "none";

    pub fn is_nothing(&self) -> bool {
        !self.metadata && !self.server && self.blocks.is_empty() && self.ports.is_empty()
    }

    fn nothing() -> Self {
        Self { metadata: false, server: false, blocks: Vec::new(), ports: Vec::new() }
    }
}

impl Default for Blocked {
    fn default() -> Self {
        Self { metadata: true, server: true, ..Self::nothing() }
    }
}

impl FromStr for Blocked {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut blocked = Self::nothing();
        if text.trim() == Self::NOTHING {
            return Ok(blocked);
        }
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "metadata" => blocked.metadata = true,
                "server" => blocked.server = true,
                word if word.contains(':') => blocked.ports.push(word.parse().map_err(|_| {
                    Invalid::new(format!("`{word}` is not ADDRESS:PORT, like 10.0.0.5:5432"))
                })?),
                word if word.contains('/') => blocked.blocks.push(word.parse()?),
                word => {
                    let address: Option<Ipv4Addr> = word.parse().ok();
                    let block = address.and_then(|address| Subnet::new(address, 32));
                    blocked.blocks.push(block.ok_or_else(|| {
                        Invalid::new(format!(
                            "`{word}` is neither metadata, server nor an IPv4 address; `none` \
                             blocks nothing"
                        ))
                    })?);
                }
            }
        }
        Ok(blocked)
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [(self.metadata, "metadata"), (self.server, "server")];
        let words = words.iter().filter(|(is_so, _)| *is_so).map(|(_, word)| (*word).to_owned());
        let blocks = self.blocks.iter().map(ToString::to_string);
        let ports = self.ports.iter().map(ToString::to_string);
        let all: Vec<String> = words.chain(blocks).chain(ports).collect();
        f.write_str(if all.is_empty() { Self::NOTHING } else { "" })?;
        f.write_str(&all.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["metadata,server", "none", "server,10.0.0.0/8,192.0.2.7/32,10.1.2.3:5432"] {
            assert_eq!(text.parse::<Blocked>().unwrap().to_string(), text);
        }
        assert_eq!("metadata, server".parse::<Blocked>().unwrap(), Blocked::default());
        assert_eq!("192.0.2.7".parse::<Blocked>().unwrap().to_string(), "192.0.2.7/32");
        assert!("none".parse::<Blocked>().unwrap().is_nothing());
        for wrong in ["nothing", "10.0.0.1/8", "10.0.0.1:port", "::1", "none,server"] {
            assert!(wrong.parse::<Blocked>().is_err(), "{wrong}");
        }
    }
}
