//! One request: what a verdict rests on, and how far its loop has come.
//!
//! `Headers` of JavaScript shows several headers of a name as one with commas between them, and nothing that is read here
//! has a comma: so a value with one is none.

use crate::need;
use core::cell::OnceCell;
use core::net::IpAddr;
use latchkey_core::UnixMillis;
use latchkey_gate::decision::DRAWS;
use latchkey_gate::headers::is_taken_away;
use latchkey_gate::{Attempt, Body, Extent, Header, Headers, Need, Question, Refusal, Request, find_text};
use wasm_bindgen::prelude::{JsError, wasm_bindgen};

/// One request on its way to a verdict.
#[wasm_bindgen]
pub struct Case {
    method: String,
    host: Option<String>,
    target: String,
    path_len: usize,
    /// Names in lower case, and values.
    headers: Vec<(String, String)>,
    client: Option<IpAddr>,
    /// What the body says of the model, once it was looked at.
    model: OnceCell<Option<String>>,
    need: Option<Need>,
    pub(crate) question: Question,
    pub(crate) attempt: Attempt,
    /// What came of counting its rate: `None` before it was counted.
    pub(crate) counted: Option<Option<Refusal>>,
    /// What was drawn for the decision log before anything was known of it, if there is one.
    pub(crate) drawn: Option<Drawn>,
}

/// A draw, and when the decision began.
#[derive(Clone, Copy)]
pub(crate) struct Drawn {
    pub(crate) draw: u32,
    pub(crate) begun: UnixMillis,
}

#[wasm_bindgen]
impl Case {
    /// A request with this URL, which is never parsed: that would tidy its path up. `headers` are names and values in turn;
    /// `need` is JSON, if the application says what it needs.
    #[wasm_bindgen(constructor)]
    pub fn new(
        method: String,
        url: &str,
        headers: Vec<String>,
        client: Option<String>,
        need: Option<String>,
        whoami: bool,
    ) -> Result<Case, JsError> {
        let behind = url.split_once("://").map_or(url, |(_, behind)| behind);
        let from = behind.find(['/', '?', '#']).unwrap_or(behind.len());
        let (host, rest) = behind.split_at_checked(from).unwrap_or_default();
        let target = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
        // Readers end a target at `#` or do not. So all of such a one is path, and no path has that byte.
        let has_fragment = target.contains('#');
        let path_len = if has_fragment { None } else { target.find('?') };
        let need = need.map(|need| need::read(&need)).transpose().map_err(|error| JsError::new(&error))?;
        let pairs = headers.chunks_exact(2).filter_map(|pair| match pair {
            [name, value] => Some((name.to_ascii_lowercase(), value.clone())),
            _ => None,
        });
        Ok(Self {
            method,
            host: Some(host.to_owned()),
            path_len: path_len.unwrap_or(target.len()),
            target,
            headers: pairs.collect(),
            // Two headers folded into one are no address.
            client: client.and_then(|text| text.parse().ok()),
            model: OnceCell::new(),
            // No application says of such a target what it needs: its path is what is judged.
            need: need.filter(|_| !has_fragment),
            question: if whoami { Question::Whoami } else { Question::Route },
            attempt: Attempt::default(),
            counted: None,
            drawn: None,
        })
    }

    /// Notes a number from 0 up to and without 1, from nothing of the caller's, and when the decision begins.
    pub fn draw(&mut self, random: f64, now: f64) {
        let draw = ((random * f64::from(DRAWS)) as u32).min(DRAWS - 1);
        self.drawn = Some(Drawn { draw, begun: UnixMillis(now as u64) });
    }

    /// Says that it was let in before and goes on, and what its body was seen to say then: the body itself has gone on.
    pub fn again(&mut self, model: Option<String>) {
        self.attempt = Attempt::again();
        if model.is_some() {
            let _ = self.model.set(model);
        }
    }

    /// What its body begins with, and whether that is all of it; `undefined` if it cannot be looked into.
    pub fn look(&self, seen: Option<Vec<u8>>, is_whole: bool, field: &str) {
        let extent = if is_whole { Extent::Whole } else { Extent::Beginning };
        let said = seen.and_then(|seen| find_text(&seen, extent, field).ok());
        // It is looked at once: a request is under one rule.
        let _ = self.model.set(said);
    }

    /// The header with this name, if it stands once.
    pub fn header(&self, name: &str) -> Option<String> {
        match self.find(name) {
            Header::One(value) => core::str::from_utf8(value).ok().map(str::to_owned),
            Header::None | Header::Many => None,
        }
    }
}

impl Case {
    /// As the gate takes it.
    pub(crate) fn request(&self) -> Request<'_> {
        Request {
            method: &self.method,
            host: self.host.as_deref(),
            path: self.target.get(..self.path_len).unwrap_or_default().as_bytes(),
            query: self.target.get(self.path_len + 1..).unwrap_or_default().as_bytes(),
            authorization: self.find("authorization"),
            min_generation: match self.find("latchkey-min-generation") {
                Header::One(value) => Some(value),
                _ => None,
            },
            project: self.find("latchkey-project"),
            client: self.client,
            headers: self,
            body: match self.model.get() {
                None => Body::Unread,
                Some(None) => Body::Silent,
                Some(Some(model)) => Body::Says(model),
            },
            need: self.need.as_ref(),
        }
    }

    /// The model that the body was seen to name.
    pub(crate) fn model(&self) -> Option<&str> {
        self.model.get()?.as_deref()
    }

    pub(crate) fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    pub(crate) const fn has_need(&self) -> bool {
        self.need.is_some()
    }

    pub(crate) fn is_preflight(&self) -> bool {
        self.method == "OPTIONS" && !self.has_need()
    }

    /// Names of its headers that could be taken for ours, or that make another request of it.
    pub(crate) fn reserved(&self) -> Vec<&str> {
        self.headers.iter().map(|(name, _)| name.as_str()).filter(|name| is_taken_away(name)).collect()
    }

    fn find(&self, name: &str) -> Header<'_> {
        let mut all = self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value);
        match (all.next(), all.next()) {
            (None, _) => Header::None,
            (Some(only), None) if !only.contains(',') => Header::One(only.as_bytes()),
            _ => Header::Many,
        }
    }
}

impl Headers for Case {
    /// None either where another header's name could be read as this one: some frameworks take `_` for `-`.
    fn one(&self, name: &str) -> Option<String> {
        let reads_as = |other: &str| other != name && other.replace('_', "-") == name;
        if self.headers.iter().any(|(other, _)| reads_as(other)) {
            return None;
        }
        self.header(name)
    }
}
