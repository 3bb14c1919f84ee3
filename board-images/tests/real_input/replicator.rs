//! Runs the binary under test, and holds it to what every run must leave: no mount, no loop device, a report.

use super::devices::Medium;
use super::stage::Stage;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A run that has ended.
pub(crate) struct Run {
    /// Exit status.
    pub(crate) exit: i32,
    /// What it said on the console.
    pub(crate) console: String,
    /// Its report.
    pub(crate) report: serde_json::Value,
}

impl Run {
    /// Fails unless the run ended in success.
    #[track_caller]
    pub(crate) fn assert_success(&self) {
        assert_eq!(self.exit, 0, "{}", self.console);
        assert_eq!(self.report["status"], "success", "{}", self.console);
    }

    /// Fails unless the run ended in failure, for a reason with this code.
    #[track_caller]
    pub(crate) fn assert_failure(&self, code: &str) {
        assert_eq!(self.exit, 1, "{}", self.console);
        assert_eq!(self.report["status"], "failure");
        let text = self.report.to_string();
        assert!(text.contains(&format!("\"code\":\"{code}\"")), "{code} is not in {text}\n{}", self.console);
    }
}

/// Drive and media of a board.
pub(crate) struct Board<'a> {
    /// Where logs go.
    pub(crate) stage: &'a Stage,
    /// The drive, whose file system lies on the whole device.
    pub(crate) drive: &'a Medium,
    /// Media by name.
    pub(crate) media: Vec<(&'static str, &'a Medium)>,
}

impl Board<'_> {
    fn command(&self, what: &str) -> Command {
        self.command_as("generic", what)
    }

    fn command_as(&self, profile: &str, what: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_replicator"));
        command.args([what, "--board", profile, "--drive"]).arg(&self.drive.device);
        for (name, medium) in &self.media {
            let mut named = OsString::from(format!("{name}="));
            named.push(&medium.device);
            command.arg("--media").arg(named);
        }
        command.arg("--log-dir").arg(self.stage.path("logs")).stdin(Stdio::null());
        command
    }

    /// Runs to the end.
    #[track_caller]
    pub(crate) fn run(&self) -> Run {
        let run = self.run_beside_others();
        self.assert_nothing_left();
        run
    }

    /// Runs to the end while others hold what they hold.
    #[track_caller]
    pub(crate) fn run_beside_others(&self) -> Run {
        self.finish(self.command("run"))
    }

    /// Runs to the end as a board with this profile.
    #[track_caller]
    pub(crate) fn run_as(&self, profile: &str) -> Run {
        let run = self.finish(self.command_as(profile, "run"));
        self.assert_nothing_left();
        run
    }

    /// The same where `conf` is the host's mke2fs.conf(5), and named by the environment too.
    #[track_caller]
    pub(crate) fn run_with_mke2fs_conf(&self, profile: &str, conf: &Path) -> Run {
        let inner = self.command_as(profile, "run");
        let mut outer = Command::new("unshare");
        outer.args(["-m", "--propagation", "private", "bash", "-ec"]);
        outer.arg("mount --bind \"$0\" /etc/mke2fs.conf; exec \"$@\"").arg(conf);
        outer.arg(inner.get_program()).args(inner.get_args());
        outer.env("MKE2FS_CONFIG", conf).stdin(Stdio::null());
        let run = self.finish(outer);
        self.assert_nothing_left();
        run
    }

    #[track_caller]
    fn finish(&self, mut command: Command) -> Run {
        let report = self.stage.path("report.json");
        let output = command.arg("--report").arg(&report).output().unwrap();
        let console = String::from_utf8_lossy(&output.stderr).into_owned();
        println!("{console}");
        let exit = output.status.code().unwrap_or_else(|| panic!("{}: {console}", output.status));
        let text = std::fs::read_to_string(report).unwrap();
        let report =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}\n{console}"));
        Run { exit, console, report }
    }

    /// What a run would do: exit status and text.
    #[track_caller]
    pub(crate) fn plan(&self) -> (i32, String) {
        let output = self.command("plan").output().unwrap();
        self.assert_nothing_left();
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap(), text)
    }

    /// Begins a run.
    pub(crate) fn begin(&self) -> Child {
        self.begin_on(std::fs::File::create(self.stage.path("console")).unwrap())
    }

    /// Begins a run whose console is `terminal`.
    pub(crate) fn begin_on(&self, terminal: std::fs::File) -> Child {
        self.command("run").stdout(Stdio::null()).stderr(terminal).spawn().unwrap()
    }

    /// Fails if anything still holds the drive or a medium, or is mounted from the stage.
    #[track_caller]
    pub(crate) fn assert_nothing_left(&self) {
        self.drive.assert_free();
        for (_, medium) in &self.media {
            medium.assert_free();
        }
        let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        for device in std::iter::once(self.drive).chain(self.media.iter().map(|(_, medium)| *medium)) {
            let name = device.device.display().to_string();
            let holds = |line: &&str| line.split(' ').any(|word| word == name);
            assert_eq!(mounts.lines().find(holds), None);
        }
        // A working image on the drive, while it is checked or mounted.
        let loops = super::tools::run("losetup", ["-n", "-O", "NAME,BACK-MAJ:MIN,BACK-FILE"]);
        let number = self.drive.number();
        let ours = |line: &&str| line.split_whitespace().any(|word| word == number);
        assert_eq!(loops.lines().find(ours), None);
    }

    /// The kernel ends mounts and loop devices of a dead process soon, not at once.
    #[track_caller]
    pub(crate) fn wait_until_free(&self) {
        let media = || std::iter::once(self.drive).chain(self.media.iter().map(|(_, medium)| *medium));
        let started = Instant::now();
        while !media().all(Medium::is_free) && started.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.assert_nothing_left();
    }
}

/// Makes a drive of `len_bytes`: ext4, labelled `REPLICATOR`, on the whole device.
pub(crate) fn make_drive(file: &Path, len_bytes: u64) -> Medium {
    let drive = Medium::blank(file, len_bytes);
    super::tools::run(
        "mkfs.ext4",
        ["-q".as_ref(), "-F".as_ref(), "-m0".as_ref(), "-LREPLICATOR".as_ref(), drive.device.as_os_str()],
    );
    drive
}
