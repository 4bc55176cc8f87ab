//! What a key is narrowed to (IAM K7), its budget (B2), and that narrowing never widens.

use crate::stage::*;
use core::net::IpAddr;
use core::num::NonZeroU32;
use latchkey_core::*;
use latchkey_gate::*;
use latchkey_snapshot::build::NarrowingContent;
use latchkey_snapshot::manifest::Exceptions;
use latchkey_snapshot::{ModelPattern, Rate, ResourcePattern};
use proptest::prelude::*;

struct Model(&'static [&'static str]);

impl Headers for Model {
    fn one(&self, name: &str) -> Option<String> {
        match self.0 {
            [value] if name == "x-model" => Some((*value).to_owned()),
            _ => None,
        }
    }
}

fn ask(
    shell: &mut Shell,
    stage: &mut Stage,
    key: &Key,
    (method, path): (&str, &str),
    client: Option<IpAddr>,
    headers: &dyn Headers,
) -> Verdict {
    let bearer = format!("Bearer {}", key.text);
    let request =
        Request { client, headers, ..Request::new(method, path.as_bytes(), Header::One(bearer.as_bytes())) };
    shell.ask(stage, &request, Question::Route)
}

#[test]
fn client_outside_the_networks_is_refused_k7() {
    let mut stage = Stage::new();
    let networks = ["10.1.0.0/16", "2001:db8::/32"].map(|text| Network::parse(text).unwrap());
    let key = stage.add_key_with(1, Role::Member, |key| {
        key.narrowing = narrowing(NarrowingContent { networks: &networks, ..NarrowingContent::default() });
    });
    stage.publish();
    let mut shell = stage.warm_shell();
    let clients = [
        (None, false),
        (Some("10.2.0.1"), false),
        (Some("::ffff:10.2.0.1"), false),
        (Some("2001:db9::1"), false),
        (Some("::1"), false),
        (Some("10.1.255.255"), true),
        (Some("::ffff:10.1.0.1"), true),
        (Some("2001:db8:ffff::1"), true),
    ];
    for (client, allowed) in clients {
        let client = client.map(|text: &str| text.parse().unwrap());
        let verdict = ask(&mut shell, &mut stage, &key, ("POST", "/v1/inference"), client, &NoHeaders);
        if allowed {
            assert_allowed(&verdict);
        } else {
            assert_refused(&verdict, Refusal::NetworkNotAllowed);
        }
        let bearer = format!("Bearer {}", key.text);
        let request =
            Request { client, ..Request::new("GET", b"/v1/whoami", Header::One(bearer.as_bytes())) };
        let verdict = shell.ask(&mut stage, &request, Question::Whoami);
        assert_eq!(matches!(verdict.outcome, Outcome::Allow(_)), allowed, "{client:?}");
    }
}

#[test]
fn resource_outside_the_patterns_is_refused_k7() {
    let mut stage = Stage::new();
    let pattern = |matching, text| ResourcePattern {
        resource: ResourceType::File,
        matching,
        text: ResourceId::parse(text).unwrap(),
    };
    let resources = [pattern(Matching::Exact, "one"), pattern(Matching::Prefix, "team-")];
    let key = stage.add_key_with(1, Role::Admin, |key| {
        key.narrowing = narrowing(NarrowingContent { resources: &resources, ..NarrowingContent::default() });
    });
    for id in ["one", "one-more", "team-a", "team"] {
        stage.add_resource(1, ResourceType::File, id);
    }
    stage.publish();
    let mut shell = stage.warm_shell();
    let narrowed = Refusal::Narrowed(Narrowed::Resource);
    for (method, path, refusal) in [
        ("GET", "/v1/files/one-more", narrowed),
        ("GET", "/v1/files/team", narrowed),
        // A list or a new resource would reach beyond what the key is narrowed to.
        ("GET", "/v1/projects/alpha/files", narrowed),
        ("POST", "/v1/clusters", narrowed),
        // What is not there is not there, before what is narrowed.
        ("GET", "/v1/files/none", Refusal::NotFound(Absent::Resource)),
    ] {
        let verdict = shell.route(&mut stage, &key.text, method, path);
        assert_refused(&verdict, refusal);
    }
    for path in ["/v1/files/one", "/v1/files/team-a", "/v1/projects/alpha/files/one"] {
        assert_allowed(&shell.route(&mut stage, &key.text, "GET", path));
    }
    // Serverless inference is about no resource.
    assert_allowed(&shell.invoke(&mut stage, &key.text));
}

