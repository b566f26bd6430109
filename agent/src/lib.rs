//! The agent: sees files and settings of one machine and reports what changes to its collector.
