//! The harness of the end-to-end tests: real programs, a real broker, a real database, a link that can be cut.
