//! Who presents a credential: its record, if it is a key's; its signature, if it is a session's token.

use crate::clock::Urge;
use crate::gate::{Gate, Serving};
use crate::judge::{Case, Decided, Halt, refuse, unproven};
use crate::shelf::{Lookup, Wanted};
use crate::verdict::{Refusal, Unavailable, Unproven};
use alloc::vec::Vec;
use latchkey_core::{ImportedDigest, KeyError, KeyId, KeyText};
use latchkey_snapshot::head::Reason;
use latchkey_snapshot::query::TAG_LEN;
use latchkey_snapshot::{Entry, Page, Query, SessionToken, TokenError, UnverifiedToken};

/// A key whose record was found.
pub(crate) struct ProvenKey<'g> {
    pub(crate) id: KeyId,
    pub(crate) entry: Entry,
    pub(crate) tag: [u8; TAG_LEN],
    pub(crate) page: &'g Page,
}

impl Gate {
    /// Finds the record of a native key. Made-up keys end here, at no cost to anybody else.
    pub(crate) fn prove_native<'g>(
        &self,
        serving: &'g Serving,
        key: &KeyText<'_>,
        case: &mut Case<'_>,
    ) -> Decided<ProvenKey<'g>> {
        let query = Query::native_key(self.pepper(serving)?, key.id(), &key.digest());
        let lookup = serving.shelves.records.keys.at(query.place);
        if let Lookup::Held(page) = lookup
            && let Some(entry) = page.find(&query)
        {
            self.check_age(serving, case)?;
            return Ok(ProvenKey { id: key.id(), entry, tag: query.tag, page });
        }
        if !key.mint_check_matches(&self.mint) {
            return Err(unproven(Unproven::MadeUp));
        }
        Err(self.seek(serving, missing(&lookup), Unproven::Unknown, case))
    }

    /// Finds the record of a key of another system (K9). Anybody can make such a key up, so an unknown one costs a
    /// fetch or a look at the head within a quota only; beyond it the answer comes from what is held.
    pub(crate) fn prove_imported<'g>(
        &self,
        serving: &'g Serving,
        text: &[u8],
        error: KeyError,
        case: &mut Case<'_>,
    ) -> Decided<ProvenKey<'g>> {
        let digest = ImportedDigest::of_presented(text).ok_or(unproven(Unproven::Malformed(error)))?;
        let query = Query::imported_key(self.pepper(serving)?, &digest);
        let lookup = serving.shelves.records.imported_keys.at(query.place);
        if let Lookup::Held(page) = lookup
            && let Some(entry) = page.find(&query)
            && let Some(id) = page.imported_key_id(&entry)
        {
            self.check_age(serving, case)?;
            return Ok(ProvenKey { id, entry, tag: query.tag, page });
        }
        Err(self.seek_within_quota(serving, missing(&lookup), Unproven::Unknown, case))
    }

    /// Believes a session's token by its signature, and that its time is now.
    pub(crate) fn prove_session(
        &self,
        serving: &Serving,
        text: &[u8],
        case: &mut Case<'_>,
    ) -> Decided<SessionToken> {
        let token = UnverifiedToken::parse(text).map_err(|error| unproven(Unproven::Token(error)))?;
        let manifest = &serving.manifest;
        match self.tokens.verify(token, &manifest.installation, &manifest.session_keys, case.now) {
            Ok(session) => {
                self.check_age(serving, case)?;
                Ok(session)
            }
            // Its signature was right: that it was a token once may be said (R1).
            Err(TokenError::Expired) => refuse(Refusal::OutOfForce(Reason::Expired)),
            // Its key may be newer than the manifest.
            Err(TokenError::Signer) => {
                Err(self.seek_within_quota(serving, None, Unproven::Token(TokenError::Signer), case))
            }
            Err(error) => Err(unproven(Unproven::Token(error))),
        }
    }

    /// Whether the session was ended before its time.
    pub(crate) fn check_ended(
        &self,
        serving: &Serving,
        session: &SessionToken,
        case: &mut Case<'_>,
    ) -> Decided<()> {
        let query = Query::ended_session(self.pepper(serving)?, session.session());
        let ended = self.overlay.names(&query.tag)
            || self.look(&serving.shelves.records.ended_sessions, &query, case)?.is_some();
        if ended { refuse(Refusal::OutOfForce(Reason::Revoked)) } else { Ok(()) }
    }

    /// As [`Gate::seek`], if the quota allows; else nothing is asked for.
    fn seek_within_quota(
        &self,
        serving: &Serving,
        missing: Option<Wanted>,
        unknown: Unproven,
        case: &mut Case<'_>,
    ) -> Halt {
        if case.attempt.has_quota || self.quota.take(case.now) {
            case.attempt.has_quota = true;
            return self.seek(serving, missing, unknown, case);
        }
        let unavailable = match missing {
            Some(_) => Unavailable::OutOfReach,
            None if self.is_old_for(serving, case.now) => Unavailable::StaleUnknown,
            None => return unproven(unknown),
        };
        Halt::Refuse(Refusal::Unavailable(unavailable))
    }

    /// Asks for whatever may know a credential that is unknown here, until all is tried; then it is `unknown`.
    fn seek(
        &self,
        serving: &Serving,
        missing: Option<Wanted>,
        unknown: Unproven,
        case: &mut Case<'_>,
    ) -> Halt {
        match self.sought(serving, missing, case) {
            Err(halt) => halt,
            Ok(()) => unproven(unknown),
        }
    }

    fn sought(&self, serving: &Serving, missing: Option<Wanted>, case: &mut Case<'_>) -> Decided<()> {
        let standing = self.check_age(serving, case)?;
        if let Some(wanted) = missing {
            return Err(self.fetch(Vec::from([wanted]), case));
        }
        self.catch_up(Urge::Forced, case)?;
        self.check_generation(serving, case)?;
        if standing.stale {
            return refuse(Refusal::Unavailable(Unavailable::StaleUnknown));
        }
        Ok(())
    }
}

const fn missing<T>(lookup: &Lookup<'_, T>) -> Option<Wanted> {
    match lookup {
        Lookup::Missing(wanted) => Some(*wanted),
        Lookup::Held(_) | Lookup::Nothing => None,
    }
}