#[test]
fn model_outside_the_patterns_is_refused_k7() {
    let mut stage = Stage::new();
    let pattern =
        |matching, text| ModelPattern { matching, text: latchkey_core::ModelName::parse(text).unwrap() };
    let models = [pattern(Matching::Exact, "meta/llama-3"), pattern(Matching::Prefix, "open/")];
    let key = stage.add_key_with(1, Role::Member, |key| {
        key.narrowing = narrowing(NarrowingContent { models: &models, ..NarrowingContent::default() });
    });
    let plain = stage.add_key(1, Role::Member);
    stage.publish();
    let mut shell = stage.warm_shell();
    let chat = ("POST", "/v1/chat");
    let cases: [(_, &'static [&'static str], bool); 12] = [
        (chat, &[], false),
        (chat, &["meta/llama-3", "open/x"], false),
        (chat, &["meta/llama-33"], false),
        (chat, &["Meta/llama-3"], false),
        (chat, &["open/a b"], false),
        (chat, &[""], false),
        // A rule that names no model tells nothing of what is used.
        (("POST", "/v1/inference"), &["meta/llama-3"], false),
        (("POST", "/v1/models/meta/llama-33"), &["meta/llama-3"], false),
        (("POST", "/v1/models/meta/llama-3"), &[], true),
        (("POST", "/v1/models/open/any"), &[], true),
        (chat, &["meta/llama-3"], true),
        (chat, &["open/any"], true),
    ];
    for (route, header, allowed) in cases {
        let verdict = ask(&mut shell, &mut stage, &key, route, None, &Model(header));
        if allowed {
            assert_allowed(&verdict);
        } else {
            assert_refused(&verdict, Refusal::Narrowed(Narrowed::Model));
        }
        assert_allowed(&ask(&mut shell, &mut stage, &plain, route, None, &Model(header)));
    }
    // What bears no model is not narrowed by models.
    assert_allowed(&shell.route(&mut stage, &key.text, "GET", "/v1/projects/alpha/files"));
}

#[test]
fn rate_rides_in_the_grant_with_its_family_k8() {
    let mut stage = Stage::new();
    let family = KeyId::from_number(77);
    let rate = Rate { per_minute: NonZeroU32::new(90).unwrap(), family };
    let key = stage.add_key_with(1, Role::Member, |key| {
        key.narrowing = narrowing(NarrowingContent { rate: Some(rate), ..NarrowingContent::default() });
    });
    let plain = stage.add_key(1, Role::Member);
    stage.publish();
    let mut shell = stage.warm_shell();
    assert_eq!(assert_allowed(&shell.invoke(&mut stage, &key.text)).rate, Some(rate));
    assert_eq!(assert_allowed(&shell.invoke(&mut stage, &plain.text)).rate, None);
}

