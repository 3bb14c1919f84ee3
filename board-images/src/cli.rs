//! The command line: subcommands and options. Other modules run them.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Captures the media of an embedded board to a drive, and writes images on the drive to the board's media.
#[derive(Debug, Parser)]
#[command(name = "replicator", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit status:
  0  success: something was done, and all of it is verified
  1  failure
  2  usage error: nothing was read or changed
  3  critical: the board may not boot";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole sequence on this board and keep the LEDs going; started by init, or as init itself
    Boot,
    /// Run once on named devices: capture if the drive holds no image, else write and verify
    Run(RunArgs),
    /// Print what a run would do and refuse; change nothing
    Plan(RunArgs),
    /// Print the built-in board profiles, or check a profile file
    Boards(BoardsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Profile of the board: a name that `replicator boards` lists, or a file
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) board: String,

    /// The drive: a partition, or a block device with a file system and no partition table
    #[arg(long, value_name = "DEVICE")]
    pub(crate) drive: PathBuf,

    /// A medium and its block device, as `sd=/dev/mmcblk1`; can be repeated. Only these media are used; the profile does
    /// not search for others
    #[arg(long, value_name = "NAME=DEVICE", value_parser = parse_named_medium)]
    pub(crate) media: Vec<NamedMedium>,

    /// Directory of the logs, one per operation, and of report.json
    #[arg(long, value_name = "DIR", default_value = "/tmp/logs")]
    pub(crate) log_dir: PathBuf,

    /// How to drive the LEDs
    #[arg(long, value_enum, default_value_t = LedAccess::None)]
    pub(crate) leds: LedAccess,

    /// Write the report to this file too
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct BoardsArgs {
    /// Check this profile and print it
    #[arg(long, value_name = "FILE")]
    pub(crate) check: Option<PathBuf>,
}

/// How to drive the LEDs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LedAccess {
    /// Do not drive the LEDs
    None,
    /// By name, through the LED class of the kernel
    Class,
    /// By GPIO chip and line, if no LED driver of the kernel owns the line
    Gpio,
}

/// `sd=/dev/mmcblk1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedMedium {
    pub(crate) name: String,
    pub(crate) device: PathBuf,
}

fn parse_named_medium(text: &str) -> Result<NamedMedium, String> {
    match text.split_once('=') {
        Some((name, device)) if !name.is_empty() && !device.is_empty() => {
            Ok(NamedMedium { name: name.to_owned(), device: device.into() })
        }
        _ => Err("expected NAME=DEVICE, such as sd=/dev/mmcblk1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_named_medium_is_a_name_and_a_device() {
        let medium = parse_named_medium("sd1=/dev/a=b").unwrap();
        assert_eq!((medium.name.as_str(), medium.device), ("sd1", PathBuf::from("/dev/a=b")));
        for wrong in ["sd", "=/dev/sda", "sd=", ""] {
            assert!(parse_named_medium(wrong).unwrap_err().contains("NAME=DEVICE"), "{wrong}");
        }
    }
}
