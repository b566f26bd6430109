//! Sensors read one thing of this machine each and return values. None of them judges what it sees.

pub mod binaries;
pub mod host;
pub mod settings;
