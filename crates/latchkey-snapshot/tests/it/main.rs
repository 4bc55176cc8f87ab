//! The reader against what the writer writes, and against everything it would not have written.

mod fixture;
mod heads;
mod objects;
mod roots;
