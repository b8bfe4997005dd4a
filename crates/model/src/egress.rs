//! Rules for what leaves the host: origins, networks, and which addresses are public. No sockets here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// `scheme://host[:port]`. The host may be `*.example.com`, which covers every name below it but not `example.com` itself.
#[derive(Clone, PartialEq, Eq)]
pub struct OriginRule {
    scheme: Scheme,
    host: String,
    any_below: bool,
    port: u16,
}

/// The schemes a rule can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

/// Why a text is no origin rule or network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not {wanted}")]
pub struct RuleError {
    given: String,
    wanted: &'static str,
}

impl OriginRule {
    const WANTED: &'static str = "an origin: scheme://host or scheme://host:port, with http or https, and no path; the host may begin with `*.`";

    /// Does the rule cover a request to this scheme, host (lower case, IPv6 without brackets) and port?
    #[must_use]
    pub fn covers(&self, scheme: &str, host: &str, port: u16) -> bool {
        let same_scheme = match self.scheme {
            Scheme::Http => scheme == "http",
            Scheme::Https => scheme == "https",
        };
        let same_host = if self.any_below {
            host.strip_suffix(self.host.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        } else {
            host == self.host
        };
        same_scheme && same_host && port == self.port
    }
}

impl FromStr for OriginRule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let wrong = || RuleError {
            given: text.into(),
            wanted: Self::WANTED,
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let (scheme, default_port) = match scheme {
            "http" => (Scheme::Http, 80),
            "https" => (Scheme::Https, 443),
            _ => return Err(wrong()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = split_port(rest).ok_or_else(wrong)?;
        let port = match port {
            Some(p) => p.parse().ok().filter(|p| *p != 0).ok_or_else(wrong)?,
            None => default_port,
        };
        let (any_below, host) = match host.strip_prefix("*.") {
            Some(below) => (true, below),
            None => (false, host),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_';
        let host = match host.parse::<Ipv6Addr>() {
            Ok(v6) => v6.to_string(),
            Err(_) if !host.is_empty() && host.chars().all(plain) => host.to_ascii_lowercase(),
            Err(_) => return Err(wrong()),
        };
        Ok(Self {
            scheme,
            host,
            any_below,
            port,
        })
    }
}

/// Splits `host:port` and `[v6]:port`; the host comes without brackets.
fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, tail) = rest.split_once(']')?;
        return match tail.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None if tail.is_empty() => Some((host, None)),
            None => None,
        };
    }
    match text.split_once(':') {
        Some((host, port)) => Some((host, Some(port))),
        None => Some((text, None)),
    }
}

impl fmt::Display for OriginRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        let star = if self.any_below { "*." } else { "" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{star}{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for OriginRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl serde::Serialize for OriginRule {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A range of addresses in CIDR notation; a bare address means just that one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    bits: u8,
}

impl Network {
    const WANTED: &'static str = "a network in CIDR notation such as 127.0.0.0/8, or an address";

    /// Is this address in it? A v4-mapped IPv6 address counts as its IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, canonical(address)) {
            (IpAddr::V4(base), IpAddr::V4(a)) => same_bits(
                u128::from(base.to_bits()),
                u128::from(a.to_bits()),
                32,
                self.bits,
            ),
            (IpAddr::V6(base), IpAddr::V6(a)) => {
                same_bits(base.to_bits(), a.to_bits(), 128, self.bits)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Does it hold a single address?
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.bits == if self.base.is_ipv4() { 32 } else { 128 }
    }
}

fn same_bits(a: u128, b: u128, width: u8, bits: u8) -> bool {
    let shift = u32::from(width.saturating_sub(bits));
    a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0)
}

impl FromStr for Network {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let wrong = || RuleError {
            given: text.into(),
            wanted: Self::WANTED,
        };
        let (base, bits) = match text.split_once('/') {
            Some((base, bits)) => (base, Some(bits)),
            None => (text, None),
        };
        let base = canonical(base.parse().map_err(|_| wrong())?);
        let width = if base.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(b) => b.parse().ok().filter(|b| *b <= width).ok_or_else(wrong)?,
            None => width,
        };
        Ok(Self { base, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl serde::Serialize for Network {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What kind of address it is, where it is not a public one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// A cloud's metadata service: hands out credentials, so only a grant of that single address opens it.
    Metadata,
    /// Loopback, private, link-local, multicast, documentation and the like: named for the error message.
    Kind(&'static str),
}

impl fmt::Display for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Metadata => "a cloud metadata service",
            Self::Kind(kind) => kind,
        })
    }
}

/// The address behind an IPv6 form of an IPv4 address: v4-mapped (`::ffff:a.b.c.d`), NAT64 (`64:ff9b::/96`) and 6to4 (`2002::/16`).
#[must_use]
pub fn canonical(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 =
        |hi: u16, lo: u16| IpAddr::V4(Ipv4Addr::from_bits((u32::from(hi) << 16) | u32::from(lo)));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => v4(g, h),
        (0, 0, 0, 0, 0, 0) if g != 0 || h > 1 => v4(g, h),
        (0x2002, hi, lo, _, _, _) => v4(hi, lo),
        _ => address,
    }
}

