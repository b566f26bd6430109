//! What the city decided, and the language it is written in.
//!
//! This crate is pure: it holds no clock, no file system and no network. It gives the words that agent and
//! collector share (digests, ids, paths, sightings, verdicts, findings), the policy language with its
//! evaluation, the response procedures and the detection rules. Neighbours: `wardwatch-wire` carries these
//! values, `wardwatch-incidents` reasons about them.

pub mod defect;
pub mod detection;
pub mod digest;
pub mod evaluate;
pub mod file;
pub mod finding;
pub mod foreign;
pub mod host;
pub mod ids;
pub mod keyfile;
pub mod observation;
pub mod parse;
pub mod path;
pub mod policy;
pub mod procedure;
pub mod release;
pub mod secret;
pub mod severity;
pub mod shipped;
pub mod system;
pub mod text;
pub mod time;
pub mod unit;
pub mod verdict;
