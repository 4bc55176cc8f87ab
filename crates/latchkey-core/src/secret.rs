//! The secrets an edge holds, each a type of its own: no `Display`, no telling `Debug`, wiped when dropped.

use zeroize::ZeroizeOnDrop;

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, ZeroizeOnDrop)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Takes 32 secret bytes.
            pub fn new(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The bytes, for the one place that keys a hash or writes the secret's own file.
            pub fn expose(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

secret! {
    /// Keys the tag of every record, so that a leaked snapshot cannot be searched offline.
    Pepper
}
secret! {
    /// Keys the mint check. Losing it costs flood protection, never a wrong verdict.
    MintSecret
}
secret! {
    /// Keys the MAC of a generation token.
    GenerationSecret
}

impl Pepper {
    /// The public name of this pepper: it stands in manifests, so an edge knows which pepper a snapshot is under.
    pub fn id(&self) -> [u8; 8] {
        let derived = blake3::derive_key("latchkey pepper id v1", &self.0);
        let mut id = [0; 8];
        id.copy_from_slice(&derived[..8]);
        id
    }
}

impl MintSecret {
    /// The generation secret that goes with this mint secret, so that an edge is handed one secret fewer.
    pub fn generation_secret(&self) -> GenerationSecret {
        GenerationSecret(blake3::derive_key("latchkey generation token v1", &self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn debug_tells_nothing() {
        assert_eq!(format!("{:?}", Pepper::new([65; 32])), "Pepper(..)");
    }
}
