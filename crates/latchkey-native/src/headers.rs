//! Which headers go on, and which do not, either way.

use hyper::HeaderMap;
use hyper::header::{
    CONNECTION, EXPECT, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use latchkey_gate::headers::is_taken_away;

/// Takes away every header that could be taken for one of ours, or that makes another request of this one.
pub(crate) fn strip(headers: &mut HeaderMap) {
    remove(headers, is_taken_away);
}

/// The names of what [`strip`] takes away.
pub(crate) fn not_to_go_on(headers: &HeaderMap) -> impl Iterator<Item = &HeaderName> {
    headers.keys().filter(|name| is_taken_away(name.as_str()))
}

/// Takes away what is about the connection alone (RFC 9110, 7.6.1), and what it names itself.
pub(crate) fn strip_connection(headers: &mut HeaderMap) {
    let named: Vec<String> = named_by_connection(headers).map(str::to_ascii_lowercase).collect();
    remove(headers, |name| named.iter().any(|named| named == name));
    for name in OF_THE_CONNECTION {
        headers.remove(name);
    }
    for name in ["keep-alive", "proxy-connection"] {
        headers.remove(name);
    }
}

/// Whether `Connection` names this header, so that it is about the connection alone.
pub(crate) fn ends_here(headers: &HeaderMap, name: &str) -> bool {
    named_by_connection(headers).any(|named| named.eq_ignore_ascii_case(name))
}

fn named_by_connection(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(CONNECTION).iter();
    // A value that is no text may have a name in it all the same.
    values
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| Some(str::from_utf8(name).ok()?.trim()))
}

fn remove(headers: &mut HeaderMap, is_it: impl Fn(&str) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| is_it(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

const OF_THE_CONNECTION: [HeaderName; 8] =
    [CONNECTION, EXPECT, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_that_connection_names_ends_here() {
        let mut headers = HeaderMap::new();
        for value in ["close", "keep-alive ,X-Model", "other"] {
            headers.append(CONNECTION, value.parse().unwrap());
        }
        assert!(
            ends_here(&headers, "x-model") && ends_here(&headers, "other") && !ends_here(&headers, "x-modes")
        );
    }

    fn left(names: &[(&str, &str)], strip: fn(&mut HeaderMap)) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in names {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        strip(&mut headers);
        headers.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn nobody_else_speaks_in_our_name() {
        assert_eq!(
            left(&[("latchkey_key", "x"), ("x-rewrite-url", "x"), ("accept", "y")], strip),
            ["accept"]
        );
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
