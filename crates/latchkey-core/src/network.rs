//! A client network in CIDR notation (RFC 4632, RFC 4291), to which a key can be narrowed (IAM K7).

use core::fmt;
use core::net::IpAddr;

/// An address whose bits behind the prefix length are zero. Ascending order is by prefix length, then version 4
/// before 6, then address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    prefix_len: u8,
    address: IpAddr,
}

/// Why a text is no network; the caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkError {
    /// No IPv4 or IPv6 address in front of the `/`.
    Address,
    /// The prefix length is no plain number of at most 32, or 128 for IPv6.
    PrefixLength,
    /// A bit behind the prefix length is set: whoever wrote it meant another network, or a single address.
    HostBits,
    /// An IPv4 address written as IPv6: such clients count as IPv4, so it would match nobody.
    Mapped,
}

impl Network {
    /// Parses `10.0.0.0/8`, `2001:db8::/32`, or a bare address, which means that one alone.
    ///
    /// # Errors
    /// [`NetworkError`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix_len) = match text.split_once('/') {
            Some((address, len)) => (address, Some(parse_len(len)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Address)?;
        Self::new(address, prefix_len.unwrap_or(bits(&address)))
    }

    /// The network of this address and prefix length.
    ///
    /// # Errors
    /// [`NetworkError`], all but [`NetworkError::Address`].
    pub fn new(address: IpAddr, prefix_len: u8) -> Result<Self, NetworkError> {
        if prefix_len > bits(&address) {
            return Err(NetworkError::PrefixLength);
        }
        if address.to_canonical() != address {
            return Err(NetworkError::Mapped);
        }
        if number(&address) & !mask(prefix_len) != 0 {
            return Err(NetworkError::HostBits);
        }
        Ok(Self { prefix_len, address })
    }

    /// Whether a client with this address is in the network. An IPv4 address in IPv6 form counts as IPv4.
    pub fn contains(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        client.is_ipv4() == self.address.is_ipv4()
            && number(&client) & mask(self.prefix_len) == number(&self.address)
    }

    /// The network's first address.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// How many leading bits of an address must be the network's.
    pub const fn prefix_len(&self) -> u8 {
        self.prefix_len
    }
}

/// Plain decimal, one form only: no sign, no leading zero.
fn parse_len(text: &str) -> Result<u8, NetworkError> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain).ok_or(NetworkError::PrefixLength)
}

const fn bits(address: &IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The address's bits from the highest of 128 on, so that one mask serves both versions.
const fn number(address: &IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => (address.to_bits() as u128) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

const fn mask(prefix_len: u8) -> u128 {
    match u128::MAX.checked_shr(prefix_len as u32) {
        Some(host) => !host,
        None => u128::MAX,
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Network({self})")
    }
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "a network is an IPv4 or IPv6 address, or one with `/` and a prefix length",
            Self::PrefixLength => "a prefix length is a number of at most 32, or 128 for IPv6",
            Self::HostBits => "a network's bits behind its prefix length are zero",
            Self::Mapped => "an IPv4 network is written as IPv4",
        })
    }
}

impl core::error::Error for NetworkError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    fn network(text: &str) -> Network {
        Network::parse(text).unwrap()
    }

    #[test]
    fn text_that_is_no_network_is_refused() {
        for (text, error) in [
            ("", NetworkError::Address),
            ("example.org", NetworkError::Address),
            ("10.0.0/8", NetworkError::Address),
            ("010.0.0.0/8", NetworkError::Address),
            ("10.0.0.0 /8", NetworkError::Address),
            ("[::1]", NetworkError::Address),
            ("fe80::1%eth0", NetworkError::Address),
            ("10.0.0.0/", NetworkError::PrefixLength),
            ("10.0.0.0/08", NetworkError::PrefixLength),
            ("10.0.0.0/+8", NetworkError::PrefixLength),
            ("10.0.0.0/-1", NetworkError::PrefixLength),
            ("10.0.0.0/33", NetworkError::PrefixLength),
            ("10.0.0.0/8/8", NetworkError::PrefixLength),
            ("10.0.0.0/256", NetworkError::PrefixLength),
            ("::/129", NetworkError::PrefixLength),
            ("10.0.0.1/8", NetworkError::HostBits),
            ("0.0.0.1/0", NetworkError::HostBits),
            ("2001:db8::1/32", NetworkError::HostBits),
            ("::ffff:10.0.0.0/104", NetworkError::Mapped),
            ("::ffff:10.0.0.1", NetworkError::Mapped),
            ("::ffff:0:0/96", NetworkError::Mapped),
        ] {
            assert_eq!(Network::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn client_outside_is_not_contained_k7() {
        let check = |text: &str, client: &str| network(text).contains(client.parse().unwrap());
        for (text, client) in [
            ("10.0.0.0/8", "11.0.0.0"),
            ("10.0.0.0/8", "9.255.255.255"),
            ("10.0.0.0/8", "::ffff:11.0.0.1"),
            ("10.0.0.0/8", "::10.0.0.1"),
            ("0.0.0.0/0", "::1"),
            ("::/0", "10.0.0.1"),
            ("::/0", "::ffff:10.0.0.1"),
            ("192.0.2.1", "192.0.2.2"),
            ("2001:db8::/32", "2001:db9::"),
        ] {
            assert!(!check(text, client), "{text} {client}");
        }
        for (text, client) in [
            ("10.0.0.0/8", "10.255.0.1"),
            ("10.0.0.0/8", "::ffff:10.0.0.1"),
            ("0.0.0.0/0", "255.255.255.255"),
            ("::/0", "::1"),
            ("192.0.2.1", "192.0.2.1"),
            ("2001:db8::/32", "2001:db8:ffff::1"),
        ] {
            assert!(check(text, client), "{text} {client}");
        }
    }

    #[test]
    fn order_is_by_length_then_version_then_address() {
        let texts = ["0.0.0.0/0", "::/0", "10.0.0.0/8", "11.0.0.0/8", "2000::/8", "10.0.0.0/9"];
        assert!(texts.map(network).is_sorted_by(|a, b| a < b));
    }

    proptest! {
        #[test]
        fn network_reads_back_and_holds_its_own_address(address: u128, prefix_len in 0u8..=128) {
            let address = IpAddr::from((address & mask(prefix_len)).to_be_bytes());
            if let Ok(network) = Network::new(address, prefix_len) {
                prop_assert_eq!(Network::parse(&network.to_string()), Ok(network));
                prop_assert!(network.contains(address));
            }
        }
    }
}
