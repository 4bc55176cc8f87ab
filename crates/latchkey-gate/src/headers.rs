//! Which headers no shell passes on, either way.

/// Whether a header could be taken for one of ours, or makes another request of this one: it is taken away.
pub fn is_taken_away(name: &str) -> bool {
    is_ours(name) || steers(name)
}

/// Whether a name begins with `Latchkey-`, as some origin may read it.
pub fn is_ours(name: &str) -> bool {
    name.len() >= OURS.len() && name.bytes().zip(OURS.bytes()).all(reads_as)
}

/// Whether a name is one by which an origin may take the request for another than was judged.
fn steers(name: &str) -> bool {
    STEERING.iter().any(|known| known.len() == name.len() && name.bytes().zip(known.bytes()).all(reads_as))
}

/// Whether a header is to be taken away, and is spelt so that a proxy which is told names does not know it.
pub fn is_misspelt(name: &str) -> bool {
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    let is_spelt = name.get(..OURS.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(OURS));
    is_taken_away(name) && !is_spelt && !STEERING.into_iter().any(is)
}

/// Some origins (CGI and its heirs) read any mark as `_`, in any case.
fn reads_as((byte, known): (u8, u8)) -> bool {
    byte.to_ascii_lowercase() == known || (known == b'-' && !byte.is_ascii_alphanumeric())
}

const OURS: &str = "latchkey-";
/// What frameworks take for the method, the host or the path.
const STEERING: [&str; 13] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    "x-original-method",
    "x-original-uri",
    "x-forwarded-method",
    "x-forwarded-uri",
    "x-original-host",
    "x-forwarded-host",
    "x-forwarded-prefix",
    "forwarded",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_speaks_in_our_name_or_makes_another_request_of_it() {
        for name in [
            "Latchkey-Key",
            "latchkey_key",
            "LATCHKEY.ROLE",
            "latchkey-",
            "X-HTTP-Method-Override",
            "x_http_method",
            "X-Original-URL",
            "x.rewrite.url",
            "X-Forwarded_Uri",
            "Forwarded",
            "x_forwarded_host",
        ] {
            assert!(is_taken_away(name), "{name}");
        }
        for name in ["latchkeys", "x-original-uris", "x-forwarded-for", "accept", "authorization", ""] {
            assert!(!is_taken_away(name), "{name}");
        }
    }

    #[test]
    fn name_is_misspelt_that_could_be_taken_for_one_that_is_taken_away() {
        for name in
            ["latchkey_key", "LATCHKEY.Role", "latchkey~", "x_original-url", "X!Rewrite!URL", "x-http_method"]
        {
            assert!(is_misspelt(name), "{name}");
        }
        for name in
            ["Latchkey-Key", "latchkey-a_b", "X-Original-URL", "forwarded", "x_original_uris", "accept", ""]
        {
            assert!(!is_misspelt(name), "{name}");
        }
    }
}
