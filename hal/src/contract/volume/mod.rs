//! Contract of [`Volume`](crate::Volume) and [`crate::VolumeFile`].

mod attributes;
mod content;
mod fixture;
mod flags;
mod links;
mod names;
mod states;

pub use attributes::*;
pub use content::*;
pub use fixture::VolumeFixture;
pub use flags::*;
pub use links::*;
pub use names::*;
pub use states::*;
