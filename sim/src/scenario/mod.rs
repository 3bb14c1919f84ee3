//! Scenarios: stories as data.

pub mod schema;
