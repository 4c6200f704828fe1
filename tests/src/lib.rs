//! Framework of the integration tests.
