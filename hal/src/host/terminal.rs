//! Words for whoever watches the terminal, where there is nobody to return an error to: destructors, signals, the first
//! process of a system.
//!
//! `eprintln!` panics when the terminal is gone, and would keep from their work just those who clean up after it went.

use std::fmt::Display;
use std::io::Write;

/// Prints a line to standard error. If that fails, nobody reads it anyway.
pub fn tell(what: impl Display) {
    tell_to(std::io::stderr().lock(), what);
}

fn tell_to(mut terminal: impl Write, what: impl Display) {
    // In one call, so that lines of several processes do not mix.
    let _ = terminal.write_all(format!("{what}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_printed() {
        let mut terminal = Vec::new();
        tell_to(&mut terminal, "on fire");
        assert_eq!(terminal, b"on fire\n");
    }

    #[test]
    fn a_terminal_that_is_gone_is_no_reason_to_stop() {
        let refused = std::fs::File::open("/dev/null").unwrap();
        assert!((&refused).write(b"x").is_err());
        tell_to(&refused, "on fire");
    }
}
