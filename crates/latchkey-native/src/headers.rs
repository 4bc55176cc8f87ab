//! Which headers go on, and which do not, either way.

use hyper::HeaderMap;
use hyper::header::{
    CONNECTION, EXPECT, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};

/// Takes away every header that could be taken for one of ours, or that makes another request of this one.
pub(crate) fn strip(headers: &mut HeaderMap) {
    remove(headers, |name| is_ours(name) || steers(name));
}

/// The names of what [`strip`] takes away.
pub(crate) fn not_to_go_on(headers: &HeaderMap) -> impl Iterator<Item = &HeaderName> {
    headers.keys().filter(|name| is_ours(name.as_str()) || steers(name.as_str()))
}

/// Takes away what is about the connection alone (RFC 9110, 7.6.1), and what it names itself.
pub(crate) fn strip_connection(headers: &mut HeaderMap) {
    let named: Vec<String> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    remove(headers, |name| named.iter().any(|named| named == name));
    for name in OF_THE_CONNECTION {
        headers.remove(name);
    }
    for name in ["keep-alive", "proxy-connection"] {
        headers.remove(name);
    }
}

fn remove(headers: &mut HeaderMap, is_it: impl Fn(&str) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| is_it(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Whether a name begins with `Latchkey-`, as some origin may read it.
pub(crate) fn is_ours(name: &str) -> bool {
    name.len() >= OURS.len() && name.bytes().zip(OURS.bytes()).all(reads_as)
}

/// Whether a name is one by which an origin may take the request for another than was judged.
fn steers(name: &str) -> bool {
    STEERING.iter().any(|known| known.len() == name.len() && name.bytes().zip(known.bytes()).all(reads_as))
}

/// Some origins (CGI and its heirs) read any mark as `_`, in any case.
fn reads_as((byte, known): (u8, u8)) -> bool {
    byte.to_ascii_lowercase() == known || (known == b'-' && !byte.is_ascii_alphanumeric())
}

const OURS: &str = "latchkey-";
/// What frameworks take for the method or the path.
const STEERING: [&str; 9] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    "x-original-method",
    "x-original-uri",
    "x-forwarded-method",
    "x-forwarded-uri",
];
const OF_THE_CONNECTION: [HeaderName; 8] =
    [CONNECTION, EXPECT, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

#[cfg(test)]
mod tests {
    use super::*;

    fn left(names: &[(&str, &str)], strip: fn(&mut HeaderMap)) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in names {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        strip(&mut headers);
        headers.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn nobody_else_speaks_in_our_name_or_makes_another_request_of_it() {
        let names = [
            "Latchkey-Key",
            "latchkey_key",
            "LATCHKEY.ROLE",
            "latchkey-",
            "X-HTTP-Method-Override",
            "x_http_method",
            "X-Original-URL",
            "x.rewrite.url",
        ];
        for name in names {
            assert_eq!(left(&[(name, "x"), ("accept", "y")], strip), ["accept"], "{name}");
        }
        assert_eq!(left(&[("latchkeys", "x"), ("x-original-uri", "y")], strip).len(), 2);
    }

    #[test]
    fn what_is_about_the_connection_ends_with_it() {
        let names = [
            ("Connection", "close, X-Secret"),
            ("connection", "x-other"),
            ("x-secret", "1"),
            ("X-Other", "2"),
            ("transfer-encoding", "chunked"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("accept", "y"),
        ];
        assert_eq!(left(&names, strip_connection), ["accept"]);
    }
}
