//! The cause of a simulated error, behind the error that the HAL returns: a fault of the scenario, or the power cut.
//!
//! The engine gets an error as on a real board. Its `source()` is the cause; only the simulator reads it.

use replicator_hal::{Error, ErrorKind};

/// Number of an injected fault in its scenario, to distinguish expected failures from unexpected ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FaultId(pub u32);

/// What caused an error of the simulated board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Cause {
    #[error("injected fault {}", .0.0)]
    Fault(FaultId),
    #[error("a power cut")]
    PowerCut,
}

fn cause_of(error: &Error) -> Option<Cause> {
    let mut source = std::error::Error::source(error);
    while let Some(found) = source {
        if let Some(cause) = found.downcast_ref() {
            return Some(*cause);
        }
        source = found.source();
    }
    None
}

/// Attaches causes to errors, and reads them.
pub trait Caused: Sized {
    /// The same error, marked as the effect of fault `fault`.
    #[must_use]
    fn injected_by(self, fault: FaultId) -> Self;

    /// The fault that caused it.
    fn injected(&self) -> Option<FaultId>;

    /// The error of a call without effect after a power cut: for the engine, every device is gone.
    fn power_cut(operation: impl Into<String>, object: impl Into<String>, detail: &str) -> Self;

    /// Whether the power was cut.
    fn is_power_cut(&self) -> bool;
}

impl Caused for Error {
    fn injected_by(self, fault: FaultId) -> Self {
        self.with_source(Cause::Fault(fault))
    }

    fn injected(&self) -> Option<FaultId> {
        match cause_of(self)? {
            Cause::Fault(fault) => Some(fault),
            Cause::PowerCut => None,
        }
    }

    fn power_cut(operation: impl Into<String>, object: impl Into<String>, detail: &str) -> Self {
        Self::new(ErrorKind::DeviceGone, operation, object, detail).with_source(Cause::PowerCut)
    }

    fn is_power_cut(&self) -> bool {
        cause_of(self) == Some(Cause::PowerCut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_found_behind_the_error_and_behind_what_wraps_it() {
        let error = Error::new(ErrorKind::Io, "reading", "the medium", "bad").injected_by(FaultId(3));
        assert_eq!((error.injected(), error.is_power_cut()), (Some(FaultId(3)), false));
        let wrapped = Error::new(ErrorKind::Other, "copying", "", "").with_source(error);
        assert_eq!(wrapped.injected(), Some(FaultId(3)));
        let cut = Error::power_cut("writing", "sda", "the power is gone");
        assert_eq!((cut.injected(), cut.is_power_cut(), cut.kind()), (None, true, ErrorKind::DeviceGone));
        assert_eq!(Error::new(ErrorKind::Io, "reading", "", "").injected(), None);
    }
}
