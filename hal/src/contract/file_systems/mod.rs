//! Contract of [`crate::FileSystems`]: making, mounting, checking, growing; together with targets and sources of the
//! same device; and after a power cut.

mod beside_devices;
mod fixture;
mod making;
mod mounting;
mod recovery;
mod shape;

pub use beside_devices::*;
pub use fixture::FileSystemsFixture;
pub use making::*;
pub use mounting::*;
pub use recovery::*;
pub use shape::*;
