//! Paths an origin could read in two ways are refused.

use crate::stage::*;
use latchkey_core::*;
use latchkey_gate::*;
use proptest::prelude::*;

fn ask(path: &[u8]) -> Outcome {
    thread_local! {
        static STAGED: std::cell::RefCell<(Stage, Shell, String)> = {
            let mut stage = Stage::new();
            let key = stage.add_key(1, Role::Member);
            stage.rules.push(rule("GET", "/v1/models/{model}:invoke", Permission::EndpointsInvoke));
            stage.rules.push(rule("GET", "/v1/models/{model}", Permission::ModelsView));
            stage.rules.push(rule("GET", "/", Permission::ModelsView));
            stage.rules.sort_by(|a, b| (&a.pattern, &a.method).cmp(&(&b.pattern, &b.method)));
            stage.publish();
            let shell = stage.warm_shell();
            std::cell::RefCell::new((stage, shell, format!("Bearer {}", key.text)))
        };
    }
    STAGED.with_borrow_mut(|(stage, shell, bearer)| {
        let authorization = Header::One(bearer.as_bytes());
        let request = Request::new("GET", path, authorization);
        shell.ask(stage, &request, Question::Route).outcome
    })
}

#[test]
fn path_that_can_be_read_in_two_ways_is_refused() {
    use PathError::*;
    let long = [b"/v1/assets/".as_slice(), &[b'a'; PATH_LEN_MAX]].concat();
    let cases: &[(&[u8], PathError)] = &[
        (b"", NotAbsolute),
        (b"*", NotAbsolute),
        (b"v1/assets/a", NotAbsolute),
        (b"http://host/v1/assets/a", NotAbsolute),
        (b"//v1/assets/a", EmptySegment),
        (b"/v1//assets/a", EmptySegment),
        (b"/v1/assets/a/", EmptySegment),
        (b"/v1/assets/", EmptySegment),
        (b"//", EmptySegment),
        (b"/v1/assets/../inference", DotSegment),
        (b"/v1/assets/.", DotSegment),
        (b"/./v1/assets/a", DotSegment),
        (b"/..", DotSegment),
        (b"/v1/assets/%2e%2e/x", NeedlessEscape),
        (b"/v1/assets/%2E", NeedlessEscape),
        (b"/v1/assets/.%2e/x", NeedlessEscape),
        (b"/v1/%61ssets/a", NeedlessEscape),
        (b"/v1/assets/%7E", NeedlessEscape),
        (b"/v1/assets/a%2Db", NeedlessEscape),
        (b"/v1/assets/%252e%252e%252fadmin", NeedlessEscape),
        (b"/v1/assets/a%2541", NeedlessEscape),
        (b"/v1/assets/a%3Bb", Byte),
        (b"/v1/models/m%3Ainvoke", NeedlessEscape),
        (b"/v1/models/m%3ainvoke", NeedlessEscape),
        (b"/v1/assets%2Fa", EncodedSlash),
        (b"/v1/assets/a%2fb", EncodedSlash),
        (b"/v1/assets/a\\b", Backslash),
        (b"/v1/assets/..\\inference", Backslash),
        (b"/v1/assets/a%5Cb", Backslash),
        (b"/v1/assets/a%5cb", Backslash),
        (b"/v1/assets/a\0", ControlByte),
        (b"/v1/assets/a\r\nX: y", ControlByte),
        (b"/v1/assets/a\x7f", ControlByte),
        (b"/v1/assets/a%00", ControlByte),
        (b"/v1/assets/a%0a", ControlByte),
        (b"/v1/assets/a%7F", ControlByte),
        (b"/v1/assets/%", BadEscape),
        (b"/v1/assets/%4", BadEscape),
        (b"/v1/assets/%zz", BadEscape),
        (b"/v1/assets/%+1", BadEscape),
        (b"/v1/assets/%%41", BadEscape),
        (b"/v1/assets/%u0041", BadEscape),
        (b"/v1/assets/%FF", NotUtf8),
        (b"/v1/assets/%C3", NotUtf8),
        (b"/v1/assets/%C0%AF", NotUtf8),
        (b"/v1/assets/%ED%A0%80", NotUtf8),
        (b"/v1/assets/\xc3\xa9", Byte),
        (b"/v1/assets/a b", Byte),
        (b"/v1/assets/a?b", Byte),
        (b"/v1/assets/a#b", Byte),
        (b"/v1/assets/..;/x", Byte),
        (b"/v1/assets;x/a", Byte),
        (b"/v1/assets/{rest}", Byte),
        (b"/v1/assets/a|b", Byte),
        (b"/v1/assets/\"a\"", Byte),
        (&long, TooLong),
    ];
    for (path, error) in cases {
        let outcome = Outcome::Refuse(Refusal::BadRequest(*error));
        assert_eq!(ask(path), outcome, "{}", String::from_utf8_lossy(path));
    }
}

#[test]
fn canonical_path_is_matched() {
    for path in [
        "/",
        "/v1/assets/a",
        "/v1/assets/a/b/c",
        "/v1/assets/...",
        "/v1/assets/.hidden",
        "/v1/assets/a..b",
        "/v1/assets/%C3%A9",
        "/v1/assets/%c3%a9",
        "/v1/assets/a%20b",
        "/v1/assets/a%40b",
        "/v1/assets/100%25",
        "/v1/assets/a@b!$&'()*+,=:~_-",
        "/v1/models/m:invoke",
        "/v1/models/m",
    ] {
        assert!(matches!(ask(path.as_bytes()), Outcome::Allow(_)), "{path}: {:?}", ask(path.as_bytes()));
    }
    let longest = [b"/v1/assets/".as_slice(), &[b'a'; PATH_LEN_MAX - 11]].concat();
    assert!(matches!(ask(&longest), Outcome::Allow(_)));
}

#[test]
fn suffix_of_a_pattern_decides_between_rules() {
    let permission = |path: &str| match ask(path.as_bytes()) {
        Outcome::Allow(grant) => grant.permission.unwrap(),
        refused => panic!("{refused:?}"),
    };
    assert_eq!(permission("/v1/models/m:invoke"), Permission::EndpointsInvoke);
    assert_eq!(permission("/v1/models/m:invoked"), Permission::ModelsView);
}

proptest! {
    #[test]
    fn any_path_is_answered_without_panic(path in proptest::collection::vec(any::<u8>(), 0..60)) {
        ask(&path);
        ask(&[b"/v1/assets/".as_slice(), &path].concat());
    }

    #[test]
    fn path_of_telling_pieces_is_answered_without_panic(
        pieces in proptest::collection::vec(
            prop::sample::select(vec![
                "/", "v1", "assets", "models", "%", "%2", "%2e", "%C3", "%A9", ".", "..", ":", "invoke", "\\", "a", "{", "}",
            ]),
            0..12,
        ),
    ) {
        let path = pieces.concat();
        let outcome = ask(path.as_bytes());
        if path.contains('\\') || path.contains("//") || path.contains("/../") {
            prop_assert!(matches!(outcome, Outcome::Refuse(Refusal::BadRequest(_))), "{path}: {outcome:?}");
        }
    }
}
