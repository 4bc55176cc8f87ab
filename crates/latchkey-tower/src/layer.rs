//! The layer.

use crate::service::Guarded;
use hyper::http::request::Parts;
use latchkey_gate::Need;
use latchkey_native::Guard;
use std::fmt;
use std::sync::Arc;
use tower::Layer;

/// What says what a request needs.
pub(crate) type Needs = Arc<dyn Fn(&Parts) -> Need + Send + Sync>;

/// Stands a guard around a service. Everything that the service has is behind it.
#[derive(Clone)]
pub struct Latchkey {
    guard: Guard,
    needs: Option<Needs>,
}

impl Latchkey {
    /// Judges by the route rules that the operator signed; a request without a rule is refused.
    pub const fn new(guard: Guard) -> Self {
        Self { guard, needs: None }
    }

    /// Judges by what the application says that a request needs. Route rules, public routes, shadows and what the rules
    /// say of pages in browsers do not count then. `needs` sees the request's head as it came; what it takes from there
    /// must be what the handlers act on.
    #[must_use]
    pub fn needing(self, needs: impl Fn(&Parts) -> Need + Send + Sync + 'static) -> Self {
        Self { needs: Some(Arc::new(needs)), ..self }
    }
}

impl<S> Layer<S> for Latchkey {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, guard: self.guard.clone(), needs: self.needs.clone() }
    }
}

impl fmt::Debug for Latchkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Latchkey({:?})", self.guard)
    }
}
