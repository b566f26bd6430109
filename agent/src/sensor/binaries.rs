//! The sensor of files that can be run: which lie below the roots, and the digest of each.
//!
//! `ground` says where to look, `walk` finds files, `content` looks at one of them, `record` is what is
//! remembered of it, `sweep` does all of a tree on several threads. Of changes hears `platform::watch`. What became of
//! a file since the last time is for the caller to say.

pub mod content;
pub mod ground;
pub mod pace;
pub mod record;
pub mod sweep;
pub mod walk;