#[test]
fn budget_refuses_what_costs_money_and_nothing_else_b2() {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    let spent = stage.add_key_with(2, Role::Member, |key| key.out_of_budget = true);
    let person = stage.add_collaborator(1, Role::Member, Role::Member);
    for exceptions in [
        Exceptions::default().with_organizations_out_of_budget([OrganizationNumber(10)]),
        Exceptions::default().with_projects_out_of_budget([ProjectNumber(1)]),
    ] {
        stage.exceptions = exceptions;
        stage.publish();
        let mut shell = stage.warm_shell();
        for key in [&key, &spent] {
            let verdict = shell.invoke(&mut stage, &key.text);
            assert_refused(&verdict, Refusal::BudgetExhausted);
            let Outcome::Refuse(refusal) = verdict.outcome else { unreachable!() };
            assert_eq!((refusal.class(), refusal.code()), (Class::PaymentRequired, "budget_exhausted"));
            assert_allowed(&shell.route(&mut stage, &key.text, "GET", "/v1/assets/logo.png"));
        }
        let bearer = format!("Bearer {}", stage.token_of(&person));
        let of = |method, path| Request {
            project: Header::One(b"alpha"),
            ..Request::new(method, path, Header::One(bearer.as_bytes()))
        };
        let verdict = shell.ask(&mut stage, &of("POST", b"/v1/evaluations"), Question::Route);
        assert_refused(&verdict, Refusal::BudgetExhausted);
        assert_allowed(&shell.ask(&mut stage, &of("GET", b"/v1/keys"), Question::Route));
    }
    stage.exceptions = Exceptions::default();
    stage.publish();
    let mut shell = stage.warm_shell();
    assert_allowed(&shell.invoke(&mut stage, &key.text));
    assert_refused(&shell.invoke(&mut stage, &spent.text), Refusal::BudgetExhausted);
}

fn any_network() -> impl Strategy<Value = Network> {
    (any::<[u8; 4]>(), 0u8..=12).prop_map(|(bytes, len)| {
        let bits = u32::from_be_bytes(bytes) & !(u32::MAX >> len);
        Network::new(IpAddr::from(bits.to_be_bytes()), len).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever a narrowed key may, the same key may un-narrowed.
    #[test]
    fn narrowing_never_widens_k7(
        networks in proptest::collection::vec(any_network(), 0..4),
        files in proptest::collection::vec(("[ab]{1,2}", any::<bool>()), 0..3),
        names in proptest::collection::vec(("[ab]{1,2}", any::<bool>()), 0..3),
        bits: u128,
        admin: bool,
        client: Option<[u8; 4]>,
    ) {
        let matching = |prefix: bool| if prefix { Matching::Prefix } else { Matching::Exact };
        let resources: Vec<_> = files
            .iter()
            .map(|(text, prefix)| ResourcePattern {
                resource: ResourceType::File,
                matching: matching(*prefix),
                text: ResourceId::parse(text).unwrap(),
            })
            .collect();
        let models: Vec<_> = names
            .iter()
            .map(|(text, prefix)| ModelPattern {
                matching: matching(*prefix),
                text: ModelName::parse(text).unwrap(),
            })
            .collect();
        let content = NarrowingContent { rate: None, networks: &networks, resources: &resources, models: &models };
        let role = if admin { Role::Admin } else { Role::Member };
        let mut stage = Stage::new();
        let all = PermissionSet::of_key(role);
        let some = PermissionSet::from_bits(all.bits() & bits).unwrap_or_default();
        let narrow = stage.add_key_with(1, role, |key| {
            key.narrowing = narrowing(content);
            key.binding.permissions = some;
        });
        let wide = stage.add_key(1, role);
        for id in ["a", "ab", "b"] {
            stage.add_resource(1, ResourceType::File, id);
        }
        stage.publish();
        let mut shell = stage.warm_shell();
        let client = client.map(IpAddr::from);
        for route in [
            ("GET", "/v1/files/a"),
            ("GET", "/v1/files/ab"),
            ("GET", "/v1/files/c"),
            ("GET", "/v1/projects/alpha/files"),
            ("POST", "/v1/clusters"),
            ("POST", "/v1/inference"),
            ("POST", "/v1/chat"),
            ("POST", "/v1/models/ab"),
            ("GET", "/v1/keys"),
            ("GET", "/nowhere"),
        ] {
            let narrow = ask(&mut shell, &mut stage, &narrow, route, client, &Model(&["ab"]));
            let wide = ask(&mut shell, &mut stage, &wide, route, client, &Model(&["ab"]));
            if let Outcome::Allow(grant) = narrow.outcome {
                let Outcome::Allow(wider) = wide.outcome else { panic!("{route:?}: {wide:?}") };
                prop_assert!(grant.binding.permissions.is_subset_of(wider.binding.permissions));
            }
        }
    }
}
