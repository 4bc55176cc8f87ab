//! The signed objects of Latchkey.
