//! What keeps a job from addresses: rules of routing (ip-rule(8)) in its own network
//! namespace. Nothing of the host is changed, and a job can't change them: that takes
//! NET_ADMIN, which it has not.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};

use crate::model::{Blocked, NetworkPool, Subnet};

/// Where clouds answer: all of the link-local addresses (RFC 3927), Alibaba's, Oracle's.
const METADATA: [&str; 3] = ["169.254.0.0/16", "100.100.100.200/32", "192.0.0.192/32"];
/// Some clouds' resolvers are among them.
const DNS: u16 = 53;
/// By their numbers (RFC 790): names are looked up in a file that the image has not.
const TCP: u8 = 6;
const UDP: u8 = 17;

/// What is blocked, in numbers.
#[derive(Debug, Clone)]
pub struct Blocks {
    pub blocked: Blocked,
    /// Of Kozmic's own parts, at every address of the engine's machine.
    pub own_ports: Vec<u16>,
    /// Of Kozmic's own parts, elsewhere.
    pub own_sockets: Vec<SocketAddrV4>,
    /// A job does not run where it can't be kept from them.
    pub is_must: bool,
}

impl Blocks {
    /// For `ip -batch`, in a network of `subnet`. `local` are the addresses of the engine's
    /// machine. The first rule that fits holds.
    pub(super) fn rules(&self, pool: NetworkPool, subnet: Subnet, local: &[Ipv4Addr]) -> String {
        let mut rules = Rules(String::new());
        let gateway = subnet.address(1);
        let mut blocks = self.blocked.blocks.clone();
        if self.blocked.metadata {
            for block in METADATA {
                for protocol in [UDP, TCP] {
                    rules.add(&format!("to {block} ipproto {protocol} dport {DNS} lookup main"));
                }
                blocks.extend(block.parse::<Subnet>());
            }
        }
        let no_ports = Vec::new();
        let ports = if self.blocked.server { &self.own_ports } else { &no_ports };
        for port in ports {
            rules.add(&format!("to {gateway} ipproto {TCP} dport {port} prohibit"));
        }
        let at_gateway = Subnet::new(gateway, 32);
        if blocks.iter().any(|block| at_gateway.is_some_and(|it| it.overlaps(block))) {
            rules.add(&format!("to {gateway} prohibit"));
        }
        // What runs beside the script may have any port.
        rules.add(&format!("to {subnet} lookup main"));
        for block in &blocks {
            rules.add(&format!("to {block} prohibit"));
        }
        for port in ports {
            // Of bridges that are made later, too.
            rules.add(&format!("to {pool} ipproto {TCP} dport {port} prohibit"));
            for address in local.iter().filter(|address| !address.is_loopback()) {
                rules.add(&format!("to {address} ipproto {TCP} dport {port} prohibit"));
            }
        }
        let own = self.own_sockets.iter().filter(|_| self.blocked.server);
        for socket in own.chain(&self.blocked.ports) {
            let (address, port) = (socket.ip(), socket.port());
            rules.add(&format!("to {address} ipproto {TCP} dport {port} prohibit"));
        }
        rules.0
    }
}

/// Numbered in the order in which they hold.
struct Rules(String);

impl Rules {
    fn add(&mut self, rule: &str) {
        let number = 100 + self.0.lines().count();
        let _ = writeln!(self.0, "rule add pref {number} {rule}");
    }
}

/// The addresses of this machine, of the kernel's own table (`/proc/net/fib_trie`): each is a
/// line, with what it is in the next one.
pub(super) fn local_addresses(table: &str) -> Vec<Ipv4Addr> {
    let lines: Vec<&str> = table.lines().map(str::trim).collect();
    let local = lines.windows(2).filter(|pair| pair[1] == "/32 host LOCAL");
    let mut found: Vec<Ipv4Addr> =
        local.filter_map(|pair| pair[0].strip_prefix("|-- ")?.parse().ok()).collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(blocked: &str) -> String {
        let blocks = Blocks {
            blocked: blocked.parse().unwrap(),
            own_ports: vec![8080],
            own_sockets: vec!["10.9.9.9:5432".parse().unwrap()],
            is_must: false,
        };
        let local = ["127.0.0.1".parse().unwrap(), "192.0.2.1".parse().unwrap()];
        blocks.rules(NetworkPool::default(), "10.213.0.16/28".parse().unwrap(), &local)
    }

    #[test]
    fn resolvers_go_first_and_what_runs_beside_the_script_before_the_rest() {
        let rules = rules("metadata,server");
        let place = |what: &str| rules.find(what).unwrap_or_else(|| panic!("{what}: {rules}"));
        let dns = place("to 169.254.0.0/16 ipproto 17 dport 53 lookup main");
        let gateway = place("to 10.213.0.17 ipproto 6 dport 8080 prohibit");
        let own = place("to 10.213.0.16/28 lookup main");
        let metadata = place("to 169.254.0.0/16 prohibit");
        let others = place("to 10.213.0.0/16 ipproto 6 dport 8080 prohibit");
        assert!(dns < gateway && gateway < own && own < metadata && metadata < others);
        place("to 192.0.2.1 ipproto 6 dport 8080 prohibit");
        place("to 10.9.9.9 ipproto 6 dport 5432 prohibit");
        assert!(!rules.contains("127.0.0.1") && rules.starts_with("rule add pref 100 "));
    }

    #[test]
    fn a_block_that_has_the_gateway_blocks_all_of_it() {
        let rules = rules("10.0.0.0/8,192.0.2.9:25");
        assert!(rules.contains("to 10.213.0.17 prohibit"), "{rules}");
        assert!(rules.contains("to 192.0.2.9 ipproto 6 dport 25 prohibit"), "{rules}");
        assert!(!rules.contains("8080") && !rules.contains("10.9.9.9"), "{rules}");
    }

    #[test]
    fn addresses_are_read_as_the_kernel_writes_them() {
        let table = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.0\n        /24 link UNICAST\n\
                     Local:\n  |-- 127.0.0.1\n     /32 host LOCAL\n  |-- 10.0.0.5\n     /32 host LOCAL\n\
                     \x20 |-- 10.0.0.255\n     /32 link BROADCAST\n  |-- 10.0.0.5\n     /32 host LOCAL\n";
        let found: Vec<String> = local_addresses(table).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.0.0.5", "127.0.0.1"]);
    }
}
