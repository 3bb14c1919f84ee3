//! Lines on the terminal from code that cannot return an error: destructors, signal handlers, the first process.
//!
//! `eprintln!` panics when the terminal is closed, and then the code that cleans up would not run to its end.

use std::fmt::Display;
use std::io::Write;

/// Prints a line to standard error. If that fails, the line is dropped.
pub fn print(line: impl Display) {
    print_to(std::io::stderr().lock(), line);
}

fn print_to(mut terminal: impl Write, line: impl Display) {
    // One call, so that lines of several processes do not mix.
    let _ = terminal.write_all(format!("{line}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_printed() {
        let mut terminal = Vec::new();
        print_to(&mut terminal, "on fire");
        assert_eq!(terminal, b"on fire\n");
    }

    #[test]
    fn an_error_of_the_terminal_is_ignored() {
        let refused = std::fs::File::open("/dev/null").unwrap();
        assert!((&refused).write(b"x").is_err());
        print_to(&refused, "on fire");
    }
}