/// Says why an address is not public; none if it is. Ranges after the IANA special-purpose address registries.
#[must_use]
pub fn special(address: IpAddr) -> Option<Special> {
    match canonical(address) {
        IpAddr::V4(a) => special_v4(a),
        IpAddr::V6(a) => special_v6(a),
    }
}

fn special_v4(a: Ipv4Addr) -> Option<Special> {
    let [o1, o2, o3, o4] = a.octets();
    Some(match (o1, o2, o3, o4) {
        (169, 254, 169, 254) | (100, 100, 100, 200) | (169, 254, 170, 2) => Special::Metadata,
        (0, ..) => Special::Kind("unspecified"),
        (127, ..) => Special::Kind("loopback"),
        (10, ..) | (172, 16..=31, ..) | (192, 168, ..) => Special::Kind("private"),
        (100, 64..=127, ..) => Special::Kind("carrier-grade NAT"),
        (169, 254, ..) => Special::Kind("link-local"),
        (192, 0, 0, _) => Special::Kind("protocol assignment"),
        (192, 0, 2, _) | (198, 51, 100, _) | (203, 0, 113, _) => Special::Kind("documentation"),
        (192, 88, 99, _) => Special::Kind("6to4 relay"),
        (198, 18..=19, ..) => Special::Kind("benchmarking"),
        (224..=239, ..) => Special::Kind("multicast"),
        (240..=255, ..) => Special::Kind("reserved"),
        _ => return None,
    })
}

fn special_v6(a: Ipv6Addr) -> Option<Special> {
    let [s0, s1, ..] = a.segments();
    Some(match (s0, s1) {
        _ if a == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254) => Special::Metadata,
        _ if a.is_unspecified() => Special::Kind("unspecified"),
        _ if a.is_loopback() => Special::Kind("loopback"),
        (0xfc00..=0xfdff, _) => Special::Kind("private"),
        (0xfe80..=0xfebf, _) => Special::Kind("link-local"),
        (0xfec0..=0xfeff, _) => Special::Kind("site-local"),
        (0xff00..=0xffff, _) => Special::Kind("multicast"),
        (0x2001, 0xdb8) | (0x3fff, 0..=0x0fff) => Special::Kind("documentation"),
        (0x2001, 0..=0x01ff) => Special::Kind("protocol assignment"),
        (0x64, 0xff9b) => Special::Kind("local NAT64"),
        (0x100, 0) => Special::Kind("discard"),
        (0x2000..=0x3fff, _) => return None,
        _ => Special::Kind("not global unicast"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> OriginRule {
        text.parse().unwrap()
    }

    #[test]
    fn rules_cover_scheme_host_and_port() {
        assert!(rule("https://api.example.com").covers("https", "api.example.com", 443));
        assert!(!rule("https://api.example.com").covers("http", "api.example.com", 443));
        assert!(!rule("https://api.example.com").covers("https", "api.example.com", 8443));
        assert!(!rule("https://example.com").covers("https", "api.example.com", 443));
        assert!(rule("http://[::1]:8080").covers("http", "::1", 8080));
        assert!(rule("http://[0:0::1]").covers("http", "::1", 80));
        let below = rule("https://*.example.com");
        assert!(below.covers("https", "a.b.example.com", 443));
        assert!(!below.covers("https", "example.com", 443));
        assert!(!below.covers("https", "evilexample.com", 443));
        assert!(!below.covers("https", ".example.com", 443));
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for bad in [
            "",
            "example.com",
            "ftp://x",
            "http://",
            "http://a/b",
            "http://a:0",
            "http://a:b",
            "http://u@h",
            "http://*",
        ] {
            assert!(bad.parse::<OriginRule>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_public_addresses_are_plain() {
        let check = |text: &str, public: bool| {
            let a: IpAddr = text.parse().unwrap();
            assert_eq!(special(a).is_none(), public, "{text}: {:?}", special(a));
        };
        for public in [
            "1.1.1.1",
            "93.184.216.34",
            "2606:4700::1111",
            "64:ff9b::101:101",
        ] {
            check(public, true);
        }
        for not in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "10.0.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "169.254.0.1",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::7f00:1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "fd00:ec2::254",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "2001:db8::1",
            "64:ff9b:1::1",
        ] {
            check(not, false);
        }
    }

    #[test]
    fn networks_contain_their_addresses() {
        let check = |net: &str, a: &str, inside: bool| {
            let n: Network = net.parse().unwrap();
            assert_eq!(n.contains(a.parse().unwrap()), inside, "{net} {a}");
        };
        check("127.0.0.0/8", "127.1.2.3", true);
        check("127.0.0.0/8", "::ffff:127.1.2.3", true);
        check("127.0.0.0/8", "128.0.0.1", false);
        check("10.1.0.0/16", "10.2.0.1", false);
        check("::1", "::1", true);
        check("0.0.0.0/0", "9.9.9.9", true);
        assert!("127.0.0.1/33".parse::<Network>().is_err());
        assert!("x/8".parse::<Network>().is_err());
    }
}
