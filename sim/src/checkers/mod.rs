pub mod archive;
pub mod tree;
/// x
pub fn check_all(_: &crate::runner::Evidence) -> Vec<crate::runner::Complaint> { Vec::new() }
