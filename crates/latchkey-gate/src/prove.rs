//! Who presents a credential: its record, if it is a key's; its signature, if it is a session's token.

use crate::clock::Urge;
use crate::gate::{Gate, Serving, Sight};
use crate::judge::{Case, Decided, Halt, refuse, unproven};
use crate::quota::Quota;
use crate::shelf::Missing;
use crate::verdict::{Refusal, Unavailable, Unproven};
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
        let sight = serving.look(&serving.shelves.records.keys, &query);
        if let Sight::Found(page, entry) = sight
            && !self.overlay.is_gone(&query.tag)
        {
            self.check_age(serving, case)?;
            return Ok(ProvenKey { id: key.id(), entry, tag: query.tag, page });
        }
        if !key.mint_check_matches(&self.mint) {
            return Err(unproven(Unproven::MadeUp));
        }
        Err(self.seek(serving, missing(&sight), &self.quotas.prove, Unproven::Unknown, case))
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
        let sight = serving.look(&serving.shelves.records.imported_keys, &query);
        if let Sight::Found(page, entry) = sight
            && !self.overlay.is_gone(&query.tag)
            && let Some(id) = page.imported_key_id(&entry)
        {
            self.check_age(serving, case)?;
            return Ok(ProvenKey { id, entry, tag: query.tag, page });
        }
        Err(self.seek_within_quota(serving, missing(&sight), Unproven::Unknown, case))
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
            || match serving.look(&serving.shelves.records.ended_sessions, &query) {
                Sight::Found(..) => true,
                Sight::Absent => false,
                // The token is signed: its page is part of the proof.
                Sight::Missing(missing) => return Err(self.fetch(&[missing], &self.quotas.prove, case)),
            };
        if ended { refuse(Refusal::OutOfForce(Reason::Revoked)) } else { Ok(()) }
    }

    /// As [`Gate::seek`], if the quota of whoever has proven nothing allows; else nothing is asked for.
    fn seek_within_quota(
        &self,
        serving: &Serving,
        missing: Option<Missing<'_>>,
        unknown: Unproven,
        case: &mut Case<'_>,
    ) -> Halt {
        let quota = &self.quotas.seek;
        let is_on_its_way = missing.is_some_and(|missing| missing.asked.is_on_its_way(case.now));
        if case.attempt.has_quota || is_on_its_way || quota.take(case.now) {
            case.attempt.has_quota |= !is_on_its_way;
            if let Some(missing) = missing.filter(|missing| case.attempt.may_fetch(&missing.wanted)) {
                // Its share was taken for whatever this request asks for.
                missing.asked.note(case.now);
            }
            return self.seek(serving, missing, quota, unknown, case);
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
        missing: Option<Missing<'_>>,
        quota: &Quota,
        unknown: Unproven,
        case: &mut Case<'_>,
    ) -> Halt {
        match self.sought(serving, missing, quota, case) {
            Err(halt) => halt,
            Ok(()) => unproven(unknown),
        }
    }

    fn sought(
        &self,
        serving: &Serving,
        missing: Option<Missing<'_>>,
        quota: &Quota,
        case: &mut Case<'_>,
    ) -> Decided<()> {
        let standing = self.check_age(serving, case)?;
        if let Some(missing) = missing {
            return Err(self.fetch(&[missing], quota, case));
        }
        self.catch_up(Urge::Forced, case)?;
        self.check_generation(serving, case)?;
        if standing.stale {
            return refuse(Refusal::Unavailable(Unavailable::StaleUnknown));
        }
        Ok(())
    }
}

const fn missing<'a>(sight: &Sight<'a>) -> Option<Missing<'a>> {
    match sight {
        Sight::Missing(missing) => Some(*missing),
        Sight::Found(..) | Sight::Absent => None,
    }
}
